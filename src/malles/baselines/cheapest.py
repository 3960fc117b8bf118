"""The cheapest product, and now and then another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.columns import is_product
from malles.baselines.simple import SimpleRule, fit_weights, special_shares
from malles.vocabulary import ChoiceData


@final
@dataclass(frozen=True)
class FittedCheapest(SimpleRule):
    """The cheapest product weighs more than each other product by a fitted factor."""

    advantage: float
    """Weight of a cheapest product where any other has 1."""

    name: ClassVar[str] = "cheapest"

    def weights(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """`advantage` for the products with the lowest price, 1 for the others."""
        return _weigh(data, np.array([self.advantage]))


@final
@dataclass(frozen=True)
class Cheapest:
    """The product with the lowest price per unit, ties shared, with the rest uniform."""

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedCheapest:
        """The advantage with the highest likelihood."""
        shares = special_shares(train)
        return FittedCheapest(*shares, *fit_weights(train, _weigh, (2.0,)))


def _weigh(data: ChoiceData, numbers: ndarray) -> ndarray:
    price = np.where(is_product(data.occasions), data.occasions.price, np.inf)
    return np.where(price == price.min(axis=1, keepdims=True), numbers[0], 1.0)
