"""Demand over a lead time, with its uncertainty: a distribution over whole units.

mean and variance of a period from history (or from simulated draws of a market)
variance > mean    negative binomial: a gamma-mixed Poisson
otherwise          Poisson
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy.stats import nbinom, poisson

from malles.errors import DataError

TAIL = 1e-9
"""Probability beyond the largest unit that is told apart."""
LARGEST = 200_000
"""Units at most: a distribution over more needs coarser units (cases, pallets)."""


@dataclass(frozen=True)
class Demand:
    """A distribution over units 0, 1, 2, ..."""

    probability: Float[ndarray, " unit"]
    """Sums to one."""

    @property
    def mean(self) -> float:
        """Expected units."""
        return float(np.arange(len(self.probability)) @ self.probability)

    @property
    def deviation(self) -> float:
        """Standard deviation, units."""
        units = np.arange(len(self.probability))
        return float(max(float(self.probability @ units**2) - self.mean**2, 0.0) ** 0.5)

    def quantile(self, level: float) -> int:
        """Smallest units with P(demand <= units) >= level.

        >>> Demand(np.array([0.2, 0.3, 0.5])).quantile(0.5)
        1
        """
        if not 0 <= level <= 1:
            raise DataError(f"a quantile needs a level in [0, 1], got {level}")
        reached = np.flatnonzero(np.cumsum(self.probability) >= level - 1e-12)
        return int(reached[0]) if len(reached) else len(self.probability) - 1

    def expected_sales(self) -> Float[ndarray, " unit"]:
        """E[min(demand, q)] for q = 0, 1, 2, ...: the sum of P(demand >= k) over k <= q.

        >>> Demand(np.array([0.2, 0.3, 0.5])).expected_sales()
        array([0. , 0.8, 1.3])
        """
        more = 1 - np.cumsum(self.probability)  # P(demand > q)
        return np.concatenate([[0.0], np.cumsum(np.maximum(more, 0.0))])[: len(self.probability)]


def build_demand(mean: float, variance: float | None = None) -> Demand:
    """Poisson demand, or negative binomial where the variance is larger than the mean.

    Args:
        mean: expected units of the period, >= 0.
        variance: of the units; None or below the mean = Poisson.

    >>> round(build_demand(4.0, 8.0).deviation ** 2, 3)
    8.0
    """
    if not (np.isfinite(mean) and mean >= 0):
        raise DataError(f"expected units must be a finite number of at least 0, got {mean}")
    if mean == 0:
        return Demand(np.ones(1))
    if variance is None or variance <= mean * (1 + 1e-9):
        law = poisson(mean)
    else:
        law = nbinom(mean * mean / (variance - mean), mean / variance)
    top = int(law.ppf(1 - TAIL)) + 1
    if top > LARGEST:
        raise DataError(
            f"demand of {mean:.3g} units reaches {top} units; count it in cases or pallets, "
            f"at most {LARGEST} of them."
        )
    p = law.pmf(np.arange(top + 1))
    return Demand(p / p.sum())


def recent_weight(periods: int, half_life: float = 8.0) -> Float[ndarray, " period"]:
    """How much each past period counts in a forecast, oldest first: 2^(-age / half-life).

    >>> recent_weight(3, 1.0)
    array([0.25, 0.5 , 1.  ])
    """
    return np.asarray(0.5 ** (np.arange(periods)[::-1] / half_life))


def forecast_demand(
    history: Float[ndarray, " period"], periods: float = 1.0, *, half_life: float = 8.0
) -> Demand:
    """Demand of the next `periods` from units per period, recent ones counting more.

        m = Σ w x / Σ w,   w = 2^(-age / half-life),   n = (Σ w)² / Σ w²
        s² = Σ w (x - m)² / Σ w · n / max(n - 1, 1)
        mean = T m,   variance = max(T m, T s² + T² max(s², m) / n)

    T is the number of periods; the term in T² is the uncertainty of m itself.

    Args:
        history: units of past periods, oldest first.
        periods: length of the time to cover, in periods (lead time plus review time); may be a fraction.
        half_life: periods after which an observation counts half.

    >>> round(forecast_demand(np.array([4.0, 4.0, 4.0, 4.0]), 2).mean, 6)
    8.0
    """
    x = np.asarray(history, float)
    if not len(x) or not np.isfinite(x).all() or (x < 0).any():
        raise DataError(f"a forecast needs units of at least one past period, all >= 0; got {len(x)} periods")
    if not periods > 0:
        raise DataError(f"the time to cover must be above 0 periods, got {periods}")
    w = recent_weight(len(x), half_life)
    total = w.sum()
    mean = float(w @ x / total)
    effective = float(total**2 / (w @ w))
    spread = float(w @ (x - mean) ** 2 / total) * effective / max(effective - 1, 1.0)
    variance = periods * spread + periods**2 * max(spread, mean) / effective
    return build_demand(mean * periods, max(variance, mean * periods))


def demand_of_draws(units: Integer[ndarray, " draw"]) -> Demand:
    """The distribution of simulated units: what a market hands to a buyer.

    >>> demand_of_draws(np.array([0, 2, 2, 3])).probability
    array([0.25, 0.  , 0.5 , 0.25])
    """
    if not len(units) or units.min() < 0:
        raise DataError(f"draws of demand must be whole units >= 0, at least one; got {len(units)}")
    return Demand(np.bincount(np.asarray(units, np.int64)) / len(units))
