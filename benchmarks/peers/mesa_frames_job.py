"""The job of `benchmarks/population.py` on mesa-frames, in its own environment (`make bench-peers`)."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import mesa_frames as mf
import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from population import FEATURES, PRODUCTS, F, measure_asked, move_market, start

Group: Any = getattr(mf, "AgentSet", None) or mf.AgentSetPolars  # renamed after 0.1.0a0
Model: Any = getattr(mf, "Model", None) or mf.ModelDF
RENAMED = Group.__name__ == "AgentSet"


class Customers(Group):
    """All customers in one polars frame."""

    def __init__(self, model: Any, s: dict[str, Any]) -> None:
        super().__init__(model)
        columns = {f"w{k}": s["W"][:, k] for k in range(FEATURES)}
        columns |= {name: s[name] for name in ("alpha", "wealth", "income")}
        ids = {} if RENAMED else {"unique_id": np.arange(len(s["alpha"]))}
        self += pl.DataFrame(ids | columns)

    def step(self) -> None:
        """One step of the job on the frame's columns."""
        s, rng = self.model.s, self.model.rng
        frame = self.df if RENAMED else self.agents
        W = frame.select([f"w{k}" for k in range(FEATURES)]).to_numpy()
        alpha, wealth, income = (frame[c].to_numpy() for c in ("alpha", "wealth", "income"))
        U = np.zeros((len(wealth), PRODUCTS + 1), F)
        U[:, 1:] = W @ s["X"].T - alpha[:, None] * s["price"] + s["mu"]
        noise = rng.standard_exponential(U.shape, dtype=F)
        noise += F(1e-20)
        U -= np.log(noise, out=noise)
        pick = U.argmax(1)
        p = s["price"][np.maximum(pick - 1, 0)]
        units = np.clip(np.floor(wealth / (10 * p)), 1, 5) * (pick > 0)
        units *= units * p <= wealth
        self["wealth"] = pl.Series((wealth + income - units * p).astype(F))
        self.model.demand = np.bincount(np.maximum(pick - 1, 0), weights=units, minlength=PRODUCTS)


class Market(Model):
    """The customers and what they react to."""

    def __init__(self, s: dict[str, Any]) -> None:
        super().__init__(1)
        self.s, self.rng, self.demand = s, np.random.default_rng(1), np.zeros(PRODUCTS)
        if RENAMED:
            self.sets += Customers(self, s)
        else:
            self.agents += Customers(self, s)

    def step(self) -> None:
        """Everybody, then prices."""
        (self.sets if RENAMED else self.agents).do("step")
        move_market(self.s, self.demand)


def build(customers: int) -> Any:
    """The job as one function of the period."""
    market = Market(start(customers))

    def step(period: int) -> float:
        market.step()
        return float(market.demand.sum())

    return step


if __name__ == "__main__":
    measure_asked(f"mesa-frames {metadata.version('mesa-frames')}", build)
