"""A scenario over a grid of its own settings, and the elasticities of a category.

--sweep 1.relative=-0.3:0.1:0.1        change 1, from -0.3 to 0.1 in steps of 0.1
--sweep 2.pass_through=0,0.5,1         change 2, three values; together a grid
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from malles.config.scenario_file import ScenarioFile, build_scenario_file
from malles.errors import UsageError
from malles.scenarios.changes import PriceChange, Scenario
from malles.scenarios.counterfactual import Estimate
from malles.scenarios.cube_kernels import UNITS
from malles.scenarios.outcomes import estimate
from malles.scenarios.products import name_of
from malles.scenarios.rehearsal import Rehearsal
from malles.stages.rehearse import OpenMarket, answer_scenario

MOST_POINTS = 500
STEP = 0.1
"""Relative change of price on either side by which an elasticity is taken."""

Axis = tuple[int, str, tuple[float, ...]]
"""Number of the change from 1, field, values."""


def read_axis(text: str) -> Axis:
    """One axis of a grid.

    >>> read_axis("1.relative=-0.2:0.1:0.1")
    (1, 'relative', (-0.2, -0.1, 0.0, 0.1))
    >>> read_axis("2.cap=1.5,2")
    (2, 'cap', (1.5, 2.0))

    Raises:
        UsageError: it is not written like this.
    """
    found = re.fullmatch(r"(\d+)\.([a-z_]+)=(.+)", text.strip())
    if not found:
        raise UsageError(
            f"--sweep {text!r} should be CHANGE.FIELD=VALUES, for example 1.relative=-0.3:0.1:0.1 or "
            "1.relative=-0.3,-0.1,0."
        )
    number, name, said = int(found[1]), found[2], found[3]
    try:
        if ":" in said:
            first, last, step = (float(part) for part in said.split(":"))
            count = round((last - first) / step) if step else -1
            if count < 0 or count >= MOST_POINTS:
                raise ValueError
            values = tuple(float(round(first + i * step, 10)) for i in range(count + 1))
        else:
            values = tuple(float(part) for part in said.split(","))
    except (ValueError, OverflowError) as problem:
        raise UsageError(
            f"--sweep {text!r}: {said!r} should be FIRST:LAST:STEP or numbers parted by commas, at most "
            f"{MOST_POINTS} of them."
        ) from problem
    return number, name, values


def grid(file: ScenarioFile, axes: Sequence[Axis]) -> Iterator[tuple[dict[str, float], ScenarioFile]]:
    """Every point of a grid and its scenario; each is checked like a file.

    Raises:
        UsageError: a change or field that the file does not have, or too many points.
        ConfigError: a value that the field does not allow.
    """
    size = int(np.prod([len(values) for _, _, values in axes]))
    if size > MOST_POINTS:
        raise UsageError(f"--sweep asks for {size} points; ask for at most {MOST_POINTS}.")
    for number, name, _ in axes:
        if not 1 <= number <= len(file.change):
            raise UsageError(f"--sweep speaks of change {number}; the scenario has {len(file.change)}.")
        change = file.change[number - 1]
        known = [f for f, v in change.model_dump().items() if isinstance(v, int | float) and v is not True]
        if name not in known:
            raise UsageError(
                f"--sweep: change {number} ({change.kind}) has no number {name!r} to sweep; it has "
                f"{', '.join(known) or 'none'}."
            )
    plain = file.model_dump(mode="json", exclude_none=True)
    for values in itertools.product(*(axis[2] for axis in axes)):
        point = {f"{number}.{name}": value for (number, name, _), value in zip(axes, values, strict=True)}
        changes = [dict(change) for change in plain["change"]]
        for (number, name, _), value in zip(axes, values, strict=True):
            old = changes[number - 1][name]
            changes[number - 1][name] = round(value) if isinstance(old, int) else value
        yield point, build_scenario_file({**plain, "change": changes}, origin=f"--sweep {point}")


def sweep(
    market: OpenMarket,
    file: ScenarioFile,
    axes: Sequence[Axis],
    *,
    draws: int,
    seed: int,
    customers: float | None = None,
    level: float = 0.9,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """One row per point of a grid: the first product's and the category's outcomes, with intervals.

    All points meet the same luck. Where one price is swept, `elasticity` is the slope of log units on log
    price between neighbouring points.
    """
    points = list(grid(file, axes))
    rows = []
    for done, (point, scenario) in enumerate(points):
        found = answer_scenario(market, scenario, draws=draws, seed=seed, customers=customers, level=level)
        row: dict[str, Any] = {**point}
        product = found["products"][0] if found["products"] else None
        if product is not None:
            row["price"] = product["price_then"]
            row |= _columns(found["tables"]["product"], product["product"], "")
        row |= _columns(found["tables"]["total"], "category", "category_")
        rows.append(row)
        tell(done + 1, len(points))
    if len(axes) == 1 and all(row.get("price") and row.get("units", 0) > 0 for row in rows) and len(rows) > 1:
        price = np.log([row["price"] for row in rows])
        if (np.abs(np.diff(price)) > 1e-9).all():
            slope = np.gradient(np.log([row["units"] for row in rows]), price)
            for row, value in zip(rows, slope, strict=True):
                row["elasticity"] = float(value)
    return rows


def _columns(table: Sequence[dict[str, Any]], part: str, prefix: str) -> dict[str, float]:
    out = {}
    for row in table:
        if row["part"] == part:
            name = prefix + row["quantity"].replace(" ", "_")
            change = row["change"]
            out[name] = row["scenario"]
            out |= {f"{name}_{k}": change[v] for k, v in
                    {"change": "value", "low": "low", "high": "high"}.items()}  # fmt: skip
    return out


def elasticities(
    market: OpenMarket, file: ScenarioFile, count: int, *, draws: int, seed: int, level: float = 0.9
) -> list[dict[str, Any]]:
    """Own and cross price elasticities of the best sellers of a scenario's category, before its changes.

        e[i, j] = (log units[i] at price[j] x 1.1 - log units[i] at price[j] x 0.9) / log(1.1 / 0.9)

    Args:
        market: of a finished run.
        file: names category and weeks.
        count: products, the best sellers of the base world.
        draws: of households and response parameters behind every interval.
        seed: of the draws.
        level: of the intervals.
    """
    asked = market.resolve(file)
    desk = market.desk(asked)
    responses = market.response_parameters(asked.category)

    def ask(*changes: PriceChange) -> Rehearsal:
        return desk.rehearse(
            Scenario("elasticity", changes), responses=responses, draws=draws, seed=seed, luck=False
        )

    base = ask()
    sold = base.central[0, :, :-1, UNITS].sum(0)
    places = np.argsort(-sold, kind="stable")[:count]
    called = name_of(market.catalogue)
    rows = []
    for j in places:
        product = int(base.product[j])
        low, high = (ask(PriceChange(product, relative=step)) for step in (-STEP, STEP))
        middle, spread = (_arc(a, b) for a, b in ((low.central[None], high.central[None]),
                                                  (low.expected, high.expected)))  # fmt: skip
        for i in places:
            found: Estimate = estimate(float(middle[0, i]), spread[:, i], level)
            rows.append({
                "price_of": called[product], "units_of": called[int(base.product[i])],
                "elasticity": found.value, "low": found.low, "high": found.high, "own": bool(i == j),
            })  # fmt: skip
    return rows


def _arc(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Arc elasticities [draw, product] of two cubes [draw, world, cell, product, quantity]."""
    units = [np.maximum(table[:, 1, :, :, UNITS].sum(1), 1e-12) for table in (low, high)]
    return np.asarray((np.log(units[1]) - np.log(units[0])) / np.log((1 + STEP) / (1 - STEP)))
