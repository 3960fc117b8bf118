"""Units bought given that something is bought: distributions over 1, 2, ..., their summaries and their
loss.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

POINT_SHIFT = 0.35
"""A mean turns into whole units by floor(mean + 0.35): a right-skewed count has its median below its mean."""


def poisson_deviance(mean: Float[ndarray, " occasion"], units: Shaped[ndarray, " occasion"]) -> float:
    """Mean Poisson deviance of forecast means against units; 0 is perfect.

        D = 2 mean of (u log(u / m) - (u - m)),   u log(u / m) = 0 for u = 0

    Args:
        mean: forecast means m > 0, units.
        units: units bought u >= 0.

    Source: McCullagh & Nelder (1989), section 2.3.

    >>> round(poisson_deviance(np.array([1.0, 2.0]), np.array([1, 1])), 4)  # (0 + 2 (log(1/2) + 1)) / 2
    0.3069
    """
    u = units.astype(np.float64)
    log_ratio = np.log(np.where(u > 0, u, 1) / np.where(u > 0, mean, 1))
    return float(2 * np.mean(u * log_ratio - (u - mean)))


def truncated_mean(rate: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """Mean of a Poisson count given that it is not zero.

        m = r / (1 - exp(-r)),   1 in the limit r = 0

    >>> truncated_mean(np.array([0.0, np.log(2.0)])).round(4)  # log 2 / (1 - 1/2)
    array([1.    , 1.3863])
    """
    small = rate < 1e-6
    safe = np.where(small, 1.0, rate)
    return np.asarray(np.where(small, 1 + rate / 2, safe / -np.expm1(-safe)))


def truncated_rate(mean: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """Rate of the zero-truncated Poisson with the given mean >= 1; the inverse of `truncated_mean`.

    >>> truncated_rate(truncated_mean(np.array([0.5, 3.0]))).round(6)
    array([0.5, 3. ])
    """
    low, high = np.zeros(np.shape(mean)), np.array(mean, np.float64)  # the mean exceeds the rate
    for _ in range(60):  # halving: 60 steps exhaust a float64
        middle = (low + high) / 2
        below = truncated_mean(middle) < mean
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)


def truncated_deviance(mean: Float[ndarray, " occasion"], units: Shaped[ndarray, " occasion"]) -> float:
    """Mean deviance of the zero-truncated Poisson with the given means, for units >= 1.

        D = 2 mean of (l(u; rate of mean u) - l(u; rate of m)),   l(u; r) = u log r - log(exp(r) - 1)

    >>> truncated_deviance(np.array([1.5, 2.5]), np.array([1.5, 2.5]))
    0.0
    """

    def likelihood(rate: ndarray) -> ndarray:
        safe = np.maximum(rate, 1e-9)
        return np.asarray(units * np.log(safe) - safe - np.log(-np.expm1(-safe)))

    best, forecast = truncated_rate(units.astype(np.float64)), truncated_rate(np.maximum(mean, 1.0))
    return float(2 * np.mean(likelihood(best) - likelihood(forecast)))


def pmf_mean(pmf: Float[ndarray, "row units"]) -> Float[ndarray, " row"]:
    """Mean of distributions over 1, 2, ..., K units.

    >>> pmf_mean(np.array([[0.5, 0.25, 0.25]]))  # 0.5 + 0.5 + 0.75
    array([1.75])
    """
    return np.asarray(pmf @ np.arange(1, pmf.shape[1] + 1, dtype=pmf.dtype))


def pmf_median(pmf: Float[ndarray, "row units"]) -> Float[ndarray, " row"]:
    """Smallest number of units at which half of the mass is reached.

    >>> pmf_median(np.array([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]]))
    array([1., 2.])
    """
    return np.asarray(1.0 + (np.cumsum(pmf[:, :-1], axis=1) < 0.5 - 1e-9).sum(axis=1))


def tilt_to_mean(
    pmf: Float[ndarray, "row units"], mean: Float[ndarray, " row"], steps: int = 12
) -> Float[ndarray, "row units"]:
    """The distribution nearest to `pmf` (least Kullback-Leibler divergence) that has the given mean.

        q[k] = p[k] exp(t k) / sum of p[l] exp(t l),   t such that the mean of q is `mean`

    Args:
        pmf: distributions over 1, ..., K units with more than one possible value.
        mean: wanted means, between 1 and K.
        steps: at most so many Newton steps for t (the variance of q is the slope), in a shrinking bracket.

    Source: exponential tilting, Csiszár (1975).

    >>> tilt_to_mean(np.array([[0.5, 0.5]]), np.array([1.75])).round(4)
    array([[0.25, 0.75]])
    """
    k = np.arange(1, pmf.shape[1] + 1, dtype=np.float64)
    log_p = np.log(np.maximum(pmf.astype(np.float64), 1e-12))
    wanted = mean.astype(np.float64)
    t, low, high = np.zeros(len(pmf)), np.full(len(pmf), -20.0), np.full(len(pmf), 20.0)
    q = pmf.astype(np.float64)
    for step in range(steps + 1):
        tilted = log_p + t[:, None] * k
        q = np.exp(tilted - tilted.max(axis=1, keepdims=True))
        q /= q.sum(axis=1, keepdims=True)
        now = q @ k
        if step == steps or np.abs(now - wanted).max(initial=0) < 1e-6:
            break
        low, high = np.where(now < wanted, t, low), np.where(now < wanted, high, t)
        newton = t + np.clip((wanted - now) / np.maximum(q @ (k * k) - now**2, 1e-6), -2, 2)
        inside = ((newton > low) & (newton < high)) | (np.abs(newton - t) < 1e-9)
        t = np.where(inside, newton, (low + high) / 2)  # halve the bracket where Newton leaves it
    return np.asarray(q)


def point_of_mean(mean: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """Whole units from a mean alone: floor(mean + 0.35), at least 1.

    >>> point_of_mean(np.array([1.2, 1.7, 0.3]))
    array([1., 2., 1.])
    """
    return np.asarray(np.maximum(np.floor(mean + POINT_SHIFT), 1.0))
