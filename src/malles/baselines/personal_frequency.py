"""Personal frequency: how often the customer bought each product, shrunk to what others buy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.columns import require_features
from malles.baselines.last_purchased import slate_popularity
from malles.baselines.simple import SimpleRule, fit_weights, special_shares
from malles.vocabulary import ChoiceData


@final
@dataclass(frozen=True)
class FittedPersonalFrequency(SimpleRule):
    """P proportional to own purchases of the product plus `prior` x its popularity in the slate."""

    prior: float
    """How many own purchases the popularity of the slate is worth (about 2 on grocery data)."""

    name: ClassVar[str] = "personal_frequency"
    reads: ClassVar[tuple[str, ...]] = ("own_lines", "popularity")

    def weights(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Own purchases + prior x popularity: the posterior mean of a Dirichlet prior."""
        return _weigh(data, np.array([self.prior]))


@final
@dataclass(frozen=True)
class PersonalFrequency:
    """The two-line formula that carries most of the signal in repeat purchases.

        P[n, j] = (own[n, j] + w popularity[n, j]) / sum over k of the same,   popularity sums to one

    Source: the Dirichlet-multinomial of Goodhardt, Ehrenberg & Chatfield (1984).
    """

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedPersonalFrequency:
        """The prior weight w with the highest likelihood."""
        require_features(train, FittedPersonalFrequency.reads, FittedPersonalFrequency.name)
        return FittedPersonalFrequency(*special_shares(train), *fit_weights(train, _weigh, (2.3,)))


def _weigh(data: ChoiceData, numbers: ndarray) -> ndarray:
    own = np.expm1(data.feature("own_lines").astype(np.float64))  # own_lines is log(1 + purchases)
    weight: ndarray = own + numbers[0] * slate_popularity(data)
    return weight
