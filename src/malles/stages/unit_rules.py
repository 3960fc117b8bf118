"""What a rule for units may read, and its what-if beside the units head's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.head.quantity import OtherWorld, training_rows
from malles.profiles.quantity import CAP, QuantityProfiles
from malles.rules.conditions import Condition
from malles.rules.expression import Expression, evaluate
from malles.rules.front import Rows
from malles.rules.power_law import Loss
from malles.rules.teaching import Lesson, cell_elasticity, teach_exponent
from malles.vocabulary import ChoiceData

Engine = Callable[[ChoiceData], Float[ndarray, " row"]]
"""Mean units of every purchase."""

FEWEST = 30
"""Purchases of a category for its mean units to count as a cell."""

PRICES = ("price", "price_ratio")
"""Inputs that a price change moves; the others tell of the past."""

LEAST_RATIO = 0.1
"""Price over list price, as low as the units head's features tell apart."""

TAUGHT = (0.75, 0.85, 0.95, 1.05, 1.15, 1.25)
"""Prices, times today's, at which units are kept from moving the wrong way and a rule learns an engine's
answers; the prices at which they are compared are not among them.
"""

MEANING = {
    "price": "the price",
    "price_ratio": "the price over the list price",
    "own_item_mean": "the customer's usual units of the product",
    "own_item_last": "the customer's last units of the product",
    "own_category_mean": "the customer's usual units in the category",
    "own_category_last": "the customer's last units in the category",
    "item_mean": "the shop's usual units of the product",
    "category_mean": "the shop's usual units in the category",
    "category_store_mean": "the store's usual units in the category",
}
"""Inputs in words; the others are said by their names."""


