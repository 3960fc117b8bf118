"""Outcome tables of a rehearsal: what a scenario does by product, segment and week, and what it puts at risk.

Every row holds the base world, the scenario, and their difference with two intervals: of what is expected
(households and parameters) and of what will be seen (their luck as well).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.errors import ConfigError, did_you_mean
from malles.scenarios.counterfactual import Estimate
from malles.scenarios.cube_kernels import LEVY, REVENUE, UNITS
from malles.scenarios.rehearsal import Rehearsal

WAYS = ("total", "product", "segment", "week", "segment and week")
"""How an outcome table may be split."""


@dataclass(frozen=True)
class Row:
    """One quantity of one part of the market in both worlds."""

    part: str
    """Product key, segment, week; "category" for the whole."""
    quantity: str
    base: float
    scenario: float
    change: Estimate
    """scenario - base; the interval holds households, parameters and luck."""
    expected_change: Estimate
    """The same value; the interval holds households and parameters."""


@dataclass(frozen=True)
class Risk:
    """What a change of revenue or margin may cost, over the draws."""

    quantity: str
    mean: float
    value_at_risk: float
    """Loss against the base world that is exceeded with probability `tail`; negative = a gain even then."""
    expected_shortfall: float
    """Mean loss in the worst `tail` of the draws."""
    loss_probability: float
    tail: float


def tabulate(
    found: Rehearsal,
    by: str = "total",
    *,
    name: Callable[[int], str] = str,
    cost: Float[ndarray, " code"] | None = None,
    level: float = 0.9,
) -> list[Row]:
    """The outcome table of a rehearsal.

    Args:
        found: the rehearsal.
        by: one of `WAYS`.
        name: of a product code.
        cost: per unit, by product code of the catalogue; NaN = unknown. Margins count products with a known
            cost alone, and are left out without any.
        level: of the intervals.
    """
    if by not in WAYS:
        raise ConfigError(
            f"a table is split by one of {', '.join(WAYS)}; got {by!r}. {did_you_mean(by, WAYS)}"
        )
    cells, products = np.arange(len(found.week)), np.arange(len(found.product))
    slate = products[:-1]
    parts: list[tuple[str, ndarray, ndarray]] = []
    if by == "total":
        parts = [("category", cells, products)]
    elif by == "product":
        names = [name(int(code)) for code in found.product[:-1]] + ["other products"]
        parts = [(names[p], cells, np.array([p])) for p in products]
    elif by == "segment":
        parts = [
            (s, np.flatnonzero(found.segment == i), products) for i, s in enumerate(found.segments.label)
        ]
    elif by == "week":
        parts = [(f"week {w}", np.flatnonzero(found.week == w), products) for w in np.unique(found.week)]
    else:
        label = found.segments.label
        parts = [
            (f"{label[s]}, week {w}", np.array([c]), products)
            for c, (s, w) in enumerate(zip(found.segment, found.week, strict=True))
        ]
    worth = unit_costs(found, cost)
    rows: list[Row] = []
    for part, where, which in parts:

        def of(table: ndarray, where: ndarray = where, which: ndarray = which) -> dict[str, ndarray]:
            here = table[..., where, :, :].sum(-3)
            units = here[..., which, UNITS].sum(-1)
            total = here[..., UNITS].sum(-1)
            out = {
                "units": units,
                "revenue": here[..., which, REVENUE].sum(-1),
            }
            if by == "product":
                out["share"] = units / np.maximum(total, 1e-12)
            if found.central[..., LEVY].any():
                out["levy"] = here[..., which, LEVY].sum(-1)
            if worth is not None:
                out["margin"] = margin(here, worth, np.intersect1d(which, slate))
            return out

        central, expected, drawn = of(found.central), of(found.expected), of(found.drawn)
        for quantity in central:
            base, new = (float(x) for x in central[quantity])
            rows.append(
                Row(
                    part, quantity, base, new,
                    estimate(new - base, drawn[quantity][:, 1] - drawn[quantity][:, 0], level),
                    estimate(new - base, expected[quantity][:, 1] - expected[quantity][:, 0], level),
                )
            )  # fmt: skip
        if by != "product" and np.isfinite(found.central_surplus).all():
            value = float(found.central_surplus[where].sum())
            interval = estimate(value, found.surplus[:, where].sum(1), level)
            rows.append(Row(part, "consumer surplus", 0.0, value, interval, interval))
    return rows


def unit_costs(found: Rehearsal, cost: Float[ndarray, " code"] | None) -> Float[ndarray, " product"] | None:
    """Cost of every product of a rehearsal; None if no cost is known."""
    if cost is None:
        return None
    known = np.full(len(found.product), np.nan)
    inside = (found.product >= 0) & (found.product < len(cost))
    known[inside] = cost[found.product[inside]]
    return known if np.isfinite(known).any() else None


def margin(
    table: Float[ndarray, "*lead product quantity"], cost: Float[ndarray, " product"], which: ndarray
) -> Float[ndarray, "*lead"]:
    """Revenue less cost of the products with a known cost."""
    here = which[np.isfinite(cost[which])]
    return np.asarray(table[..., here, REVENUE].sum(-1) - (table[..., here, UNITS] * cost[here]).sum(-1))


def find_diversion(
    found: Rehearsal, product: int, own: Bool[ndarray, " code"] | None = None, *, level: float = 0.9
) -> dict[str, Estimate]:
    """Where a product's change of units came from, as parts of it.

        shelf + other + expansion = 1;  cannibalisation = the part of `shelf` that came from own products

    Args:
        found: the rehearsal.
        product: code of the product whose price, place or presence changed.
        own: by product code: whether it belongs to the same house (manufacturer or private label).
        level: of the intervals.
    """
    at = find_place(found, product)
    moved = found.central.sum(1)[1] - found.central.sum(1)[0]
    spread = (found.expected.sum(2)[:, 1] - found.expected.sum(2)[:, 0])[..., UNITS]
    change = moved[:, UNITS]
    rest = np.arange(len(found.product) - 1) != at
    mine = np.zeros(len(rest), bool)
    if own is not None:
        inside = found.product[:-1] < len(own)
        mine[inside] = own[found.product[:-1][inside]]
    pieces: dict[str, Callable[[ndarray], ndarray]] = {
        "shelf": lambda t: -t[..., :-1][..., rest].sum(-1),
        "other": lambda t: -t[..., -1],
        "expansion": lambda t: t.sum(-1),
    }
    if own is not None:
        pieces["cannibalisation"] = lambda t: -t[..., :-1][..., rest & mine].sum(-1)
    if abs(change[at]) < 1e-12:
        nothing = Estimate(float("nan"), float("nan"), float("nan"))
        return dict.fromkeys(pieces, nothing)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            key: estimate(float(piece(change) / change[at]), piece(spread) / spread[:, at], level)
            for key, piece in pieces.items()
        }


def find_place(found: Rehearsal, product: int) -> int:
    """Where a product stands in the cube.

    Raises:
        ConfigError: it is on no shelf of either world.
    """
    at = np.flatnonzero(found.product == product)
    if not len(at):
        raise ConfigError(f"product {product} stands on no shelf of either world; choose one that does")
    return int(at[0])


def find_risks(
    found: Rehearsal, cost: Float[ndarray, " code"] | None = None, *, tail: float = 0.05
) -> list[Risk]:
    """Value at risk and expected shortfall of the category's revenue, and of its margin if costs are known.

    Args:
        found: a rehearsal with luck.
        cost: per unit, by product code.
        tail: probability of the bad end, in (0, 0.5].

    Source: Rockafellar and Uryasev (2000) for the expected shortfall of a sample.
    """
    if not 0 < tail <= 0.5:
        raise ConfigError(f"`tail` must lie in (0, 0.5], got {tail}")
    table = found.drawn.sum(2)  # [draw, world, product, quantity]
    named: dict[str, ndarray] = {"revenue": table[..., REVENUE].sum(-1)}
    worth = unit_costs(found, cost)
    if worth is not None:
        named["margin"] = margin(table, worth, np.arange(len(found.product) - 1))
    out = []
    for quantity, value in named.items():
        loss = np.sort(value[:, 0] - value[:, 1])[::-1]
        edge = tail * len(loss)
        whole = int(edge)
        worst = loss[:whole].sum() + (edge - whole) * (loss[whole] if whole < len(loss) else 0.0)
        out.append(
            Risk(
                quantity, float(-loss.mean()), float(np.quantile(loss, 1 - tail)), float(worst / edge),
                float((loss > 0).mean()), tail,
            )
        )  # fmt: skip
    return out


def estimate(value: float, draws: Sequence[float] | ndarray, level: float) -> Estimate:
    """A value with the middle `level` of the draws; NaN where fewer than half of them are known."""
    table = np.asarray(draws, float)
    known = table[np.isfinite(table)]
    if 2 * len(known) < len(table) or not len(known):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))
