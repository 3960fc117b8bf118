"""The price term of a rule learnt from an engine's answers, its other constants from data.

    e = argmin of mean over worlds and cells of |rule's elasticity - engine's elasticity|
    elasticity of a cell = log(units in the world / units today) / log(world's price / today's price)

At every e tried the other constants are fitted to the data anew, so levels stay right. The mean of absolute
differences asks for the median response rather than for that of the few cells that respond most.

Source: Gourieroux, Monfort & Renault (1993), indirect inference, with one parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray
from scipy.optimize import minimize_scalar

from malles.errors import DataError
from malles.rules.expression import Call, Expression, Number, Variable, evaluate, nodes
from malles.rules.front import Rows
from malles.rules.power_law import Loss
from malles.rules.refinement import refine

MOVED = "moved input"
"""Stands for the input with its power while the other constants are fitted."""


@dataclass(frozen=True)
class Lesson:
    """An engine's units in another world."""

    inputs: Mapping[str, Float[ndarray, " row"]]
    """Of the rule, in that world."""
    step: float
    """Change of the logarithm of price."""
    elasticity: Float[ndarray, " cell"]
    """The engine's, by cell."""


def cell_elasticity(
    before: Float[ndarray, " row"],
    after: Float[ndarray, " row"],
    cell: Integer[ndarray, " row"],
    step: float,
) -> Float[ndarray, " cell"]:
    """Elasticity of the mean of every cell; cells are numbered from 0 and none is empty.

    >>> cell_elasticity(np.array([1.0, 3.0]), np.array([2.0, 6.0]), np.array([0, 0]), np.log(0.5)).round(3)
    array([-1.])
    """
    return np.asarray(np.log(np.bincount(cell, after) / np.bincount(cell, before)) / step)


def teach_exponent(
    rule: Expression,
    name: str,
    rows: Rows,
    lessons: Sequence[Lesson],
    cell: Integer[ndarray, " row"],
    loss: Loss,
    *,
    floor: float,
    most: float = 1.0,
) -> Expression:
    """The same rule with another exponent of one input.

    Args:
        rule: holds `name` once, to a power that is a number.
        name: of the input that moves between worlds.
        rows: data that the other constants are fitted to.
        lessons: the engine's answers on the same rows.
        cell: of every row, numbered from 0.
        loss: of the fit to data.
        floor: forecasts are raised to this.
        most: largest size of the exponent; its sign stays.

    Raises:
        DataError: the rule does not hold the input once, to a power that is a number.
    """
    powers = [n for n in nodes(rule) if _is_power(n, name)]
    if len(powers) != 1 or sum(n == Variable(name) for n in nodes(rule)) != 1:
        raise DataError(
            f"an exponent is taught to a rule that holds {name} once, to a power that is a number; "
            f"got {len(powers)} such powers. Search with first=({name!r},)."
        )
    base = np.asarray(rows.inputs[name], float)
    frame = _replaced(rule, name, Variable(MOVED))

    def at(e: float) -> Expression:
        there = Rows({**rows.inputs, MOVED: base**e}, rows.target, rows.group)
        return _replaced(refine(frame, there, loss, steps=30), MOVED, Call("^", (Variable(name), Number(e))))

    def distance(e: float) -> float:
        tried = at(e)
        today = np.maximum(evaluate(tried, rows.inputs, len(rows)), floor)
        missed = [
            cell_elasticity(
                today, np.maximum(evaluate(tried, w.inputs, len(rows)), floor), cell, w.step
            ) - w.elasticity
            for w in lessons
        ]  # fmt: skip
        return float(np.abs(missed).mean())

    found = minimize_scalar(distance, bounds=(0.0, most), method="bounded", options={"xatol": 1e-3})
    return at(float(found.x))


def _is_power(node: Expression, name: str) -> bool:
    return (
        isinstance(node, Call)
        and node.operation == "^"
        and node.arguments[0] == Variable(name)
        and isinstance(node.arguments[1], Number)
    )


def _replaced(node: Expression, name: str, by: Expression) -> Expression:
    """The tree with `name` to its power, or alone, replaced."""
    if node == Variable(name) or _is_power(node, name):
        return by
    if isinstance(node, Call):
        return Call(node.operation, tuple(_replaced(a, name, by) for a in node.arguments))
    return node
