"""Distances between two distributions: shares over the same cells, or values on a line.

Each is 0 for equal distributions and grows with the difference. Small samples have a distance above 0 even
from the true distribution: read it beside its sampling floor (`evaluation/aggregate.py`).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import DataError


def kl_distance(actual: Float[ndarray, " cell"], predicted: Float[ndarray, " cell"]) -> float:
    """Kullback-Leibler divergence of the prediction from the actual shares, in nats.

        KL(a || p) = sum over cells with a > 0 of a log(a / p)

    Args:
        actual: non-negative masses; normalised here.
        predicted: non-negative masses over the same cells; normalised here.

    Returns:
        Nats, at least 0; `inf` where the prediction gives no mass to a cell that occurred.

    Source: Kullback and Leibler (1951).

    >>> round(kl_distance(np.array([0.5, 0.5]), np.array([0.25, 0.75])), 4)
    0.1438
    """
    a, p = _shares(actual, "actual"), _shares(predicted, "predicted")
    seen = a > 0
    if np.any(p[seen] == 0):
        return float("inf")
    return float(max(0.0, np.sum(a[seen] * np.log(a[seen] / p[seen]))))


def total_variation_distance(actual: Float[ndarray, " cell"], predicted: Float[ndarray, " cell"]) -> float:
    """Half the sum of absolute share differences: the mass that would have to move, in [0, 1].

    >>> total_variation_distance(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    0.25
    """
    return float(0.5 * np.abs(_shares(actual, "actual") - _shares(predicted, "predicted")).sum())


def jensen_shannon_distance(actual: Float[ndarray, " cell"], predicted: Float[ndarray, " cell"]) -> float:
    """Square root of the Jensen-Shannon divergence in nats: symmetric, finite, in [0, sqrt(log 2)].

        JS = sqrt( (KL(a || m) + KL(p || m)) / 2 ),   m = (a + p) / 2

    Source: Lin (1991); Endres and Schindelin (2003) for the metric.

    >>> round(jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) ** 2, 6)
    0.693147
    """
    a, p = _shares(actual, "actual"), _shares(predicted, "predicted")
    middle = (a + p) / 2
    return float(np.sqrt((kl_distance(a, middle) + kl_distance(p, middle)) / 2))


def wasserstein_distance(
    actual_value: Float[ndarray, " row"],
    predicted_value: Float[ndarray, " point"],
    actual_weight: Float[ndarray, " row"] | None = None,
    predicted_weight: Float[ndarray, " point"] | None = None,
) -> float:
    """Wasserstein-1 distance between two weighted samples of numbers, in the unit of the numbers.

        W1 = integral of |F_actual(x) - F_predicted(x)| dx

    Args:
        actual_value: observed numbers, for example prices of the products bought.
        predicted_value: numbers that the prediction spreads its mass over.
        actual_weight: mass of each observed number; equal if absent.
        predicted_weight: mass of each predicted number; equal if absent.

    Source: Vallender (1974).

    >>> wasserstein_distance(np.array([0.0, 1.0]), np.array([0.0, 2.0]))
    0.5
    """
    a = _shares(np.ones(len(actual_value)) if actual_weight is None else actual_weight, "actual_weight")
    p = _shares(
        np.ones(len(predicted_value)) if predicted_weight is None else predicted_weight, "predicted_weight"
    )
    value = np.concatenate([actual_value, predicted_value]).astype(float)
    mass = np.concatenate([a, -p])
    order = np.argsort(value, kind="stable")
    gap = np.abs(np.cumsum(mass[order]))[:-1]
    return float(np.sum(gap * np.diff(value[order])))


def _shares(mass: ndarray, name: str) -> ndarray:
    """Masses divided by their sum, checked."""
    mass = np.asarray(mass, float)
    total = mass.sum()
    if mass.size == 0 or not np.all(np.isfinite(mass)) or np.any(mass < 0) or total <= 0:
        raise DataError(
            f"{name} is not a distribution: it has {mass.size} cells and sum {total:.3g}; "
            "give finite, non-negative masses with a positive sum."
        )
    return np.asarray(mass / total)
