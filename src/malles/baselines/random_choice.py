"""Random choice: every product of the choice set is equally likely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.simple import SimpleRule, special_shares
from malles.vocabulary import ChoiceData


@final
@dataclass(frozen=True)
class FittedRandom(SimpleRule):
    """Uniform over the available products."""

    name: ClassVar[str] = "random"

    def weights(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """One each."""
        return np.ones(data.occasions.shape)


@final
@dataclass(frozen=True)
class Random:
    """Every product of the choice set is equally likely: P[n, j] = 1 / J[n]."""

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedRandom:
        """Only the shares of the outside option and of OTHER are learnt."""
        return FittedRandom(*special_shares(train))
