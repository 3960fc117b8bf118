"""What a rule for units may read, and its what-if beside the units head's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.head.quantity import training_rows
from malles.profiles.quantity import CAP, QuantityProfiles
from malles.rules.conditions import Condition
from malles.rules.expression import Expression, evaluate
from malles.rules.front import Rows
from malles.vocabulary import ChoiceData

FEWEST = 30
"""Purchases of a category for its mean units to count as a cell."""

PRICES = ("price", "price_ratio")
"""Inputs that a price change moves; the others tell of the past."""

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
    for i, name in enumerate((*data.feature_names, *data.context_names)):
        if name.endswith(("_mean", "_ratio", "_last")) or name in {"log_price", "log_list_price"}:
            inputs[name.removeprefix("log_")] = np.exp(x[:, i].astype(np.float64))
        elif name == "discount":
            inputs["price_ratio"] = 1 - x[:, i].astype(np.float64)
    target = np.minimum(units, CAP) if capped else data.occasions.units[rows]
    return Rows(inputs, target.astype(np.float64), data.occasions.customer[rows])


def at_prices(profiles: QuantityProfiles, data: ChoiceData, multiplier: float) -> ChoiceData:
    """The same purchases with every price multiplied, features built anew."""
    price = (data.occasions.price * np.float32(multiplier)).astype(data.occasions.price.dtype)
    return profiles.build(replace(data.occasions, price=price))


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


def compare_what_if(
    rule: Expression,
    profiles: QuantityProfiles,
    data: ChoiceData,
    engine: Callable[[ChoiceData], Float[ndarray, " row"]],
    multipliers: tuple[float, ...] = (0.8, 0.9, 1.1),
) -> list[WhatIfMatch]:
    """How the rule's what-if agrees with an engine's, price change by price change."""
    cell = data.occasions.category[training_rows(data)[0]]

    today = unit_rows(data, capped=True).inputs

    def by_rule(inputs: Mapping[str, ndarray]) -> ndarray:
        return np.asarray(np.maximum(evaluate(rule, inputs), 1.0))

    found = []
    for multiplier in multipliers:
        changed = at_prices(profiles, data, multiplier)
        later = unit_rows(changed, capped=True).inputs
        alone = {**today, **{name: later[name] for name in PRICES}}
        theirs = _relative(engine(data), engine(changed), cell)
        mine = [_relative(by_rule(today), by_rule(world), cell) for world in (alone, later)]
        same = [float(np.mean(np.sign(m) == np.sign(theirs))) for m in mine]
        size = [float(np.median(m)) for m in (*mine, theirs)]
        found.append(
            WhatIfMatch(multiplier, len(theirs), same[0], size[0], same[1], size[1], engine_size=size[2])
        )
    return found


def _relative(before: ndarray, after: ndarray, cell: Integer[ndarray, " row"]) -> Float[ndarray, " cell"]:
    count = np.bincount(cell)
    large = count >= FEWEST
    base = np.bincount(cell, before)[large]
    return np.asarray((np.bincount(cell, after)[large] - base) / base)
