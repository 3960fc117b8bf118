"""Declarative memory: how strongly past purchases are remembered, and what is retrieved.

    B = ln( sum over k of (t - t_k)^-d )           base level: frequent and recent purchases are strong
    A = B + sum over cues j of W_j S_j              spreading from what is in view
    P = exp(A_i / t) / (sum over k of exp(A_k / t) + exp(τ / t)),   t = √2 s

Source: Anderson & Lebiere (1998), The Atomic Components of Thought; Anderson et al. (2004), Psychological
Review 111.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.cognition.kernels import activate
from malles.errors import DataError
from malles.vocabulary import Lines, Occasions


def base_level(age: Float[ndarray, " presentation"], decay: float = 0.5) -> float:
    """Base-level activation of one memory from the ages of its presentations.

    Args:
        age: time since each presentation, > 0, any unit.
        decay: d, usually 0.5.

    >>> round(base_level(np.array([1.0, 4.0])), 3)  # ln(1 + 1/2)
    0.405
    """
    if not len(age):
        return float("-inf")
    if not np.all(age > 0):
        raise DataError(f"ages of presentations must be above 0, got {float(np.min(age))}")
    return float(np.log(np.sum(np.asarray(age, float) ** -decay)))


def base_level_steady(presentations: float, life: float, decay: float = 0.5) -> float:
    """Base-level activation of `presentations` spread evenly over a life: the closed form.

        B = ln(n / (1 - d)) - d ln(L)

    >>> round(base_level_steady(9, 100.0), 3)  # ln(18) - ln(100) / 2
    0.588
    """
    return float(np.log(presentations / (1 - decay)) - decay * np.log(life))


def associative_strength(fan: Float[ndarray, " cue"], largest: float = 2.0) -> Float[ndarray, " cue"]:
    """Strength of association of a cue that is tied to `fan` memories: S = S_max - ln(fan).

    >>> associative_strength(np.array([1.0, 2.0])).round(3)
    array([2.   , 1.307])
    """
    return np.asarray(largest - np.log(np.asarray(fan, float)))


def recall_probability(
    activation: Float[ndarray, " memory"], *, threshold: float, noise: float
) -> Float[ndarray, " memory"]:
    """Chance that a memory is above the threshold: 1 / (1 + exp((τ - A) / s)).

    >>> recall_probability(np.array([0.0]), threshold=0.0, noise=0.4)
    array([0.5])
    """
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp((threshold - np.asarray(activation, float)) / noise)))


def retrieval_probabilities(
    activation: Float[ndarray, "occasion memory"], *, threshold: float, noise: float
) -> tuple[Float[ndarray, "occasion memory"], Float[ndarray, " occasion"]]:
    """Chance that each memory is the one retrieved, and that none is.

    Args:
        activation: A; -inf where there is no memory.
        threshold: τ; -inf retrieves something whenever there is a memory.
        noise: s of the logistic noise, > 0; the softmax has the temperature √2 s.

    Returns:
        (P of every memory, P of a failure); they sum to one.

    >>> p, none = retrieval_probabilities(np.array([[0.0, 0.0]]), threshold=0.0, noise=0.5)
    >>> p.round(3), none.round(3)
    (array([[0.333, 0.333]]), array([0.333]))
    """
    if not noise > 0:
        raise DataError(f"the noise of activation must be above 0, got {noise}")
    scaled = np.asarray(activation, float) / (np.sqrt(2) * noise)
    bar = threshold / (np.sqrt(2) * noise)
    top = np.maximum(scaled.max(axis=1, initial=-np.inf), bar)
    top = np.where(np.isfinite(top), top, 0.0)
    weight = np.exp(scaled - top[:, None])
    failure = np.exp(bar - top)
    total = weight.sum(axis=1) + failure
    none = total <= 0
    total = np.where(none, 1.0, total)
    return weight / total[:, None], np.asarray(np.where(none, 1.0, failure / total))


def retrieval_seconds(
    activation: Float[ndarray, " memory"], factor: float = 1.0
) -> Float[ndarray, " memory"]:
    """Time that a retrieval takes: F exp(-A).

    >>> retrieval_seconds(np.array([0.0, np.log(2.0)]), 0.35)
    array([0.35 , 0.175])
    """
    return np.asarray(factor * np.exp(-np.asarray(activation, float)))


def purchase_activation(
    lines: Lines, occasions: Occasions, decay: float = 0.5
) -> Float[ndarray, "occasion alternative"]:
    """Base-level activation of every product on every occasion, from the customer's earlier order lines.

    Args:
        lines: order lines, sorted by time; those at or after an occasion's timestamp are not looked at.
        occasions: who decides when, among what.
        decay: d.

    Returns:
        Activation with ages in weeks; -inf for products never bought, and in columns without a product.
    """
    order = np.argsort(lines.customer, kind="stable")  # keeps the order in time
    known = lines.customer[order]
    first = np.searchsorted(known, occasions.customer, side="left")
    last = np.searchsorted(known, occasions.customer, side="right")
    out = np.zeros(occasions.product.shape)
    activate(
        lines.timestamp[order], lines.product[order], first, last, occasions.timestamp,
        np.where(occasions.available, occasions.product, -9), decay, out,
    )  # fmt: skip
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(out))
