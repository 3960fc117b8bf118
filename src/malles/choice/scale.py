"""The choice scale (rationality): how sharply a customer follows the utilities, shrunk to its segment.

    P[n, j] = exp(s V[n, j]) / sum over k of exp(s V[n, k])        s of the customer of occasion n

s > 1 means more decided than the model thinks, s < 1 more erratic. Log scales of customers are normal around
their segment's, log scales of segments normal around the population's; both spreads are estimated (empirical
Bayes), so a customer with few occasions keeps its segment's scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.choice.probability import choice_probabilities

_LARGEST_STEP = 0.5
"""Newton steps on a log scale are cut here: a factor of 1.6 at a time."""


@dataclass(frozen=True)
class ChoiceScales:
    """Fitted scales of customers within segments within a population."""

    customer: Float[ndarray, " customer"]
    """s by customer code; that of the segment where the customer has no occasions."""
    segment: Float[ndarray, " segment"]
    population: float
    customer_spread: float
    """Standard deviation of log s of customers around their segment."""
    segment_spread: float
    """Standard deviation of log s of segments around the population."""

    def of(self, customer: Integer[ndarray, " occasion"]) -> Float[ndarray, " occasion"]:
        """Scale of each occasion's customer; the population's for customers beyond the fit or -1."""
        known = (customer >= 0) & (customer < len(self.customer))
        return np.where(known, self.customer[np.where(known, customer, 0)], self.population)


def scaled_probabilities(
    utility: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    scale: Float[ndarray, " occasion"],
) -> Float[ndarray, "occasion alternative"]:
    """Logit probabilities at a choice scale per occasion.

    Args:
        utility: V, or log-probabilities of another model; ignored where unavailable.
        available: which columns the customer could choose.
        scale: s > 0 of each occasion; 1 leaves the model as it is.

    Source: Swait & Louviere (1993).

    >>> V = np.array([[0.0, np.log(2.0)]])
    >>> scaled_probabilities(V, np.ones((1, 2), bool), np.array([2.0]))  # 1 to 4
    array([[0.2, 0.8]])
    """
    return choice_probabilities(np.where(available, utility, 0.0) * scale[:, None], available)


def fit_scale(
    utility: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    iterations: int = 50,
) -> float:
    """The one scale with the highest likelihood (the inverse of a temperature).

    The search stays within [0.01, 100]; a model that says nothing (all utilities equal) keeps scale 1.

    >>> V = np.tile([0.0, 1.0], (4, 1))
    >>> s = fit_scale(V, np.ones((4, 2), bool), np.array([1, 1, 1, 0]))  # 3 to 1: s = log 3
    >>> round(s, 4)
    1.0986
    """
    group = np.zeros(len(chosen), np.int64)
    log_scale = np.zeros(1)
    for _ in range(iterations):
        gradient, information = _group_derivatives(utility, available, chosen, group, np.exp(log_scale), 1)
        if information[0] <= 0:
            break
        step = float(np.clip(gradient[0] / information[0], -_LARGEST_STEP, _LARGEST_STEP))
        log_scale = np.clip(log_scale + step, np.log(0.01), np.log(100.0))
        if abs(step) < 1e-9:
            break
    return float(np.exp(log_scale[0]))


def fit_scales(
    utility: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    segment: Integer[ndarray, " customer"],
    iterations: int = 40,
) -> ChoiceScales:
    """Choice scales per customer, shrunk to the segment, and of segments, shrunk to the population.

    Alternates a Fisher step on each customer's log scale under its normal prior with an update of the
    priors' means and variances (EM with a Laplace approximation of each customer's posterior).

    Args:
        utility: V or log-probabilities of a model on occasions it was *not* fitted on; ignored where
            unavailable.
        available: which columns the customer could choose.
        chosen: column of the choice.
        customer: code of each occasion's customer, 0 .. len(segment) - 1.
        segment: segment code of every customer, 0 .. number of segments - 1.
        iterations: rounds of the alternation.

    Source: Swait & Louviere (1993) for the scale; Morris (1983) for the shrinkage.
    """
    customers, segments = len(segment), int(segment.max()) + 1 if len(segment) else 0
    population = float(np.log(fit_scale(utility, available, chosen)))
    log_customer, log_segment = np.full(customers, population), np.full(segments, population)
    customer_variance, segment_variance = 0.1, 0.1
    seen = np.bincount(customer, minlength=customers) > 0
    seen_size = np.bincount(segment, weights=seen, minlength=segments)
    for _ in range(iterations):
        gradient, information = _group_derivatives(
            utility, available, chosen, customer, np.exp(log_customer), customers
        )
        precision = information + 1.0 / customer_variance
        step = (gradient - (log_customer - log_segment[segment]) / customer_variance) / precision
        log_customer = log_customer + np.clip(step, -_LARGEST_STEP, _LARGEST_STEP)
        posterior_variance = np.where(seen, 1.0 / precision, customer_variance)
        # segments: normal mean of customers' log scales under a normal prior around the population
        segment_precision = seen_size / customer_variance + 1.0 / segment_variance
        mean_sum = np.bincount(segment, weights=np.where(seen, log_customer, 0.0), minlength=segments)
        log_segment = (mean_sum / customer_variance + population / segment_variance) / segment_precision
        population = float(log_segment.mean())
        segment_variance = max(
            float(((log_segment - population) ** 2 + 1.0 / segment_precision).mean())
            if segments > 1
            else 1e-4,
            1e-4,
        )
        away = (
            (log_customer - log_segment[segment]) ** 2 + posterior_variance + 1.0 / segment_precision[segment]
        )
        customer_variance = max(float(away[seen].mean()), 1e-4)
        log_customer = np.where(seen, log_customer, log_segment[segment])
    return ChoiceScales(
        customer=np.exp(log_customer),
        segment=np.exp(log_segment),
        population=float(np.exp(population)),
        customer_spread=float(np.sqrt(customer_variance)),
        segment_spread=float(np.sqrt(segment_variance)),
    )


def _group_derivatives(
    utility: ndarray, available: ndarray, chosen: ndarray, group: ndarray, scale: ndarray, groups: int
) -> tuple[ndarray, ndarray]:
    """Gradient and Fisher information of the log-likelihood in the log scale, summed by group."""
    clean = np.where(available, utility, 0.0)
    s = scale[group]
    probability = choice_probabilities(clean * s[:, None], available)
    mean = (probability * clean).sum(axis=1)
    variance = (probability * (clean - mean[:, None]) ** 2).sum(axis=1)
    slope = s * (clean[np.arange(len(chosen)), chosen] - mean)
    gradient = np.bincount(group, weights=slope, minlength=groups)
    information = np.bincount(group, weights=s**2 * variance, minlength=groups)
    return gradient, information
