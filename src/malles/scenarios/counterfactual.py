"""What customers would do in one world, and a number with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.vocabulary import Occasions


@dataclass(frozen=True)
class Demand:
    """What the customers of one world would do on each occasion (one trip and one category)."""

    buy: Float[ndarray, " occasion"]
    """Probability that the trip buys in the category."""
    other: Float[ndarray, " occasion"]
    """Probability that it buys outside the slate, given that it buys."""
    probability: Float[ndarray, "occasion alternative"]
    """Choice probabilities given that it buys on the shelf."""
    units: Float[ndarray, "occasion alternative"]
    """Expected units of each alternative, given that it is bought."""
    other_units: Float[ndarray, " occasion"]
    """Expected units given that it buys outside the slate."""

    def expected(self) -> tuple[Float[ndarray, "occasion alternative"], Float[ndarray, " occasion"]]:
        """Expected units of every alternative, and of other products."""
        shelf = (self.buy * (1 - self.other))[:, None] * self.probability * self.units
        return np.asarray(shelf), np.asarray(self.buy * self.other * self.other_units)


Decide = Callable[[Occasions], Demand]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"
