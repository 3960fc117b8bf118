"""Checks that any model of demand should pass, whatever its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.errors import DataError


@dataclass(frozen=True)
class PriceResponse:
    """What happens to a product's probability when only its own price changes."""

    factor: Float[ndarray, " step"]
    """Price as a multiple of today's."""
    share: Float[ndarray, " step"]
    """Mean probability of the product."""
    rising_share: float
    """Part of the occasions in which a higher price ever raised the probability by more than the
    tolerance.
    """
    own_price_elasticity: float
    """Change of log share per change of log price between the factors around 1; usually negative."""

    @property
    def falls(self) -> bool:
        """Whether the mean probability never rises with the price."""
        return bool(np.all(np.diff(self.share) <= 1e-12))


def check_price_response(
    predict: Callable[[Float[ndarray, "occasion alternative"]], Float[ndarray, "occasion alternative"]],
    price: Float[ndarray, "occasion alternative"],
    focal: Integer[ndarray, " occasion"],
    factor: Float[ndarray, " step"],
    *,
    tolerance: float = 1e-6,
) -> PriceResponse:
    """Raise and lower the price of one alternative per occasion and watch its probability.

    Args:
        predict: from prices to choice probabilities, everything else held as it is.
        price: today's prices.
        focal: column whose price is changed in each occasion.
        factor: increasing multiples of today's price, on both sides of 1.
        tolerance: rises smaller than this are rounding.

    >>> def logit(price):
    ...     weight = np.exp(-price)
    ...     return weight / weight.sum(axis=1, keepdims=True)
    >>> found = check_price_response(logit, np.ones((1, 2)), np.array([0]), np.array([0.99, 1.0, 1.01]))
    >>> found.falls, round(found.own_price_elasticity, 2)
    (True, -0.5)
    """
    if len(factor) < 2 or np.any(np.diff(factor) <= 0) or factor[0] > 1 or factor[-1] < 1 or factor[0] <= 0:
        raise DataError(
            f"factors are {factor.tolist()}; give increasing positive numbers on both sides of 1."
        )
    row = np.arange(len(focal))
    path = np.empty((len(factor), len(focal)))
    for i, f in enumerate(factor):
        changed = price.copy()
        changed[row, focal] = price[row, focal] * f
        path[i] = predict(changed)[row, focal]
    share = path.mean(axis=1)
    above = max(1, int(np.searchsorted(factor, 1.0, side="right")))
    below = max(0, int(np.searchsorted(factor, 1.0, side="left")) - 1)
    above = min(above, len(factor) - 1)
    elasticity = np.log(share[above] / share[below]) / np.log(factor[above] / factor[below])
    rising = (np.diff(path, axis=0) > tolerance).any(axis=0)
    return PriceResponse(factor.astype(np.float64), share, float(rising.mean()), float(elasticity))


@dataclass(frozen=True)
class Stability:
    """Spread of an aggregate over repeated runs, and the dispersion it must not buy that with."""

    spread_error: float
    """Mean over cells of the standard deviation over runs, divided by the mean over cells."""
    dispersion: float
    """Standard deviation over cells of the mean over runs, divided by its mean: 0 says that everything
    collapsed.
    """


def compare_runs(value: Float[ndarray, "run cell"]) -> Stability:
    """Stability of shares or units over seeds or rewordings.

    >>> compare_runs(np.array([[1.0, 3.0], [1.0, 3.0]]))
    Stability(spread_error=0.0, dispersion=0.5)
    """
    if len(value) < 2:
        raise DataError(f"stability needs at least 2 runs, got {len(value)}.")
    mean = value.mean(axis=0)
    scale = mean.mean()
    return Stability(float(value.std(axis=0, ddof=1).mean() / scale), float(mean.std() / scale))


def in_choice_set(
    probability: Float[ndarray, "occasion alternative"], available: Bool[ndarray, "occasion alternative"]
) -> bool:
    """Whether rows sum to one and unavailable columns are exactly 0, as every choice model promises."""
    sums = probability.sum(axis=1, dtype=np.float64)
    return bool(
        np.all(probability[~available] == 0) and np.all(np.abs(sums - 1) < 1e-5) and np.all(probability >= 0)
    )