def unit_rows(data: ChoiceData, *, capped: bool) -> Rows:
    """Positive inputs of the bought alternatives: prices and means of past units, out of their logarithms."""
    rows, x, units = training_rows(data)
    inputs: dict[str, ndarray] = {}
    names = (*data.feature_names, *data.context_names)
    at = {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        if name.endswith(("_mean", "_ratio", "_last")) or name in {"log_price", "log_list_price"}:
            inputs[name.removeprefix("log_")] = np.exp(x[:, i].astype(np.float64))
        elif name == "discount":  # itself cut at 0, so that it hides a price above the list price
            log_ratio = x[:, at["log_price"]].astype(np.float64) - x[:, at["log_list_price"]]
            inputs["price_ratio"] = np.maximum(np.exp(log_ratio), LEAST_RATIO)
    target = np.minimum(units, CAP) if capped else data.occasions.units[rows]
    return Rows(inputs, target.astype(np.float64), data.occasions.customer[rows])


def at_prices(profiles: QuantityProfiles, data: ChoiceData, multiplier: float) -> ChoiceData:
    """The same purchases with every price multiplied, features built anew."""
    price = (data.occasions.price * np.float32(multiplier)).astype(data.occasions.price.dtype)
    return profiles.build(replace(data.occasions, price=price))


def other_worlds(
    profiles: QuantityProfiles, data: ChoiceData, multipliers: Sequence[float] = TAUGHT
) -> dict[float, OtherWorld]:
    """The same purchases at other prices, each with the way in which units may move."""
    return {m: OtherWorld(at_prices(profiles, data, m), 1 if m < 1 else -1) for m in multipliers}


def teach_price(
    rule: Expression, data: ChoiceData, worlds: Mapping[float, OtherWorld], engine: Engine
) -> Expression:
    """The rule with its power of the price ratio taught by an engine's answers, category by category.

    Args:
        rule: holds `price_ratio` once, to a power.
        data: purchases that the rule was fitted on.
        worlds: the same at other prices, by multiplier.
        engine: mean units of every purchase.
    """
    cell = data.occasions.category[training_rows(data)[0]]
    large = np.flatnonzero(np.bincount(cell)[cell] >= FEWEST)
    code = np.unique(cell[large], return_inverse=True)[1]
    today, before = unit_rows(data, capped=True).take(large), engine(data)[large]
    lessons = []
    for multiplier, world in worlds.items():
        there = unit_rows(world.data, capped=True).take(large).inputs
        step = float(np.log(multiplier))
        said = cell_elasticity(before, engine(world.data)[large], code, step)
        lessons.append(Lesson({**today.inputs, **{n: there[n] for n in PRICES}}, step, said))
    return teach_exponent(rule, "price_ratio", today, lessons, code, Loss.POISSON, floor=1.0)


def price_condition(
    profiles: QuantityProfiles, data: ChoiceData, *, multiplier: float = 0.8, tolerance: float = 0.05
) -> Condition:
    """Mean units of a category do not fall when all its prices do."""
    cell = data.occasions.category[training_rows(data)[0]]
    large = np.flatnonzero(np.bincount(cell)[cell] >= FEWEST)
    before = unit_rows(data, capped=True).take(large).inputs
    after = unit_rows(at_prices(profiles, data, multiplier), capped=True).take(large).inputs
    title = "units of a category do not fall with its price"
    return Condition(title, before, after, +1, cell[large], tolerance)


@dataclass(frozen=True)
class WhatIfMatch:
    """A rule's response to a price change beside an engine's, over category cells."""

    multiplier: float
    cells: int
    same_sign: float
    """Share of cells in which both move units the same way; the rule's history stays as it is."""
    rule_size: float
    """Median relative change of units by the rule when its price inputs alone move."""
    same_sign_rebuilt: float
    """Share of cells with the same sign where the rule's means of the past are also looked up at the new
    price, as the engine's are."""
    rebuilt_size: float
    """Median relative change of units by the rule then."""
    engine_size: float
    """Median relative change of units by the engine."""
    clear_cells: int
    """Cells whose response by the engine exceeds 1.96 standard errors over their households."""
    same_sign_clear: float | None
    """Share of those with the same sign, history as it is; None: there are none."""


def compare_what_if(
    rule: Expression,
    profiles: QuantityProfiles,
    data: ChoiceData,
    engine: Engine,
    multipliers: tuple[float, ...] = (0.8, 0.9, 1.1),
) -> list[WhatIfMatch]:
    """How the rule's what-if agrees with an engine's, price change by price change.

    Args:
        rule: formula for units.
        profiles: for features at other prices.
        data: purchases.
        engine: mean units of every purchase.
        multipliers: of all prices.
    """
    rows = training_rows(data)[0]
    cell, before = data.occasions.category[rows], engine(data)

    today = unit_rows(data, capped=True).inputs

    def by_rule(inputs: Mapping[str, ndarray]) -> ndarray:
        return np.asarray(np.maximum(evaluate(rule, inputs), 1.0))

    found = []
    for multiplier in multipliers:
        changed = at_prices(profiles, data, multiplier)
        later = unit_rows(changed, capped=True).inputs
        alone = {**today, **{name: later[name] for name in PRICES}}
        engine_after = engine(changed)
        theirs = _relative(before, engine_after, cell)
        mine = [_relative(by_rule(today), by_rule(world), cell) for world in (alone, later)]
        same = [float(np.mean(np.sign(m) == np.sign(theirs))) for m in mine]
        size = [float(np.median(m)) for m in (*mine, theirs)]
        agree = np.sign(mine[0]) == np.sign(theirs)
        clear = np.abs(theirs) > 1.96 * _error(before, engine_after, cell, data.occasions.customer[rows])
        found.append(
            WhatIfMatch(
                multiplier, len(theirs), same[0], size[0], same[1], size[1], engine_size=size[2],
                clear_cells=int(clear.sum()),
                same_sign_clear=float(np.mean(agree[clear])) if clear.any() else None,
            )
        )  # fmt: skip
    return found


def _relative(before: ndarray, after: ndarray, cell: Integer[ndarray, " row"]) -> Float[ndarray, " cell"]:
    count = np.bincount(cell)
    large = count >= FEWEST
    base = np.bincount(cell, before)[large]
    return np.asarray((np.bincount(cell, after)[large] - base) / base)


def _error(
    before: ndarray,
    after: ndarray,
    cell: Integer[ndarray, " row"],
    customer: Integer[ndarray, " row"],
) -> Float[ndarray, " cell"]:
    """Standard error of `_relative`, the engine taken for given: households of a cell drawn anew.

    variance = sum over households of (sum of after - before (1 + response))^2 / (sum of before)^2
    """
    count = np.bincount(cell)
    base = np.bincount(cell, before)
    ratio = np.bincount(cell, after) / np.maximum(base, 1e-12)
    pair, code = np.unique(np.stack([cell, customer]), axis=1, return_inverse=True)
    missed = np.bincount(code.ravel(), after - ratio[cell] * before)
    square = np.bincount(pair[0], missed**2, len(count))
    return np.asarray((np.sqrt(square) / np.maximum(base, 1e-12))[count >= FEWEST])
