"""Household-clustered bootstrap: customers are drawn with replacement, all their occasions together.

Occasions of one customer resemble each other; drawing occasions would give intervals about two thirds as wide
as the honest ones. Sums per customer are formed once; a draw is a multinomial weight per customer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Integer
from numpy import ndarray

from malles.errors import DataError

LEVEL = 0.95
"""Coverage of every interval."""

DRAWS = 500


@dataclass(frozen=True)
class Interval:
    """A value with the bounds of its interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def clusters_of(customer: Integer[ndarray, " occasion"]) -> Integer[ndarray, " occasion"]:
    """Dense cluster numbers; customers that are not known (-1) are clusters of their own.

    >>> clusters_of(np.array([7, -1, 7, -1]))
    array([0, 1, 0, 2])
    """
    unknown = customer < 0
    label = customer.astype(np.int64)
    label[unknown] = customer.max(initial=0) + 1 + np.arange(np.count_nonzero(unknown))
    return np.unique(label, return_inverse=True)[1].reshape(-1)


def cluster_sums(
    terms: Float[ndarray, "occasion column"], cluster: Integer[ndarray, " occasion"]
) -> Float[ndarray, "cluster column"]:
    """Sums of every column per cluster."""
    count = int(cluster.max(initial=-1)) + 1
    return np.column_stack([np.bincount(cluster, terms[:, c], count) for c in range(terms.shape[1])])


def draw_weights(clusters: int, draws: int, rng: np.random.Generator) -> Float32[ndarray, "draw cluster"]:
    """How often each cluster is drawn; every row sums to the number of clusters."""
    weight = np.empty((draws, clusters), np.float32)
    for d in range(draws):
        weight[d] = np.bincount(rng.integers(0, clusters, clusters), minlength=clusters)
    return weight


def bootstrap_interval(
    sums: Float[ndarray, "cluster column"],
    weight: Float32[ndarray, "draw cluster"],
    combine: Callable[[ndarray], ndarray],
    *,
    level: float = LEVEL,
    centred: bool = False,
) -> Interval:
    """Percentile interval of a function of sums.

    Args:
        sums: sums per cluster.
        weight: multiplicities of the clusters, the same for everything that is compared (then differences
            are paired).
        combine: from sums [..., column] to the value [...].
        level: coverage.
        centred: move the interval by what the draws lie above or below the value on average; for
            absolute or squared gaps, which resampling noise alone makes larger.

    Source: Efron and Tibshirani (1993), chapter 13; Cameron and Miller (2015) for clusters.
    """
    if len(sums) < 2:
        raise DataError(f"an interval over customers needs at least 2 of them, got {len(sums)}.")
    drawn = combine(weight.astype(np.float64) @ sums)
    return interval_of(float(combine(sums.sum(axis=0))), drawn, level=level, centred=centred)


def interval_of(
    value: float, drawn: Float[ndarray, " draw"], *, level: float = LEVEL, centred: bool = False
) -> Interval:
    """A value with the percentiles of its draws; see `bootstrap_interval` for `centred`."""
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(drawn):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    shift = value - float(drawn.mean()) if centred else 0.0
    return Interval(value, float(low) + shift, float(high) + shift)


def paired_difference(
    sums: Float[ndarray, "cluster column"],
    reference: Float[ndarray, "cluster column"],
    weight: Float32[ndarray, "draw cluster"],
    combine: Callable[[ndarray], ndarray],
    *,
    level: float = LEVEL,
    centred: bool = False,
) -> Interval:
    """Interval of metric(model) - metric(reference), both computed on the same draws."""
    columns = sums.shape[1]
    return bootstrap_interval(
        np.hstack([sums, reference]),
        weight,
        lambda s: combine(s[..., :columns]) - combine(s[..., columns:]),
        level=level,
        centred=centred,
    )


def mean_interval(
    value: Float[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
) -> Interval:
    """Interval of a plain mean over occasions, clustered by customer."""
    cluster = clusters_of(customer)
    terms = np.column_stack([value.astype(np.float64), np.ones(len(value))])
    sums = cluster_sums(terms, cluster)
    return bootstrap_interval(sums, draw_weights(len(sums), draws, rng), lambda s: s[..., 0] / s[..., 1])
