"""The latent-class logit on arrays: a few kinds of customers, each with its own tastes, found by EM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.choice.likelihood import likelihood_derivatives
from malles.choice.probability import log_choice_probabilities


@dataclass(frozen=True)
class LatentClasses:
    """Classes of customers with their tastes."""

    coefficient: Float[ndarray, "class attribute"]
    share: Float[ndarray, " class"]
    """Part of the customers in each class; sums to one, largest first."""
    posterior: Float[ndarray, "customer class"]
    """Probability that each training customer belongs to each class."""
    log_likelihood: float
    """Of the panels: sum over customers of log sum over classes of share x product of probabilities."""
    iterations: int


def estimate_latent_classes(
    attribute: Float[ndarray, "occasion alternative attribute"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    classes: int,
    rng: np.random.Generator,
    iterations: int = 30,
    l2: float = 1.0,
    tolerance: float = 1e-5,
) -> LatentClasses:
    """Class shares and tastes by generalised EM over customers: two Newton steps per class and round.

        L = sum over customers i of log sum over c of share[c] x product over n of i of P[n, chosen[n]; b[c]]

    Args:
        attribute: measured properties, scaled to about one; ignored where unavailable.
        available: which columns the customer could choose.
        chosen: column of the choice.
        customer: dense code of each occasion's customer, 0 .. customers - 1.
        classes: number of classes, >= 1.
        rng: perturbs the start of each class.
        iterations: most rounds of EM.
        l2: ridge on the coefficients, so that a small class stays finite.
        tolerance: relative gain of the log-likelihood below which the rounds end.

    Source: Kamakura & Russell (1989); Train (2009), section 14.3.
    """
    size, customers = attribute.shape[2], int(customer.max()) + 1
    start = _newton(np.zeros(size), attribute, available, chosen, None, l2, 6)
    spread = 0.3 * np.maximum(np.abs(start), 0.1)
    coefficient = start + (rng.normal(size=(classes, size)) * spread if classes > 1 else np.zeros((1, size)))
    share, before, found = np.full(classes, 1.0 / classes), -np.inf, -np.inf
    posterior = np.full((customers, classes), 1.0 / classes)
    done = 0
    while done < iterations:
        done += 1
        log_taken = panel_log_likelihoods(coefficient, attribute, available, chosen, customer, customers)
        joint = log_taken + np.log(share)
        top = joint.max(axis=1, keepdims=True)
        weight = np.exp(joint - top)
        found = float((top[:, 0] + np.log(weight.sum(axis=1))).sum())
        posterior = weight / weight.sum(axis=1, keepdims=True)
        if found - before < tolerance * abs(found):
            break
        before = found
        share = np.maximum(posterior.mean(axis=0), 1e-6)
        share /= share.sum()
        for c in range(classes):
            mass = posterior[customer, c]
            coefficient[c] = _newton(coefficient[c], attribute, available, chosen, mass, l2, 2)
    order = np.argsort(-share, kind="stable")
    return LatentClasses(coefficient[order], share[order], posterior[:, order], found, done)


def panel_log_likelihoods(
    coefficient: Float[ndarray, "class attribute"],
    attribute: Float[ndarray, "occasion alternative attribute"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    customer: Integer[ndarray, " occasion"],
    customers: int,
) -> Float[ndarray, "customer class"]:
    """Log-probability of all choices of each customer under each class, in nats."""
    classes = len(coefficient)
    total = np.zeros((customers, classes))
    for begin in range(0, len(chosen), 8192):
        rows = slice(begin, begin + 8192)
        x = np.where(available[rows, :, None], attribute[rows], 0.0)
        utility = x @ coefficient.T
        for c in range(classes):
            log_probability = log_choice_probabilities(utility[:, :, c], available[rows])
            taken = log_probability[np.arange(len(x)), chosen[rows]]
            total[:, c] += np.bincount(customer[rows], weights=taken, minlength=customers)
    return total


def _newton(
    b: ndarray,
    attribute: ndarray,
    available: ndarray,
    chosen: ndarray,
    weight: ndarray | None,
    l2: float,
    steps: int,
) -> ndarray:
    """A few Newton steps on the weighted, ridged likelihood, each halved until it does not fall."""
    ridge = l2 * np.eye(len(b))
    at = likelihood_derivatives(b, attribute, available, chosen, weight)
    for _ in range(steps):
        step = np.linalg.solve(ridge - at.hessian, at.gradient - l2 * b)
        value = at.log_likelihood - 0.5 * l2 * float(b @ b)
        for _ in range(10):
            trial = likelihood_derivatives(b + step, attribute, available, chosen, weight)
            if trial.log_likelihood - 0.5 * l2 * float((b + step) @ (b + step)) >= value - 1e-9:
                b, at = b + step, trial
                break
            step = step / 2
    return b
