"""Rules beside each other: held-out error with its interval, complexity, and which are worth keeping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

from malles.rules.expression import Expression, complexity, evaluate
from malles.rules.power_law import Loss
from malles.rules.printing import format_rule


@dataclass(frozen=True)
class Rows:
    """Inputs and target of the same rows."""

    inputs: Mapping[str, Float[ndarray, " row"]]
    target: Float[ndarray, " row"]
    group: Shaped[ndarray, " row"] | None = None
    """Whose rows they are: intervals and halves keep a group together; None: every row its own."""

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: ndarray) -> Rows:
        """Some rows."""
        group = None if self.group is None else self.group[rows]
        return Rows({k: v[rows] for k, v in self.inputs.items()}, self.target[rows], group)


@dataclass(frozen=True)
class Rule:
    """A formula with its error and complexity."""

    expression: Expression
    source: str
    """How it was found: "power law" or "genetic, seed 3"."""
    complexity: int
    """Nodes of the expression."""
    error: float
    """Mean loss on held-out rows."""
    low: float
    high: float
    """95 % interval of the error, clustered by group."""
    choice_error: float
    """Mean loss on the rows that chose among the rules; these are not the held-out ones."""

    def __str__(self) -> str:
        return format_rule(self.expression, 4)


@dataclass(frozen=True)
class RuleFront:
    """Rules of which none is both simpler and better than another."""

    rules: tuple[Rule, ...]
    """From simple to complex, errors on the choosing rows falling."""
    chosen: int
    """Index of the rule to use: the simplest within the allowance of the least error."""
    refused: tuple[tuple[str, str], ...]
    """Formulas that broke an economic condition, and which."""
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Rule:
        """The rule to use."""
        return self.rules[self.chosen]


def mean_with_interval(
    terms: Float[ndarray, " row"], group: Shaped[ndarray, " row"] | None
) -> tuple[float, float, float]:
    """Mean and 95 % interval, rows of one group moving together (linearised cluster variance).

        variance = sum over groups of (sum of t - mean)^2 / n^2

    >>> mean_with_interval(np.array([1.0, 3.0]), None)  # deviations -1 and 1: sqrt(2) / 2 x 1.96
    (2.0, 0.6140707088743669, 3.385929291125633)
    """
    mean = float(terms.mean())
    code = np.arange(len(terms)) if group is None else np.unique(group, return_inverse=True)[1]
    sums = np.bincount(code, terms - mean)
    half = 1.96 * float(np.sqrt((sums**2).sum())) / len(terms)
    return mean, mean - half, mean + half


def build_front(
    candidates: Sequence[tuple[Expression, str]],
    choosing: Rows,
    held: Rows,
    loss: Loss,
    *,
    most_nodes: int,
    allowance: float,
    refused: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    floor: float | None = None,
) -> RuleFront:
    """Score candidates and keep the error-complexity front.

    Args:
        candidates: expressions with their origin.
        choosing: rows that decide which rules are on the front and which is chosen.
        held: rows for the reported error, which decide nothing.
        loss: mean of which is the error.
        most_nodes: larger expressions are left out.
        allowance: the chosen rule's error may exceed the least by this share.
        refused: passed on.
        notes: passed on.
        floor: forecasts are raised to this, as the use of the rule does.
    """
    scored = []
    for expression, source in candidates:
        if complexity(expression) <= most_nodes:
            error = loss.terms(_forecast(expression, choosing, floor), choosing.target).mean()
            scored.append((complexity(expression), float(error), expression, source))
    rules: list[Rule] = []
    for size, error, expression, source in sorted(scored, key=lambda s: s[:2]):
        if np.isfinite(error) and (not rules or error < rules[-1].choice_error * (1 - 1e-6)):
            terms = loss.terms(_forecast(expression, held, floor), held.target)
            rules.append(
                Rule(expression, source, size, *mean_with_interval(terms, held.group), choice_error=error)
            )
    least = rules[-1].choice_error if rules else 0.0
    chosen = next((i for i, r in enumerate(rules) if r.choice_error <= least * (1 + allowance)), 0)
    return RuleFront(tuple(rules), chosen, tuple(refused), tuple(notes))


def _forecast(expression: Expression, rows: Rows, floor: float | None) -> ndarray:
    value = evaluate(expression, rows.inputs, len(rows))
    return value if floor is None else np.maximum(value, floor)
