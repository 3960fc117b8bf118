"""Multiplicative calibration of simulated units per cell (a category), shrunk by a gamma-Poisson rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize_scalar, nnls
from scipy.special import gammaln

from malles.errors import DataError

_TREND_WEEKS = 6
"""A trend through fewer weeks is mostly the noise of its ends."""


@dataclass(frozen=True)
class RateMap:
    """Factors by which simulated units are multiplied."""

    rate: Float[ndarray, " cell"]
    """Posterior mean ratio of actual to simulated units; the centre where nothing was simulated."""
    centre: float
    """What the rates are shrunk towards."""
    strength: float
    """Units (after division by `dispersion`) of evidence that the prior is worth; `inf` = all cells share
    the centre.
    """
    dispersion: Float[ndarray, " cell"]
    """Variance of weekly units around rate x simulated, over the Poisson variance, as fitted; at least 1."""
    trend: float
    """Growth of the ratio per week, logarithmic, common to all cells; 0 without trend."""
    weeks: int
    """Calibration weeks."""

    def apply(
        self, simulated: Float[ndarray, "cell week"], *, first_week_ahead: int = 1
    ) -> Float[ndarray, "cell week"]:
        """Calibrated units of the weeks that follow the calibration weeks.

        Args:
            simulated: simulated units, same cells as fitted.
            first_week_ahead: how many weeks the first column lies after the last calibration week.
        """
        if len(simulated) != len(self.rate):
            raise DataError(f"there are {len(simulated)} cells, but the map was fitted on {len(self.rate)}.")
        # the trend is centred on the middle of the calibration weeks, and stops after as many weeks as it
        # was seen
        ahead = np.minimum(np.arange(simulated.shape[1]) + first_week_ahead, self.weeks)
        growth = np.exp(self.trend * (ahead + (self.weeks - 1) / 2))
        return np.asarray(simulated * self.rate[:, None] * growth)


def fit_rate_map(
    actual: Float[ndarray, "cell week"],
    simulated: Float[ndarray, "cell week"],
    *,
    centre: float | None = 1.0,
    trend: bool = False,
    strength: float | None = None,
) -> RateMap:
    """Ratio of actual to simulated units per cell over the calibration weeks, by empirical Bayes.

        A[c] ~ Poisson(r[c] S[c]) overdispersed by d[c],   r[c] ~ Gamma(mean centre, strength k)
        rate[c] = (k centre + A[c] / d[c]) / (k + S[c] / d[c]),   d[c] = 1 + a + b m[c]

    k maximises the marginal (negative-binomial) likelihood of all cells together; a and b describe how much
    more weekly units vary around the cell's own ratio than Poisson counts do, growing with the cell's mean
    weekly units m (promotions move large categories by far more than chance). A cell with few units stays
    near the centre.

    Args:
        actual: units sold per cell and calibration week.
        simulated: units simulated for the same cells and weeks.
        centre: what rates are shrunk towards; None = the ratio of all cells together.
        trend: also fit one logarithmic growth of the ratio per week, shrunk to 0 by its own standard error;
            with fewer than 6 weeks there is none. Off by default: it made forecasts worse.
        strength: worth of the prior in units; None = estimated, 0 = plain ratios.

    Returns:
        The fitted map.

    Source: Robbins (1956); Clayton and Kaldor (1987), Biometrics 43.
    """
    if actual.shape != simulated.shape or actual.ndim != 2 or actual.size == 0:
        raise DataError(
            f"actual is {actual.shape} but simulated is {simulated.shape}; both are [cell, week], not empty."
        )
    if (
        np.any(actual < 0)
        or np.any(simulated < 0)
        or not (np.isfinite(actual).all() and np.isfinite(simulated).all())
    ):
        raise DataError("units must be finite and at least 0.")
    weeks = actual.shape[1]
    growth = _trend(actual, simulated) if trend and weeks >= _TREND_WEEKS else 0.0
    exposure = simulated * np.exp(growth * (np.arange(weeks) - (weeks - 1) / 2))
    A, S = actual.sum(axis=1), exposure.sum(axis=1)
    pooled = A.sum() / S.sum() if S.sum() > 0 and A.sum() > 0 else 1.0
    mean = pooled if centre is None else centre
    ratio = np.where(S > 0, A / np.where(S > 0, S, 1.0), mean)
    dispersion = _dispersion(actual, ratio[:, None] * exposure)
    a, s = A / dispersion, S / dispersion
    k = _strength(a[S > 0], s[S > 0], mean) if strength is None else strength
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.full(len(A), mean) if np.isinf(k) else (k * mean + a) / (k + s)
    return RateMap(np.where(S > 0, rate, mean), float(mean), float(k), dispersion, growth, weeks)


def _dispersion(actual: ndarray, expected: ndarray) -> ndarray:
    """Variance over Poisson variance per cell: 1 + a + b m, a and b >= 0, fitted to Pearson statistics."""
    used = expected > 0
    freedom = used.sum(axis=1) - 1
    mean = np.where(used, expected, 0.0).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
    safe = np.where(used, expected, 1.0)
    pearson = np.where(used, (actual - safe) ** 2 / safe, 0.0).sum(axis=1) / np.maximum(freedom, 1)
    known = freedom > 0
    fitted = np.ones(len(actual))
    if np.count_nonzero(known) < 3:
        return fitted * max(1.0, float(pearson[known].mean())) if known.any() else fitted
    design = np.column_stack([np.ones(len(mean)), mean])
    for _ in range(5):  # the spread of a Pearson statistic is proportional to its mean
        weight = np.sqrt(np.where(known, freedom, 0)) / fitted
        excess, _ = nnls(design[known] * weight[known, None], (pearson[known] - 1) * weight[known])
        fitted = 1.0 + design @ excess
    return fitted


def _strength(a: ndarray, s: ndarray, mean: float) -> float:
    """Prior strength k by maximum marginal likelihood; inf when the ratios vary no more than noise."""
    if len(a) < 2:
        return float("inf")

    def loss(log_k: float) -> float:
        k = np.exp(log_k)
        shape = k * mean
        return -float(
            np.sum(gammaln(shape + a) - gammaln(shape) + shape * np.log(k / (k + s)) - a * np.log(k + s))
        )

    low, high = np.log(1e-2), np.log(1e6)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float("inf") if high - found.x < 0.5 else float(np.exp(found.x))


def _trend(actual: ndarray, simulated: ndarray) -> float:
    """Slope of the log ratio of all cells on the week, shrunk to 0 by b**2 / (b**2 + se**2)."""
    a, s = actual.sum(axis=0), simulated.sum(axis=0)
    if np.any(a <= 0) or np.any(s <= 0):
        return 0.0
    y = np.log(a / s)
    t = np.arange(len(y)) - (len(y) - 1) / 2
    b = float(t @ y / (t @ t))
    residual = y - y.mean() - b * t
    variance = max(float(residual @ residual) / max(len(y) - 2, 1), float(np.mean(1 / a))) / float(t @ t)
    return b * b * b / (b * b + variance) if b else 0.0
