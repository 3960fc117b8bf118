"""The fixed point of a market: the field that its own response reproduces, µ = Φ(µ)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Response = Callable[[ndarray], ndarray]


class Status(Enum):
    """How an iteration ended; the value is the text for a person."""

    SETTLED = "settled: the response to the field reproduces it within the tolerance"
    ITERATION_LIMIT = (
        "not settled within the iteration limit: the response still moves the field; "
        "try a smaller `step` or more iterations"
    )
    DIVERGED = "diverged: the field left the finite numbers; try a smaller `step` or check the response"
    SEVERAL = (
        "settled, but different starts end in different fields: the market has several fixed points; "
        "compare `others`"
    )


@dataclass(frozen=True)
class FixedPoint:
    """A solved (or unsolved) field, with what happened on the way."""

    field: Float[ndarray, " component"]
    """The field with the smallest gap."""
    status: Status
    gaps: tuple[float, ...]
    """Largest absolute difference between a field and its response, per evaluation."""
    contraction: float
    """How much a small difference between two fields shrinks in one plain response; >= 1 = plain iteration
    need not settle.
    """
    others: tuple[ndarray, ...] = ()
    """Different fields that other starts ended in."""

    @property
    def gap(self) -> float:
        """The smallest gap."""
        return min(self.gaps)


def solve_fixed_point(
    respond: Response,
    start: Float[ndarray, " component"],
    *,
    tolerance: float = 1e-8,
    iterations: int = 200,
    step: float = 1.0,
    memory: int = 5,
    more_starts: tuple[ndarray, ...] = (),
) -> FixedPoint:
    """Solve field = respond(field) by safeguarded Anderson acceleration.

        µ' = µ + step (Φ(µ) - µ),   accelerated over the last `memory` fields

    An accelerated field is kept only while the gap shrinks below twice the best so far; otherwise the
    iteration goes back to the best field and takes plain damped steps. Where plain responses do not contract
    (contraction >= 1) it is never accelerated: a market that would not settle by itself is to be seen, not
    hidden by the method.

    Args:
        respond: the response Φ, same shape as the field.
        start: where to begin.
        tolerance: on the largest absolute gap |Φ(µ) - µ|.
        iterations: most evaluations of Φ per start.
        step: part of the way moved towards the response, (0, 1].
        memory: fields kept for the acceleration; 0 = plain damping.
        more_starts: further starts; different ends give `Status.SEVERAL`.

    Returns:
        The fixed point; that none was found is a status, never an error.

    Source: Anderson (1965); Walker and Ni (2011).

    >>> found = solve_fixed_point(lambda m: 0.5 + 0.5 * m, start=np.zeros(1))
    >>> found.status.name, found.field.round(6)
    ('SETTLED', array([1.]))
    """
    first = _solve(respond, start, tolerance, iterations, step, memory)
    others: list[ndarray] = []
    for other in more_starts:
        found = _solve(respond, other, tolerance, iterations, step, memory)
        apart = float(np.abs(found.field - first.field).max(initial=0.0))
        if first.status is not Status.SETTLED and found.status is Status.SETTLED:
            first = found
        elif found.status is Status.SETTLED and apart > 100 * tolerance / max(1 - first.contraction, 0.01):
            others.append(found.field)
    if others and first.status is Status.SETTLED:
        return FixedPoint(first.field, Status.SEVERAL, first.gaps, first.contraction, tuple(others))
    return first


def solve_by_sampling(
    respond: Callable[[ndarray, int], ndarray],
    start: Float[ndarray, " component"],
    *,
    tolerance: float,
    rounds: int = 200,
    decay: float = 0.7,
) -> FixedPoint:
    """Solve field = E[respond(field)] where every response is a sample (customers who draw their decisions).

        µ' = µ + (Φ_k(µ) - µ) / (k + 1) ** decay,   answer: the mean of the fields of the later half

    Small steps average the draws away. The gap of the answer is not seen directly; it is estimated from the
    mean of the later residuals, whose standard error must lie within the tolerance too: more rounds, or more
    customers per round, settle it.

    Args:
        respond: the sampled response, given the field and the number of the round (the key of its draws).
        start: where to begin.
        tolerance: on the largest mean residual and on its standard error.
        rounds: responses drawn.
        decay: exponent of the step, in (1/2, 1].

    Source: Robbins and Monro (1951); averaging of Polyak and Juditsky (1992).

    >>> draws = np.random.default_rng(1)
    >>> noisy = lambda m, k: 0.5 + 0.5 * m + draws.normal(0, 0.05, 1)
    >>> found = solve_by_sampling(noisy, np.zeros(1), tolerance=0.02, rounds=400)
    >>> found.status.name, bool(abs(found.field[0] - 1.0) < 0.02)
    ('SETTLED', True)
    """
    field = np.array(start, float)
    fields, residuals, gaps = [], [], []
    for k in range(rounds):
        residual = np.asarray(respond(field, k), float) - field
        gap = float(np.abs(residual).max(initial=0.0))
        gaps.append(gap)
        if not np.isfinite(gap):
            return FixedPoint(field, Status.DIVERGED, tuple(gaps), 0.0)
        if k >= rounds // 2:
            fields.append(field)
            residuals.append(residual)
        field = field + residual / (k + 1) ** decay
    later = np.stack(residuals)
    mean = np.abs(later.mean(axis=0)).max(initial=0.0)
    error = (later.std(axis=0) / np.sqrt(len(later))).max(initial=0.0)
    gaps.append(float(max(mean, error)))
    status = Status.SETTLED if max(mean, error) <= tolerance else Status.ITERATION_LIMIT
    return FixedPoint(np.mean(fields, axis=0), status, tuple(gaps), 0.0)


def _solve(
    respond: Response, start: ndarray, tolerance: float, iterations: int, step: float, memory: int
) -> FixedPoint:
    field = np.array(start, float)
    fields: list[ndarray] = []
    residuals: list[ndarray] = []
    gaps: list[float] = []
    ratios: list[float] = []
    best, best_gap, best_residual = field, np.inf, np.zeros_like(field)
    plain_steps = 0  # plain steps left after a failed acceleration
    was_plain = False
    for _ in range(iterations):
        residual = np.asarray(respond(field), float) - field
        gap = float(np.abs(residual).max(initial=0.0))
        if not np.isfinite(gap):
            return FixedPoint(best, Status.DIVERGED, (*gaps, np.inf), _median(ratios))
        gaps.append(gap)
        if residuals:
            moved = np.abs(field - fields[-1]).max(initial=0.0)
            if moved > 0:  # |Φ(a) - Φ(b)| / |a - b|
                change = (residual + field) - (residuals[-1] + fields[-1])
                ratios.append(float(np.abs(change).max() / moved))
        if gap <= tolerance:
            return FixedPoint(field, Status.SETTLED, tuple(gaps), _median(ratios))
        if gap > 2 * best_gap and not was_plain:
            field, residual = (
                best,
                best_residual,
            )  # the acceleration went astray: back, and plainly for a while
            fields, residuals, plain_steps = [], [], 2 * max(memory, 1)
        elif gap < best_gap:
            best, best_gap, best_residual = field, gap, residual
        fields, residuals = [*fields, field][-(memory + 1) :], [*residuals, residual][-(memory + 1) :]
        was_plain = memory == 0 or plain_steps > 0 or len(fields) < 3 or _median(ratios) >= 1 - 1e-9
        if was_plain:
            plain_steps = max(plain_steps - 1, 0)
            field = field + step * residual
        else:
            dF = np.diff(np.stack(residuals), axis=0).T
            dX = np.diff(np.stack(fields), axis=0).T
            weight = np.linalg.lstsq(dF, residual, rcond=1e-10)[0]
            field = field + step * residual - (dX + step * dF) @ weight
    return FixedPoint(best, Status.ITERATION_LIMIT, tuple(gaps), _median(ratios))


def _median(ratios: list[float]) -> float:
    return float(np.median(ratios)) if ratios else 0.0
