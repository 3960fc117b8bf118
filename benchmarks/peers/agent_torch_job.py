"""The job of `benchmarks/population.py` on agent-torch, in its own environment (`make bench-peers`)."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from agent_torch.core.helpers import get_by_path
from agent_torch.core.registry import Registry
from agent_torch.core.runner import Runner
from agent_torch.core.substep import SubstepAction, SubstepTransition

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from population import PRODUCTS, measure_asked, start

torch.set_num_threads(1)
OF_CUSTOMERS, OF_MARKET = ("W", "alpha", "wealth", "income"), ("X", "price", "mu", "demand")
PATHS = {n: f"agents/customers/{n}" for n in OF_CUSTOMERS} | {n: f"environment/{n}" for n in OF_MARKET}


def read(part: Any, state: Any, *names: str) -> list[torch.Tensor]:
    """Variables of the state by name."""
    return [get_by_path(state, part.input_variables[name].split("/")) for name in names]


class Choose(SubstepAction):
    """The policy: one alternative per customer."""

    def forward(self, state: Any, observation: Any) -> dict[str, torch.Tensor]:
        """Largest utility plus Gumbel noise."""
        W, alpha, X, price, mu = read(self, state, "W", "alpha", "X", "price", "mu")
        U = torch.zeros(len(alpha), PRODUCTS + 1)
        U[:, 1:] = W @ X.T - alpha[:, None] * price + mu
        U -= torch.empty_like(U).exponential_().log_()
        return {"choice": U.argmax(1)}


class Settle(SubstepTransition):
    """The transition: units, wealth, mean field and prices."""

    def forward(self, state: Any, action: Any) -> dict[str, torch.Tensor]:
        """What the state becomes."""
        wealth, income, price, mu = read(self, state, "wealth", "income", "price", "mu")
        pick = action["customers"]["choice"]
        p = price[(pick - 1).clamp(min=0)]
        units = (wealth / (10 * p)).floor().clamp(1, 5) * (pick > 0)
        units = units * (units * p <= wealth)
        demand = torch.bincount((pick - 1).clamp(min=0), weights=units, minlength=PRODUCTS)
        share = demand / demand.sum().clamp(min=1)
        return {
            "wealth": wealth + income - units * p,
            "demand": demand,
            "mu": 0.9 * mu + 0.05 * (share * PRODUCTS + 1e-3).log(),
            "price": (price * (1 + 0.01 * (share * PRODUCTS - 1))).clamp(0.5, 20),
        }


def build(customers: int) -> Any:
    """The job as one function of the period; past states, which the runner collects, are dropped."""
    torch.random.default_generator.manual_seed(1)
    begin = {k: torch.from_numpy(v) for k, v in start(customers).items()} | {"demand": torch.zeros(PRODUCTS)}
    registry = Registry()
    registry.register(Choose, "choose", "policy")
    registry.register(Settle, "settle", "transition")
    for name, value in begin.items():
        registry.register(lambda shape, params, _v=value: _v.clone(), f"begin_{name}", "initialization")

    def declared(names: tuple[str, ...], size: int) -> dict[str, Any]:
        return {
            n: {"name": n, "shape": [size], "dtype": "float", "learnable": False, "value": None,
                "initialization_function": {"generator": f"begin_{n}", "arguments": {}}}
            for n in names
        }  # fmt: skip

    substep = {
        "name": "Buy", "description": "consumer choice", "active_agents": ["customers"], "reward": None,
        "observation": {"customers": None},
        "policy": {"customers": {"choose": {
            "generator": "Choose", "arguments": None, "output_variables": ["choice"],
            "input_variables": {n: PATHS[n] for n in ("W", "alpha", "X", "price", "mu")}}}},
        "transition": {"settle": {
            "generator": "Settle", "arguments": None, "output_variables": ["wealth", "demand", "mu", "price"],
            "input_variables": {n: PATHS[n] for n in ("wealth", "income", "price", "mu", "demand")}}},
    }  # fmt: skip
    config = {
        "simulation_metadata": {"calibration": False, "device": "cpu",
                                "num_agents": customers, "num_episodes": 1,
                                "num_steps_per_episode": 1, "num_substeps_per_step": 1},
        "state": {"agents": {"customers": {
                      "number": customers, "properties": declared(OF_CUSTOMERS, customers)}},
                  "environment": declared(OF_MARKET, PRODUCTS), "network": {}, "objects": None},
        "substeps": {"0": substep},
    }  # fmt: skip
    runner = Runner(config, registry)
    runner.init()

    @torch.no_grad()
    def step(period: int) -> float:
        runner.step(1)
        runner.state_trajectory = []
        return float(runner.state["environment"]["demand"].sum())

    return step


if __name__ == "__main__":
    measure_asked(f"agent-torch {metadata.version('agent-torch')}", build)
