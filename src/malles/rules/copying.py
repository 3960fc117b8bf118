"""A fitted engine in one line: a weighted sum of features whose softmax stands in for the engine.

    V[n, j] = b1 x1[n, j] + b2 x2[n, j] + ...,   fitted to log P[n, j] less its mean over the slate

Only differences inside a slate count, so there is no constant. Fidelity is measured on other occasions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray

from malles.rules.expression import Call, Expression, Number, Variable, complexity


@dataclass(frozen=True)
class UtilityCopy:
    """A rule for utility and how faithful it is."""

    expression: Expression
    complexity: int
    variance_share: float
    """Share of the variance of the engine's log-odds that the rule explains, on held-out occasions."""
    agreement: float
    """Share of held-out occasions in which both put the same alternative first."""


def copy_utility(
    features: Float[ndarray, "occasion alternative feature"],
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    held: Bool[ndarray, " occasion"],
    names: Sequence[str],
    *,
    most: int = 4,
) -> list[UtilityCopy]:
    """Copies of 1, 2, ..., `most` features, each time the one that explains most of what is left.

    Args:
        features: what the engine may read.
        probability: the engine's choice probabilities.
        available: real alternatives; at least two where an occasion is to count.
        held: occasions for the fidelity; the others are fitted.
        names: of the features.
        most: features of the longest copy.
    """
    log_odds = _inside(np.log(np.maximum(probability, 1e-9))[:, :, None], available)[:, :, 0]
    x = _inside(features.astype(np.float64), available)
    fit, test = available & ~held[:, None], available & held[:, None]
    A, y = x[fit], log_odds[fit]
    size = np.sqrt((A**2).sum(axis=0))
    chosen: list[int] = []
    left, found = y, []
    while len(chosen) < min(most, len(names)):
        basis = A[:, chosen]
        away = A - basis @ np.linalg.lstsq(basis, A, rcond=None)[0] if chosen else A
        norm = np.sqrt((away**2).sum(axis=0))
        gain = np.where(
            norm > 1e-6 * np.maximum(size, 1e-12), (away.T @ left) ** 2 / np.maximum(norm, 1e-12) ** 2, 0
        )
        gain[chosen] = 0
        if not gain.max() > 0:
            break
        chosen.append(int(np.argmax(gain)))
        weight = np.linalg.lstsq(A[:, chosen], y, rcond=None)[0]
        left = y - A[:, chosen] @ weight
        rule = x[:, :, chosen] @ weight
        expression = _sum([names[i] for i in chosen], weight)
        found.append(UtilityCopy(expression, complexity(expression), *fidelity(rule, log_odds, test)))
    return found


def fidelity(
    rule: Float[ndarray, "occasion alternative"],
    log_odds: Float[ndarray, "occasion alternative"],
    there: Bool[ndarray, "occasion alternative"],
) -> tuple[float, float]:
    """Share of variance, and share of occasions with the same first choice.

    >>> V = np.array([[0.0, 1.0, -1.0]])
    >>> fidelity(V, V, np.ones((1, 3), bool))
    (1.0, 1.0)
    """
    miss = float(((rule - log_odds)[there] ** 2).sum())
    total = max(float((log_odds[there] ** 2).sum()), 1e-12)
    rows = there.any(axis=1)
    first = [np.where(there, v, -np.inf).argmax(axis=1)[rows] for v in (rule, log_odds)]
    return 1 - miss / total, float(np.mean(first[0] == first[1]))


def _inside(values: Shaped[ndarray, "occasion alternative column"], there: ndarray) -> ndarray:
    """Less the mean over the occasion's alternatives; 0 elsewhere."""
    weight = there[:, :, None]
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    mean = np.where(weight, values, 0).sum(axis=1, keepdims=True) / count
    return np.asarray(np.where(weight, values - mean, 0.0))


def _sum(names: Sequence[str], weight: ndarray) -> Expression:
    order = np.argsort(-weight, kind="stable")  # a positive term leads
    found: Expression | None = None
    for i in order:
        size = float(weight[i]) if found is None else abs(float(weight[i]))
        term = Call("*", (Number(size), Variable(names[i])))
        found = term if found is None else Call("+" if weight[i] >= 0 else "-", (found, term))
    assert found is not None
    return found
