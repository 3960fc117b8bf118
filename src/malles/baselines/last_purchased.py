"""The customer buys what it bought last time; without a last time, what is popular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.columns import is_product, require_features
from malles.baselines.simple import SimpleRule, fit_weights, special_shares
from malles.vocabulary import ChoiceData


@final
@dataclass(frozen=True)
class FittedLastPurchased(SimpleRule):
    """P proportional to popularity, plus a fitted weight on the products of the last category trip."""

    loyalty: float
    """Weight of the last purchase where all the popularity of the slate has 1."""

    name: ClassVar[str] = "last_purchased"
    reads: ClassVar[tuple[str, ...]] = ("own_last", "popularity")

    def weights(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Slate popularity + loyalty x part of the last trip."""
        return _weigh(data, np.array([self.loyalty]))


@final
@dataclass(frozen=True)
class LastPurchased:
    """The product bought last time with a fixed chance, else a product by popularity."""

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedLastPurchased:
        """The loyalty with the highest likelihood."""
        require_features(train, FittedLastPurchased.reads, FittedLastPurchased.name)
        return FittedLastPurchased(*special_shares(train), *fit_weights(train, _weigh, (1.0,)))


def slate_popularity(data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
    """Popularity as shares that sum to one over the available products of each slate.

    Reads the feature `popularity`, the logarithm of what others bought in this store and in the chain.
    """
    product = is_product(data.occasions)
    share = np.where(product, np.exp(data.feature("popularity").astype(np.float64)), 0.0)
    total = share.sum(axis=1, keepdims=True)
    popularity: ndarray = share / np.where(total > 0, total, 1.0)
    return popularity


def _weigh(data: ChoiceData, numbers: ndarray) -> ndarray:
    weight: ndarray = slate_popularity(data) + numbers[0] * data.feature("own_last")
    return weight
