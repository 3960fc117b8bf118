"""How well orders are foreseen: hits among the first ten, and errors of units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.evaluation.bootstrap import (
    Interval,
    bootstrap_interval,
    cluster_sums,
    clusters_of,
    draw_weights,
    paired_difference,
)
from malles.rules.power_law import Loss
from malles.wholesale.resellers.evidence import Evidence
from malles.wholesale.resellers.methods import Ranked

METRICS = {
    "hit_rate_at_10": (0, 5),
    "any_hit_at_10": (1, 5),
    "hit_rate_at_1": (2, 5),
    "units_error": (3, 6),
    "units_deviance": (4, 7),
}
"""Columns (numerator, denominator) of `case_terms`."""
TOP = 10


def case_terms(evidence: Evidence, ranked: Ranked, cases: int) -> Float[ndarray, "case column"]:
    """What every case adds to the scores.

        hit_rate_at_10  part of the first 10 that are ordered       any_hit_at_10  at least one of them is
        hit_rate_at_1   the first is ordered
        units_error     sum |units - forecast| / sum units          units_deviance  mean Poisson deviance
                        (both over the products ordered from the pool)

    Returns:
        Columns: hits / 10, any, first, absolute errors, deviances, 1, units, products ordered.
    """
    out = np.zeros((cases, 8))
    out[:, 5] = 1
    rows = np.flatnonzero(evidence.candidate)
    order = rows[np.lexsort((-ranked.score[rows], evidence.case[rows]))]
    case = evidence.case[order]
    rank = np.arange(len(case)) - np.searchsorted(case, case)
    top, first = order[rank < TOP], order[rank == 0]
    out[:, 0] = np.bincount(evidence.case[top], evidence.ordered[top], cases) / TOP
    out[:, 1] = out[:, 0] > 0
    out[:, 2] = np.bincount(evidence.case[first], evidence.ordered[first], cases)
    bought = np.flatnonzero(evidence.ordered)
    units, mean = evidence.units[bought], ranked.units[bought]
    for column, value in (
        (3, np.abs(units - mean)), (4, Loss.POISSON.terms(mean, units)), (6, units), (7, np.ones(len(units))),
    ):  # fmt: skip
        out[:, column] = np.bincount(evidence.case[bought], value, cases)
    return out


@dataclass(frozen=True)
class Scored:
    """Scores of a method, and their differences from the reference on the same cases."""

    value: dict[str, Interval]
    gap: dict[str, Interval]


def score_methods(
    terms: dict[str, Float[ndarray, "case column"]],
    customer: ndarray,
    reference: str,
    rng: np.random.Generator,
    draws: int = 500,
) -> dict[str, Scored]:
    """Intervals of all methods from the same draws of resellers.

    Args:
        terms: `case_terms` by method, the same cases in the same order.
        customer: reseller of every case.
        reference: the method that the others are compared with.
        rng: draws resellers.
        draws: of the bootstrap.
    """
    cluster = clusters_of(customer)
    weight = draw_weights(int(cluster.max()) + 1, draws, rng)
    sums = {name: cluster_sums(value, cluster) for name, value in terms.items()}
    out = {}
    for name, own in sums.items():
        value, gap = {}, {}
        for metric, (a, b) in METRICS.items():
            combine = _ratio(a, b)
            value[metric] = bootstrap_interval(own, weight, combine)
            gap[metric] = paired_difference(own, sums[reference], weight, combine)
        out[name] = Scored(value, gap)
    return out


def _ratio(a: int, b: int) -> Callable[[ndarray], ndarray]:
    return lambda s: s[..., a] / s[..., b]
