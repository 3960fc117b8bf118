"""Logit choice probabilities: utility in, a distribution over the available alternatives out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.errors import OccasionError


def choice_probabilities(
    utility: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
) -> Float[ndarray, "occasion alternative"]:
    """Logit choice probabilities over the available alternatives.

        P[n, j] = exp(V[n, j]) / sum of exp(V[n, k]) over available k

    Args:
        utility: systematic utility V, dimensionless (error scale 1). The outside
            option is column 0; what stands in unavailable columns is ignored.
        available: which columns the customer could choose.

    Returns:
        Probabilities. Each row sums to one; unavailable columns are exactly 0.

    Raises:
        OccasionError: an occasion has no available alternative.

    Source: McFadden (1974); Train (2009), chapter 3.

    >>> V = np.array([[0.0, 1.0, 9.0]])
    >>> choice_probabilities(V, np.array([[True, True, False]])).round(3)
    array([[0.269, 0.731, 0.   ]])
    """
    require_alternatives(available)
    masked = np.where(available, utility, -np.inf)
    weight = np.exp(masked - masked.max(axis=1, keepdims=True))  # largest is exp(0): no overflow
    probability: ndarray = weight / weight.sum(axis=1, keepdims=True)
    return probability


def log_choice_probabilities(
    utility: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
) -> Float[ndarray, "occasion alternative"]:
    """Natural logarithms of the logit choice probabilities; exact where the probability underflows.

    Args:
        utility: systematic utility V, dimensionless; ignored where unavailable.
        available: which columns the customer could choose.

    Returns:
        Log-probabilities in nats; unavailable columns are -inf.

    Raises:
        OccasionError: an occasion has no available alternative.

    >>> V = np.array([[0.0, 1000.0]])
    >>> log_choice_probabilities(V, np.ones((1, 2), bool))
    array([[-1000.,     0.]])
    """
    require_alternatives(available)
    masked = np.where(available, utility, -np.inf)
    masked = masked - masked.max(axis=1, keepdims=True)
    log_probability: ndarray = masked - np.log(np.exp(masked).sum(axis=1, keepdims=True))
    return log_probability


def normalised_weights(
    weight: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
) -> Float[ndarray, "occasion alternative"]:
    """Probabilities proportional to non-negative weights; a row without any weight becomes uniform.

        P[n, j] = w[n, j] / sum of w[n, k] over available k

    Args:
        weight: non-negative and finite, any unit; ignored where unavailable.
        available: which columns the customer could choose.

    Returns:
        Probabilities. Each row sums to one; unavailable columns are exactly 0.

    Raises:
        OccasionError: an occasion has no available alternative.

    Source: Luce (1959), the choice axiom.

    >>> normalised_weights(np.array([[1.0, 3.0], [0.0, 0.0]]), np.ones((2, 2), bool))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    require_alternatives(available)
    masked = np.where(available, weight, 0.0).astype(np.float64)
    largest = masked.max(axis=1, keepdims=True)
    masked = np.where(largest > 0, masked / np.where(largest > 0, largest, 1.0), available)
    probability: ndarray = masked / masked.sum(axis=1, keepdims=True)
    return probability


def require_alternatives(available: Bool[ndarray, "occasion alternative"]) -> None:
    """Raise OccasionError if an occasion has no available alternative."""
    empty = ~available.any(axis=1)
    if empty.any():
        first = int(np.flatnonzero(empty)[0])
        raise OccasionError(
            f"{empty.sum()} of {len(available)} occasions have no available alternative (first: {first}). "
            "Each needs one: remove these occasions or make an alternative available."
        )
