"""A scenario file followed into the weeks after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from malles.config.scenario_file import ScenarioFile
from malles.errors import ConfigError
from malles.scenarios.aftermath import follow_scenario
from malles.scenarios.changes import Scenario
from malles.stages.rehearse import OpenMarket


def follow_answer(
    market: OpenMarket,
    file: ScenarioFile,
    *,
    after: int,
    seeds: int,
    seed: int,
    tell: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """Weekly units of the first product and of the category during a scenario and after it.

    Args:
        market: of a finished run.
        file: a scenario of shelf edits.
        after: weeks that follow.
        seeds: pairs of markets.
        seed: the first of them.
        tell: told (done, total) simulated weeks.

    Raises:
        ConfigError: the scenario holds what a free-running market does not know.
    """
    asked = market.resolve(file)
    if asked.policies or asked.newcomers or asked.stock:
        raise ConfigError(
            "only changes of prices, promotions and assortment can be followed into later weeks; leave "
            "taxes, subsidies, incomes, tastes, new products and limited stock out."
        )
    found = follow_scenario(
        market.room.world, market.deciders, Scenario(asked.name, asked.changes), asked.category,
        asked.products[0], asked.weeks, after=after, seeds=range(seed, seed + seeds), tell=tell,
    )  # fmt: skip
    rows = []
    for t, week in enumerate(found.weeks):
        row: dict[str, Any] = {"week": week, "part": "during" if t < found.during else "after"}
        for name, table in {"product": found.product, "category": found.category}.items():
            change = table[:, 1, t] - table[:, 0, t]
            error = float(change.std(ddof=1) / len(change) ** 0.5) if len(change) > 1 else float("nan")
            row |= {
                f"{name}_base": float(table[:, 0, t].mean()),
                f"{name}_scenario": float(table[:, 1, t].mean()),
                f"{name}_change": float(change.mean()), f"{name}_error": error,
            }  # fmt: skip
        rows.append(row)
    dip = found.dip()
    lost = float(np.nanmean(dip)) if np.isfinite(dip).any() else float("nan")
    return [*rows, {"week": None, "part": "lost later, of what was gained", "category_change": lost}]
