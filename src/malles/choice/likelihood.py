"""The likelihood of the conditional logit with its derivatives, and the loss of any forecast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.choice.probability import choice_probabilities, log_choice_probabilities

MIXING = 1e-4
"""Uniform mass mixed into a forecast before its logarithm is taken; a zero then costs about 12 nats."""

_BLOCK = 4096
"""Occasions handled at once: 4096 x 20 alternatives x 40 attributes in float64 are 26 MB."""


@dataclass(frozen=True)
class Derivatives:
    """A log-likelihood with its gradient and Hessian at one point."""

    log_likelihood: float
    """Sum over occasions of weight x log-probability of the choice, nats."""
    gradient: Float[ndarray, " attribute"]
    hessian: Float[ndarray, "attribute attribute"]
    """Negative semi-definite: the conditional logit is concave."""


def log_likelihood(
    coefficient: Float[ndarray, " attribute"],
    attribute: Float[ndarray, "occasion alternative attribute"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
) -> float:
    """Log-likelihood of the conditional logit, in nats.

        LL(b) = sum over n of log P[n, chosen[n]],   V = attribute @ b

    Args:
        coefficient: taste coefficients b, utility per unit of the attribute.
        attribute: measured properties; ignored where unavailable.
        available: which columns the customer could choose.
        chosen: column of the choice, which must be available.

    Raises:
        OccasionError: an occasion has no available alternative.

    Source: McFadden (1974).

    >>> X = np.array([[[0.0], [1.0]]])
    >>> log_likelihood(np.array([0.0]), X, np.ones((1, 2), bool), np.array([1]))  # log(1/2)
    -0.6931471805599453
    """
    total = 0.0
    for rows in _blocks(len(chosen)):
        log_probability = log_choice_probabilities(attribute[rows] @ coefficient, available[rows])
        total += float(log_probability[np.arange(len(log_probability)), chosen[rows]].sum())
    return total


def likelihood_derivatives(
    coefficient: Float[ndarray, " attribute"],
    attribute: Float[ndarray, "occasion alternative attribute"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    weight: Float[ndarray, " occasion"] | None = None,
) -> Derivatives:
    """Log-likelihood, gradient and Hessian of the conditional logit in one pass.

        gradient = sum over n of w[n] (x[n, chosen] - m[n]),            m[n] = sum over j of P[n, j] x[n, j]
        hessian  = - sum over n, j of w[n] P[n, j] (x[n, j] - m[n]) (x[n, j] - m[n])'

    Args:
        coefficient: taste coefficients b.
        attribute: measured properties; ignored where unavailable.
        available: which columns the customer could choose.
        chosen: column of the choice, which must be available.
        weight: weight of each occasion; 1 if left out.

    Raises:
        OccasionError: an occasion has no available alternative.

    Source: Train (2009), section 3.7.1.

    >>> X = np.array([[[0.0], [2.0]]])
    >>> found = likelihood_derivatives(np.array([0.0]), X, np.ones((1, 2), bool), np.array([1]))
    >>> found.gradient, found.hessian  # 2 - 1, and -(1/2)(1 + 1)
    (array([1.]), array([[-1.]]))
    """
    size = len(coefficient)
    value, gradient, hessian = 0.0, np.zeros(size), np.zeros((size, size))
    for rows in _blocks(len(chosen)):
        x = np.where(available[rows, :, None], attribute[rows], 0.0).astype(np.float64)
        log_probability = log_choice_probabilities(x @ coefficient, available[rows])
        probability = np.exp(log_probability)
        here, column = np.arange(len(x)), chosen[rows]
        mean = np.einsum("nj,njk->nk", probability, x)
        scale = np.ones(len(x)) if weight is None else weight[rows].astype(np.float64)
        value += float((scale * log_probability[here, column]).sum())
        gradient += scale @ (x[here, column] - mean)
        x -= mean[:, None, :]
        x *= np.sqrt(probability * scale[:, None])[:, :, None]
        flat = x.reshape(-1, size)
        hessian -= flat.T @ flat
    return Derivatives(value, gradient, hessian)


def occasion_scores(
    coefficient: Float[ndarray, " attribute"],
    attribute: Float[ndarray, "occasion alternative attribute"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
) -> Float[ndarray, "occasion attribute"]:
    """Gradient of each occasion's log-probability: x of the choice minus the expected x.

    Summed over a customer's occasions these make the middle of the clustered (sandwich) covariance.

    >>> X = np.array([[[0.0], [2.0]]])
    >>> occasion_scores(np.array([0.0]), X, np.ones((1, 2), bool), np.array([1]))
    array([[1.]])
    """
    score = np.empty((len(chosen), len(coefficient)))
    for rows in _blocks(len(chosen)):
        x = np.where(available[rows, :, None], attribute[rows], 0.0).astype(np.float64)
        probability = choice_probabilities(x @ coefficient, available[rows])
        score[rows] = x[np.arange(len(x)), chosen[rows]] - np.einsum("nj,njk->nk", probability, x)
    return score


def occasion_log_losses(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    mixing: float = MIXING,
) -> Float[ndarray, " occasion"]:
    """Negative log-probability of each choice after mixing in a little uniform mass, in nats.

        loss[n] = -log((1 - mixing) P[n, chosen[n]] + mixing / number of available alternatives)

    Args:
        probability: forecast; rows sum to one.
        available: which columns the customer could choose.
        chosen: column of the choice.
        mixing: uniform mass in [0, 1].

    >>> P, everything = np.array([[0.0, 1.0]]), np.ones((1, 2), bool)
    >>> occasion_log_losses(P, everything, np.array([0])).round(3)  # log 20000
    array([9.903])
    """
    taken = probability[np.arange(len(chosen)), chosen].astype(np.float64)
    loss: ndarray = -np.log((1.0 - mixing) * taken + mixing / available.sum(axis=1))
    return loss


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))
