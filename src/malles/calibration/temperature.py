"""One number that makes choice probabilities flatter or sharper, fitted on held-out choices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray
from scipy.optimize import minimize_scalar

from malles.errors import OccasionError

_RANGE = (0.05, 20.0)
"""Temperatures outside say that the model's scores are not utilities; a fit that ends at an edge is
reported.
"""

_SMALLEST = 1e-30
"""Keeps the logarithm of an available alternative with probability 0 finite."""


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature: p ** (1 / value), normalised over the available alternatives."""

    value: float
    """Above 1: the model was too sure of itself; below 1: too timid."""
    log_loss_before: float
    """Mean -log p of the choices it was fitted on, nats, at temperature 1."""
    log_loss: float
    """The same at the fitted temperature."""
    at_edge: bool
    """Whether the search ended at the edge of [0.05, 20]: do not trust it."""

    def apply(
        self,
        probability: Float[ndarray, "occasion alternative"],
        available: Bool[ndarray, "occasion alternative"],
    ) -> Float[ndarray, "occasion alternative"]:
        """Probabilities at this temperature."""
        return apply_temperature(probability, available, self.value)


def apply_temperature(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    temperature: float,
) -> Float[ndarray, "occasion alternative"]:
    """Probabilities raised to 1 / temperature and normalised.

        Q[n, j] = P[n, j] ** (1 / T) / sum of P[n, k] ** (1 / T) over available k

    >>> apply_temperature(np.array([[0.8, 0.2]]), np.ones((1, 2), bool), 0.5).round(4)
    array([[0.9412, 0.0588]])
    """
    if not temperature > 0:
        raise OccasionError(f"temperature is {temperature}; give a number above 0.")
    return softmax(log_utility(probability, available) / temperature)


def fit_temperature(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
) -> Temperature:
    """The temperature with the largest likelihood on choices the model was not fitted on.

    Args:
        probability: choice probabilities of the model.
        available: which columns could be chosen.
        chosen: column of each choice.

    Returns:
        The temperature with its log-loss before and after, on these choices.

    Source: Guo et al. (2017), On calibration of modern neural networks.
    """
    if len(chosen) == 0:
        raise OccasionError("there are no occasions to fit a temperature on; give held-out choices.")
    utility = log_utility(probability, available)
    row = np.arange(len(chosen))
    taken = utility[row, chosen]
    if not np.all(np.isfinite(taken)):
        raise OccasionError(
            f"{np.count_nonzero(~np.isfinite(taken))} of {len(chosen)} occasions have an unavailable choice; "
            "drop them before fitting a temperature."
        )

    def loss(log_temperature: float) -> float:
        scaled = utility / np.exp(log_temperature)
        top = scaled.max(axis=1)
        return float(np.mean(np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top - scaled[row, chosen]))

    low, high = np.log(_RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    edge = min(found.x - low, high - found.x) < 1e-3
    return Temperature(float(np.exp(found.x)), loss(0.0), float(found.fun), bool(edge))


def log_utility(
    probability: Float[ndarray, "occasion alternative"], available: Bool[ndarray, "occasion alternative"]
) -> Float[ndarray, "occasion alternative"]:
    """Logarithms of probabilities: utilities up to a constant; -inf where unavailable."""
    value = np.full(probability.shape, -np.inf)
    value[available] = np.log(np.maximum(probability[available], _SMALLEST, dtype=float))
    return value


def softmax(utility: Float[ndarray, "occasion alternative"]) -> Float[ndarray, "occasion alternative"]:
    """exp(V) divided by its row sum; -inf gives exactly 0."""
    weight: ndarray = np.exp(utility - utility.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))
