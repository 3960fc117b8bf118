"""Taste around an archetype: what is a customer's own, estimated on probes, and drawn for new customers.

    log P[n, t, j] - log Q[a(n), t, j]  =  x[t, j] . taste[n] + a constant per (n, t) + what is left

Synthetic customers take an archetype and draw their tastes around its mean; every number has the key
(seed, 0, customer, draw), so a population of any size is made in shards that fit together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int16
from numpy import ndarray
from scipy.special import ndtri

from malles.errors import DataError
from malles.population.kernels import uniform

KIND, TASTE = 1 << 52, 1 << 53
"""Where the draw keys of archetypes and of tastes begin."""


@dataclass(frozen=True)
class Tastes:
    """What customers like more or less than their archetype."""

    taste: Float32[ndarray, "customer coefficient"]
    """Change of log-odds per unit of an attribute."""
    explained: float
    """Part of the squared log-odds residuals that the tastes explain, [0, 1]."""


def fit_tastes(
    log_probability: Float[ndarray, "customer probe alternative"],
    archetype: Float[ndarray, "customer probe alternative"],
    attribute: Float[ndarray, "probe alternative coefficient"],
    available: Bool[ndarray, "probe alternative"],
    ridge: float = 1e-6,
) -> Tastes:
    """Each customer's own tastes by least squares on the log-odds of its probes.

    Args:
        log_probability: every customer's answers.
        archetype: its archetype's answers to the same probes, log-probabilities.
        attribute: x; a constant per probe is taken out.
        available: choice set of each probe.
        ridge: added to the diagonal, in units of the mean diagonal, so that an attribute that never varies
            gets no taste.
    """

    def centre(values: ndarray) -> ndarray:
        weight = available / np.maximum(available.sum(1, keepdims=True), 1)
        shaped = weight.reshape(weight.shape + (1,) * (values.ndim - 2)) if values.ndim > 2 else weight
        return np.asarray(values - (values * shaped).sum(1, keepdims=True))

    seen = available.reshape(-1)
    x = centre(np.where(available[..., None], attribute, 0.0)).reshape(len(seen), -1)[seen]
    gap = np.where(available, log_probability - archetype, 0.0)
    gap = gap - gap.sum(2, keepdims=True) / np.maximum(available.sum(1), 1)[None, :, None]
    r = gap.reshape(len(gap), -1)[:, seen]
    gram = x.T @ x
    gram += ridge * max(float(np.trace(gram)) / len(gram), 1e-12) * np.eye(len(gram))
    taste = np.linalg.solve(gram, x.T @ r.T).T
    left = float(((r - taste @ x.T) ** 2).sum())
    return Tastes(taste.astype(np.float32), 1 - left / max(float((r**2).sum()), 1e-300))


def taste_spread(
    taste: Float[ndarray, "customer coefficient"], code: Int[ndarray, " customer"], count: int
) -> tuple[Float[ndarray, "archetype coefficient"], Float[ndarray, "archetype coefficient"]]:
    """Mean and standard deviation of tastes within each archetype; deviations are pooled where it has one
    member only.

    >>> taste_spread(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), 2)
    (array([[2.],
           [5.]]), array([[1.],
           [0.]]))
    """
    size = np.maximum(np.bincount(code, minlength=count), 1)[:, None]
    mean = np.stack([np.bincount(code, t, count) for t in taste.T], 1) / size
    square = np.stack([np.bincount(code, t, count) for t in ((taste - mean[code]) ** 2).T], 1) / size
    return mean, np.sqrt(square)


@dataclass(frozen=True)
class Crowd:
    """Customers made from archetypes; what the kernels of a round take."""

    first: int
    """Number of the first customer."""
    code: Int16[ndarray, " customer"]
    """Archetype."""
    taste: Float32[ndarray, "customer coefficient"]
    """Taste, own deviation included."""

    def __len__(self) -> int:
        return len(self.code)


def draw_crowd(
    share: Float[ndarray, " archetype"],
    mean: Float[ndarray, "archetype coefficient"],
    spread: Float[ndarray, "archetype coefficient"],
    *,
    first: int,
    count: int,
    seed: int,
) -> Crowd:
    """Customers `first` to `first + count` of a synthetic population of any size.

        archetype a with chance share[a],   taste ~ normal(mean[a], spread[a]^2), each coefficient by itself

    Args:
        share: weights of the archetypes, >= 0, for example raked ones.
        mean: mean taste.
        spread: standard deviation of taste; 0 gives copies of the archetype.
        first: number of the first customer: shards drawn apart are those drawn together.
        count: customers.
        seed: of the population.

    >>> crowd = draw_crowd(np.array([1.0, 0.0]), np.ones((2, 1)), np.zeros((2, 1)), first=0, count=3, seed=1)
    >>> crowd.code, crowd.taste.ravel()
    (array([0, 0, 0], dtype=int16), array([1., 1., 1.], dtype=float32))
    """
    weight = np.asarray(share, np.float64)
    if not len(weight) or (weight < 0).any() or not np.isfinite(weight).all() or weight.sum() <= 0:
        raise DataError(
            f"shares of {len(weight)} archetypes are negative or add up to nothing; give weights >= 0."
        )
    if mean.shape != spread.shape or len(mean) != len(weight) or (np.asarray(spread) < 0).any():
        raise DataError(
            f"mean taste is {mean.shape} and spread {spread.shape} for {len(weight)} archetypes; both are "
            "[archetype, coefficient], and a spread is never below 0."
        )
    if count < 0 or first < 0:
        raise DataError(f"a shard of {count} customers from number {first} on cannot be; give numbers >= 0.")
    who = np.arange(first, first + count, dtype=np.int64)
    run = np.cumsum(weight)
    u = uniform(seed, 0, who, np.full(count, KIND))
    last = int(np.flatnonzero(weight)[-1])
    code = np.minimum(np.searchsorted(run, u * run[-1], side="right"), last).astype(np.int16)
    taste = np.empty((count, mean.shape[1]), np.float32)
    for k in range(mean.shape[1]):
        normal = ndtri(uniform(seed, 0, who, np.full(count, TASTE + k)))
        taste[:, k] = mean[code, k] + spread[code, k] * normal
    return Crowd(first, code, taste)
