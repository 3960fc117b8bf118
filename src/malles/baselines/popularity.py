"""Popularity: what the chain, or this store, sold before (the deciding customer's own lines left out)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.columns import require_features
from malles.baselines.simple import SimpleRule, fit_weights, special_shares
from malles.vocabulary import ChoiceData


@final
@dataclass(frozen=True)
class FittedPopularityChain(SimpleRule):
    """P proportional to the chain share over the last weeks plus a floor."""

    floor: float
    """Share added to every product."""

    name: ClassVar[str] = "popularity_chain"
    reads: ClassVar[tuple[str, ...]] = ("chain_share",)

    def weights(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Chain share + floor."""
        return _weigh_chain(data, np.array([self.floor]))


@final
@dataclass(frozen=True)
class PopularityChain:
    """Market shares of the whole chain in the slate."""

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedPopularityChain:
        """The floor with the highest likelihood."""
        require_features(train, FittedPopularityChain.reads, FittedPopularityChain.name)
        return FittedPopularityChain(*special_shares(train), *fit_weights(train, _weigh_chain, (0.01,)))


@final
@dataclass(frozen=True)
class FittedPopularityStore(SimpleRule):
    """P proportional to the store's share, plus a part of the chain's, plus a floor."""

    chain_weight: float
    """Weight of the chain share where the store share has 1."""
    floor: float

    name: ClassVar[str] = "popularity_store"
    reads: ClassVar[tuple[str, ...]] = ("store_share", "chain_share")

    def weights(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Store share + chain_weight x chain share + floor."""
        return _weigh_store(data, np.array([self.chain_weight, self.floor]))


@final
@dataclass(frozen=True)
class PopularityStore:
    """Market shares of the occasion's store in the slate, shrunk to the chain's."""

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedPopularityStore:
        """The two weights with the highest likelihood."""
        require_features(train, FittedPopularityStore.reads, FittedPopularityStore.name)
        return FittedPopularityStore(*special_shares(train), *fit_weights(train, _weigh_store, (0.5, 0.01)))


def _weigh_chain(data: ChoiceData, numbers: ndarray) -> ndarray:
    weight: ndarray = data.feature("chain_share") + numbers[0]
    return weight


def _weigh_store(data: ChoiceData, numbers: ndarray) -> ndarray:
    weight: ndarray = data.feature("store_share") + numbers[0] * data.feature("chain_share") + numbers[1]
    return weight
