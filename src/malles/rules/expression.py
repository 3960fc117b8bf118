"""Formulas as trees of our own: numbers, variables and a closed list of operations. Nothing is ever executed.

Every operation is total, so that a rule has a value for every finite input:

    a / b    0 where |b| < 1e-12
    a ^ b    max(a, 1e-12) ^ b
    log a    log(max(a, 1e-12)),   sqrt a = sqrt(max(a, 0)),   exp a = exp(min(a, 60))

and every intermediate value is cut to ±1e100.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import UsageError, did_you_mean

TINY = 1e-12
"""Smallest divisor, and smallest argument of a logarithm or a power."""
HUGE = 1e100
MOST_EXPONENT = 60.0
"""exp(60) = 1e26, beyond any quantity or price."""
MOST_NODES = 200
MOST_DEPTH = 40


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float

    def __post_init__(self) -> None:
        if not np.isfinite(self.value) or abs(self.value) > HUGE:
            raise UsageError(f"A rule holds numbers between -1e100 and 1e100, got {self.value}.")
        object.__setattr__(self, "value", float(self.value) + 0.0)  # no negative zero


@dataclass(frozen=True)
class Variable:
    """An input, by name."""

    name: str


@dataclass(frozen=True)
class Call:
    """An operation of `OPERATIONS` on one or two expressions."""

    operation: str
    arguments: tuple[Expression, ...]

    def __post_init__(self) -> None:
        arity = OPERATIONS[self.operation][0] if self.operation in OPERATIONS else None
        if arity != len(self.arguments):
            raise UsageError(
                f"A rule has no operation {self.operation!r} of {len(self.arguments)} arguments; "
                f"it has {', '.join(OPERATIONS)}."
            )


Expression = Number | Variable | Call


def _divide(a: ndarray, b: ndarray) -> ndarray:
    none = np.abs(b) < TINY
    return np.asarray(np.where(none, 0.0, a / np.where(none, 1.0, b)))


OPERATIONS: dict[str, tuple[int, Callable[..., ndarray]]] = {
    "+": (2, np.add),
    "-": (2, np.subtract),
    "*": (2, np.multiply),
    "/": (2, _divide),
    "^": (2, lambda a, b: np.power(np.maximum(a, TINY), b)),
    "neg": (1, np.negative),
    "log": (1, lambda a: np.log(np.maximum(a, TINY))),
    "exp": (1, lambda a: np.exp(np.minimum(a, MOST_EXPONENT))),
    "sqrt": (1, lambda a: np.sqrt(np.maximum(a, 0.0))),
    "abs": (1, np.abs),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
}
"""Number of arguments and meaning of every operation."""


def evaluate(
    expression: Expression, inputs: Mapping[str, Float[ndarray, " row"]], rows: int | None = None
) -> Float[ndarray, " row"]:
    """Value of an expression on every row.

    Args:
        expression: at most 200 nodes, 40 deep.
        inputs: finite columns by name.
        rows: length of the answer, needed where no input is given.

    >>> from malles.rules.reading import read_rule
    >>> evaluate(read_rule("a / p ^ 1.5"), {"a": np.array([6.0]), "p": np.array([4.0])})
    array([0.75])
    """
    check_size(expression)
    missing = variables(expression) - inputs.keys()
    if missing:
        name = min(missing)
        hint = did_you_mean(name, inputs) or f"There are {', '.join(sorted(inputs)) or 'none'}."
        raise UsageError(f"The rule reads {name!r}, which is no input. {hint}")
    count = rows if rows is not None else len(next(iter(inputs.values()), np.zeros(1)))
    for name in variables(expression):
        if not np.isfinite(inputs[name]).all():
            raise UsageError(
                f"The input {name!r} of the rule is not finite in every row; leave such rows out."
            )
    with np.errstate(over="ignore", under="ignore"):
        return np.broadcast_to(_value(expression, inputs), (count,)).copy()


def _value(e: Expression, inputs: Mapping[str, ndarray]) -> ndarray:
    if isinstance(e, Number):
        return np.asarray(e.value)
    if isinstance(e, Variable):
        return np.asarray(np.clip(np.asarray(inputs[e.name], np.float64), -HUGE, HUGE))
    value = OPERATIONS[e.operation][1](*(_value(a, inputs) for a in e.arguments))
    return np.asarray(np.clip(value, -HUGE, HUGE))


def nodes(expression: Expression) -> Iterator[Expression]:
    """Every node, an operation before its arguments."""
    waiting = [expression]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Call):
            waiting.extend(reversed(node.arguments))


def complexity(expression: Expression) -> int:
    """Number of nodes: operations, variables and constants.

    >>> complexity(Call("*", (Number(2.0), Variable("p"))))
    3
    """
    return sum(1 for _ in nodes(expression))


def variables(expression: Expression) -> set[str]:
    """Names of the inputs that occur."""
    return {n.name for n in nodes(expression) if isinstance(n, Variable)}


def constants(expression: Expression) -> list[float]:
    """The constants in reading order."""
    return [n.value for n in nodes(expression) if isinstance(n, Number)]


def with_constants(expression: Expression, values: list[float]) -> Expression:
    """The same tree with other constants, in reading order."""
    waiting = iter(values)

    def rebuild(e: Expression) -> Expression:
        if isinstance(e, Number):
            return Number(next(waiting))
        return Call(e.operation, tuple(rebuild(a) for a in e.arguments)) if isinstance(e, Call) else e

    return rebuild(expression)


def check_size(expression: Expression) -> None:
    """Refuse a tree of more than 200 nodes or 40 levels.

    Raises:
        UsageError: it is larger.
    """
    level, depth, count = [expression], 0, 0
    while level:
        depth, count = depth + 1, count + len(level)
        if depth > MOST_DEPTH or count > MOST_NODES:
            raise UsageError(
                f"A rule has at most {MOST_NODES} nodes and {MOST_DEPTH} levels; this one is larger."
            )
        level = [a for e in level if isinstance(e, Call) for a in e.arguments]
