"""Do product shares hold still over seeds and harmless rewordings?

    python benchmarks/stability.py [--occasions 100] [--wordings 10] [--seeds 20] [--models text skip]

A fixed sample of the four largest categories of weeks 41-44 of Complete Journey. `head` is the control (it
reads no words); `hf text` is the shipped language model that has only the words, `hf skip` the one on top of
the set model. Each of them as it is, and in the mean field (reactions of 0.1, as estimated on weeks 37-40,
and of 0.5):

seeds       20 draws of all choices under the usual wording
wordings    expected shares under 10 rewordings, nothing drawn
both        20 seeds under each of 10 wordings
averaged    both again, each run averaging the probabilities of four of the ten wordings, drawn without
            replacement: of unrelated wordings, sqrt(1/4 x 6/9) = 0.41 of the spread would be left

The seed is that of the draws; models are not fitted again. Excess is what is above the multinomial floor.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.loading import load_dataset
from malles.engines import load_engine
from malles.evaluation.stability import ShareCells, build_share_cells, decision_entropy, share_stability
from malles.llm.aligning import SHIPPED, fixed_sample
from malles.llm.choice_model import FittedAligned, log_of, softmax
from malles.llm.wording import REWORDINGS
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split
from malles.population.kernels import choose, uniform
from malles.population.mean_field import Reaction, solve_week
from malles.population.week import product_shares
from malles.profiles.features import FeatureStore
from malles.profiles.incidence import build_purchases
from malles.vocabulary import Catalogue, ChoiceData, Regime

SAMPLES = 4
"""Wordings that an averaged run takes."""


def main() -> None:
    """Score every wording once, then spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--occasions", type=int, default=100)
    parser.add_argument("--wordings", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--models", nargs="*", default=["text", "skip"], choices=["text", "skip"])
    parser.add_argument("--reactions", type=float, nargs="*", default=[0.0, 0.1, 0.5])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    catalogue, data = read_data(asked.occasions)
    o = data.occasions
    load = partial(load_engine, name="head", regime=Regime.FULL)
    said = {"head": [np.asarray(load(SHIPPED / "complete_journey" / "skip").predict(data), float)]}
    folders = {"text": "complete_journey_text", "skip": "complete_journey"}
    for name in asked.models:
        model = FittedAligned.load(SHIPPED / folders[name], load)
        skip = log_of(model.skip.predict(data)) if model.skip is not None else 0.0
        said[f"hf {name}"] = []
        for wording in REWORDINGS[: asked.wordings]:
            utility = model.utility(data, wording) + skip
            said[f"hf {name}"].append(softmax(utility / model.temperature, o.available).astype(float))
            print(
                f"hf {name}, {wording}: {process_time():.0f} processor-seconds", file=sys.stderr, flush=True
            )
    cells = build_share_cells(o.category, o.product, o.available)
    field = Market(catalogue, data)
    bought = cells.drawn(o.chosen)
    real = share_stability(np.stack([bought, bought]), cells)
    out: dict[str, Any] = {"occasions": len(o), "entropy of the real shares": round(real.entropy, 3)}
    for name, wordings in said.items():
        for b in asked.reactions:
            solved = [field.solve(p, b) for p in wordings]
            mixed = [field.solve(p, b) for p in average(wordings)] if len(wordings) > 1 else []
            out[f"{name}, reaction {b:g}"] = spread(solved, mixed, cells, asked.seeds)
    print(json.dumps(out, indent=1))


def read_data(count: int) -> tuple[Catalogue, ChoiceData]:
    """A fixed sample of the four largest categories."""
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold = build_split(catalogue)
    later = build_occasions(catalogue, None, (41, 44), ~cold.cold_customer, ~cold.cold_category).occasions
    largest = np.argsort(-np.bincount(later.category), kind="stable")[:4]
    later = later.take(np.isin(later.category, largest))
    return catalogue, FeatureStore(catalogue).build(later.take(fixed_sample(len(later), count)), Regime.FULL)


class Market:
    """The sampled occasions as one week of a market that follows the shares of the weeks before."""

    def __init__(self, catalogue: Catalogue, data: ChoiceData) -> None:
        self.occasions = data.occasions
        self.category = catalogue.products.category
        self.n = len(catalogue.category_name)
        past = build_purchases(catalogue.lines, self.category).before(41)
        self.short, self.long = (product_shares(past, 41, w, self.category, self.n) for w in (1, 8))

    def solve(self, probability: np.ndarray, reaction: float) -> np.ndarray:
        """Choice probabilities in the solved mean field; those given where nobody reacts."""
        if reaction == 0:
            return probability
        weight = np.ones(len(probability))
        solved = solve_week(
            probability, self.occasions.product, weight, self.short, self.long, Reaction(reaction, 0.0, 0),
            self.category, self.n,
        )  # fmt: skip
        return solved.probability


def average(wordings: list[np.ndarray], runs: int = 10) -> list[np.ndarray]:
    """Means of wordings drawn without replacement."""
    rng = np.random.default_rng(300)
    return [
        np.mean([wordings[i] for i in rng.choice(len(wordings), SAMPLES, replace=False)], 0)
        for _ in range(runs)
    ]


def spread(
    wordings: list[np.ndarray], mixed: list[np.ndarray], cells: ShareCells, seeds: int
) -> dict[str, Any]:
    """Every kind of repetition."""

    def draws(all_of: list[np.ndarray]) -> dict[str, float]:
        n = len(all_of[0])
        runs = [
            cells.drawn(choose(p, uniform(s, w, np.arange(n), np.zeros(n, int))))
            for w, p in enumerate(all_of)
            for s in range(seeds)
        ]
        return told(np.stack(runs), np.mean([cells.sampling_variance(p) for p in all_of], 0))

    def told(shares: np.ndarray, floor: np.ndarray | None) -> dict[str, float]:
        s = share_stability(shares, cells, floor)
        return {k: round(getattr(s, k), 4) for k in ("runs", "spread_error", "floor", "excess", "entropy")}

    found: dict[str, Any] = {
        "entropy of decisions": round(decision_entropy(wordings[0]), 3),
        "seeds": draws(wordings[:1]),
    }
    if len(wordings) > 1:
        found["wordings"] = told(np.stack([cells.expected(p) for p in wordings]), None)
        found["both"] = draws(wordings)
        found["averaged wordings"] = told(np.stack([cells.expected(p) for p in mixed]), None)
        found["averaged both"] = draws(mixed)
    return found


if __name__ == "__main__":
    main()
