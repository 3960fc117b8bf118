"""What economics demands of a rule: for example that nobody buys more because the price rises.

A condition is a pair of worlds. The rule's mean response from the first to the second must not have the
wrong sign in more than `tolerance` of the cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

from malles.rules.expression import Expression, evaluate


@dataclass(frozen=True)
class Condition:
    """The response to one change has a known sign."""

    title: str
    """For example "units do not rise with price"."""
    before: Mapping[str, Float[ndarray, " row"]]
    after: Mapping[str, Float[ndarray, " row"]]
    sign: int
    """-1: the rule must not rise; +1: it must not fall."""
    cell: Shaped[ndarray, " row"] | None = None
    """Rows of one cell are averaged before their sign is read; None: every row by itself."""
    tolerance: float = 0.0
    """Share of cells that may break it."""


def broken_share(expression: Expression, condition: Condition) -> float:
    """Share of the cells in which a rule's response has the wrong sign.

    >>> from malles.rules.reading import read_rule
    >>> low, high = {"p": np.array([1.0, 2.0])}, {"p": np.array([2.0, 4.0])}
    >>> broken_share(read_rule("2 * p"), Condition("falls with p", low, high, -1))
    1.0
    """
    change = evaluate(expression, condition.after) - evaluate(expression, condition.before)
    if condition.cell is not None:
        code = np.unique(condition.cell, return_inverse=True)[1]
        change = np.bincount(code, change) / np.bincount(code)
    scale = max(float(np.abs(change).max(initial=0)), 1e-300)
    return float(np.mean(condition.sign * change < -1e-9 * scale))


def breaks(expression: Expression, conditions: Sequence[Condition]) -> str | None:
    """The first condition that a rule breaks, as a sentence; None where it keeps all."""
    for condition in conditions:
        wrong = broken_share(expression, condition)
        if wrong > condition.tolerance:
            return f"{condition.title}: broken in {wrong:.0%} of the cells"
    return None


def monotone(
    inputs: Mapping[str, Float[ndarray, " row"]],
    name: str,
    sign: int,
    *,
    multipliers: Sequence[float] = (0.5, 0.75, 1.0, 1.25, 1.5),
    most: int = 500,
) -> list[Condition]:
    """Conditions that a rule moves one way with one input, between neighbouring points of a grid.

    >>> len(monotone({"p": np.ones(3)}, "p", -1))
    4
    """
    step = max(len(inputs[name]) // most, 1)
    thin = {k: v[::step] for k, v in inputs.items()}
    worlds = [{**thin, name: thin[name] * m} for m in multipliers]
    verb = "fall" if sign > 0 else "rise"
    return [Condition(f"it does not {verb} with {name}", a, b, sign) for a, b in pairwise(worlds)]
