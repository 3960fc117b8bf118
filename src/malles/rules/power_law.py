"""Products of powers, the first thing tried: closed form or a few Gauss-Newton steps, no random search.

    m = c + k x1^e1 x2^e2 ...          c = 0 unless asked for

Least squares (also of logarithms), Poisson deviance, or the censored likelihood of max(0, m + noise).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize
from scipy.special import log_ndtr

from malles.rules.expression import Call, Expression, Number, Variable, complexity


class Loss(Enum):
    """What a rule is fitted and scored by."""

    SQUARED = "squared"
    """Mean squared error."""
    LOG = "log"
    """Mean squared error of logarithms: errors in percent; targets and forecasts > 0."""
    POISSON = "poisson"
    """Mean Poisson deviance: counts."""

    def terms(self, mean: Float[ndarray, " row"], target: Float[ndarray, " row"]) -> Float[ndarray, " row"]:
        """Loss of every row.

        >>> Loss.POISSON.terms(np.array([1.0, 2.0]), np.array([1.0, 1.0])).round(4)  # 2 (log(1/2) + 1)
        array([0.    , 0.6137])
        """
        if self is Loss.SQUARED:
            return np.asarray((mean - target) ** 2)
        m = np.maximum(mean, 1e-9)
        if self is Loss.LOG:
            return np.asarray((np.log(m) - np.log(np.maximum(target, 1e-9))) ** 2)
        ratio = np.log(np.where(target > 0, target, 1.0) / np.where(target > 0, m, 1.0))
        return np.asarray(2 * (target * ratio - (target - m)))


@dataclass(frozen=True)
class PowerLaw:
    """c + k x1^e1 x2^e2 ..., fitted."""

    names: tuple[str, ...]
    exponent: Float[ndarray, " input"]
    factor: float
    constant: float
    spread: Float[ndarray, " input"]
    """Standard error of every exponent; 0 where it was rounded."""
    error: float
    """Mean loss on the rows it was fitted on."""

    def expression(self) -> Expression:
        """The law with positive exponents in the numerator, negative ones as divisors.

        >>> from malles.rules.printing import format_rule
        >>> law = PowerLaw(("a", "p"), np.array([1.0, -1.5]), 2.0, 0.0, np.zeros(2), 0.0)
        >>> format_rule(law.expression())
        '2 * a / p ^ 1.5'
        """
        found: Expression | None = Number(self.factor) if self.factor != 1 else None
        pairs = sorted(zip(self.names, self.exponent, strict=True), key=lambda p: p[1] < 0)
        for name, e in pairs:
            size = abs(float(e))
            if size == 0:
                continue
            part: Expression = Variable(name) if size == 1 else Call("^", (Variable(name), Number(size)))
            if e < 0:
                found = Call("/", (found or Number(1.0), part))
            else:
                found = part if found is None else Call("*", (found, part))
        found = found or Number(1.0)
        if self.constant:
            sign = "+" if self.constant > 0 else "-"
            found = Call(sign, (found, Number(abs(self.constant))))
        return found

    @property
    def nodes(self) -> int:
        """Complexity of its expression."""
        return complexity(self.expression())


def fit_power_law(
    logs: Float[ndarray, "row input"],
    target: Float[ndarray, " row"],
    names: Sequence[str],
    loss: Loss,
    *,
    constant: bool = False,
    fixed: Float[ndarray, " input"] | None = None,
    weight: Float[ndarray, " row"] | None = None,
    start: PowerLaw | None = None,
) -> PowerLaw:
    """Fit one structure: closed form for logarithms, damped Gauss-Newton (Fisher scoring) otherwise.

    Args:
        logs: logarithms of positive inputs.
        target: > 0 for `Loss.LOG`, >= 0 for Poisson.
        names: of the inputs.
        loss: what is minimised.
        constant: with a constant c.
        fixed: exponents that are given; NaN where they are to be fitted.
        weight: of every row, for `Loss.SQUARED` alone.
        start: law on the same inputs from which the steps begin.

    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> fit_power_law(x, 3 * np.exp(-1.5 * x[:, 0]), ["p"], Loss.LOG).exponent.round(6)
    array([-1.5])
    """
    given = np.full(logs.shape[1], np.nan) if fixed is None else fixed
    free = np.flatnonzero(np.isnan(given))
    offset = logs @ np.nan_to_num(given)
    x = np.column_stack([np.ones(len(logs)), logs[:, free]])
    y = np.log(np.maximum(target, 1e-9 if loss is Loss.LOG else 0.05 * max(float(target.mean()), 1e-9)))
    theta = np.linalg.lstsq(x, y - offset, rcond=None)[0]
    covariance = np.linalg.pinv(x.T @ x)
    scale = float(np.mean((y - offset - x @ theta) ** 2))
    c = 0.0
    if start is not None:
        theta, c = np.concatenate([[np.log(start.factor)], start.exponent[free]]), start.constant
    if loss is not Loss.LOG or constant:
        w = np.ones(len(target)) if weight is None else weight
        theta, c, covariance, scale = _scoring(x, offset, target, theta, c, loss, w, constant=constant)
    exponent, spread = np.nan_to_num(given), np.zeros(len(given))
    exponent[free] = theta[1:]
    spread[free] = np.sqrt(np.maximum(np.diag(covariance)[1 : len(theta)] * scale, 0))
    mean = c + np.exp(np.clip(offset + x @ theta, -60, 60))
    terms = loss.terms(mean, target)
    error = float(terms.mean() if weight is None else (weight * terms).mean())
    return PowerLaw(tuple(names), exponent, float(np.exp(np.clip(theta[0], -60, 60))), c, spread, error)


def _scoring(
    x: ndarray,
    offset: ndarray,
    target: ndarray,
    theta: ndarray,
    c: float,
    loss: Loss,
    given: ndarray,
    *,
    constant: bool,
) -> tuple[ndarray, float, ndarray, float]:
    """Levenberg-damped Fisher scoring from a given start; weights 1/m for counts, 1/m² in logs."""
    damping = 1e-3

    def forecast(t: ndarray, c: float) -> ndarray:
        return np.asarray(c + np.exp(np.clip(offset + x @ t, -60, 60)))

    mean = forecast(theta, c)
    now = (given * loss.terms(mean, target)).mean()
    for _ in range(60):
        jacobian = (mean - c)[:, None] * x
        if constant:
            jacobian = np.column_stack([jacobian, np.ones(len(x))])
        weight, missed = _working(mean, target, loss)
        weight = weight * given
        normal = jacobian.T @ (jacobian * weight[:, None])
        slope = jacobian.T @ (weight * missed)
        step = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal)), slope, rcond=None)[0]
        t, d = theta + step[: len(theta)], c + (step[-1] if constant else 0.0)
        tried = forecast(t, d)
        then = (given * loss.terms(tried, target)).mean()
        if then < now:
            done = now - then < 1e-10 * max(now, 1e-30)
            theta, c, mean, now, damping = t, float(d), tried, then, damping / 10
            if done:
                break
        else:
            damping *= 10
            if damping > 1e8:
                break
    covariance = np.linalg.pinv(normal)
    return theta, c, covariance, float((weight * missed**2).mean())


def _working(mean: ndarray, target: ndarray, loss: Loss) -> tuple[ndarray, ndarray]:
    """Weight and residual of every row, in units of the target."""
    if loss is Loss.SQUARED:
        return np.ones(len(mean)), target - mean
    m = np.maximum(mean, 1e-9)
    if loss is Loss.POISSON:
        return 1 / np.maximum(m, 1e-6), target - mean
    return 1 / m**2, m * (np.log(target) - np.log(m))


def fit_censored(
    logs: Float[ndarray, "row input"],
    target: Float[ndarray, " row"],
    names: Sequence[str],
    *,
    fixed: Float[ndarray, " input"] | None = None,
) -> PowerLaw:
    """Maximum likelihood of y = max(0, c + k x^e + noise): rows at 0 count as "at most 0".

        l = sum over y > 0 of log phi((y - m) / s) - log s  +  sum over y = 0 of log Phi(-m / s)

    The start is the least-squares fit of the rows with y > 0, which alone is biased near the threshold.

    Source: Tobin (1958).
    """
    bought = target > 0
    start = fit_power_law(logs[bought], target[bought], names, Loss.SQUARED, constant=True, fixed=fixed)
    given = np.full(logs.shape[1], np.nan) if fixed is None else fixed
    free = np.flatnonzero(np.isnan(given))
    offset = logs @ np.nan_to_num(given)
    x = np.column_stack([np.ones(len(logs)), logs[:, free]])

    def loss(p: ndarray) -> tuple[float, ndarray]:
        growth = np.exp(np.clip(offset + x @ p[:-2], -60, 60))
        mean, spread = p[-2] + growth, np.exp(p[-1])
        z = (target - mean) / spread
        inner = -mean / spread
        tail = log_ndtr(inner)
        ratio = np.exp(-0.5 * inner**2 - 0.5 * np.log(2 * np.pi) - tail)  # phi / Phi
        value = np.where(bought, 0.5 * z**2 + p[-1], -tail).sum()
        by_mean = np.where(bought, -z / spread, ratio / spread)
        by_spread = np.where(bought, 1 - z**2, ratio * inner).sum()
        gradient = np.concatenate([x.T @ (by_mean * growth), [by_mean.sum(), by_spread]])
        return float(value) / len(x), gradient / len(x)

    begin = [np.log(start.factor), *start.exponent[free], start.constant, 0.5 * np.log(start.error + 1e-12)]
    found = minimize(loss, np.array(begin), jac=True, method="BFGS", options={"maxiter": 300, "gtol": 1e-7})
    p = found.x
    exponent, spread = np.nan_to_num(given), np.zeros(len(given))
    exponent[free] = p[1:-2]
    spread[free] = np.sqrt(np.maximum(np.diag(found.hess_inv)[1:-2] / len(x), 0))
    mean = np.maximum(p[-2] + np.exp(np.clip(offset + x @ p[:-2], -60, 60)), 0)
    error = float(np.mean((mean - target) ** 2))
    return PowerLaw(tuple(names), exponent, float(np.exp(p[0])), float(p[-2]), spread, error)
