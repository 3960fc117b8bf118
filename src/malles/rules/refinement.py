"""Fits the constants of any rule anew under the loss it will be judged by."""

from __future__ import annotations

import numpy as np

from malles.rules.expression import Expression, constants, evaluate, with_constants
from malles.rules.front import Rows
from malles.rules.power_law import Loss


def refine(expression: Expression, rows: Rows, loss: Loss, *, steps: int = 8) -> Expression:
    """The same tree with constants nearer to the least loss; never a worse rule on these rows.

    Damped Gauss-Newton with differences; weights 1/m for counts, residuals of logarithms for `Loss.LOG`.
    """
    theta = np.array(constants(expression))
    if not 0 < len(theta) <= 12:
        return expression

    def forecast(t: np.ndarray) -> np.ndarray:
        return evaluate(with_constants(expression, [float(v) for v in t]), rows.inputs, len(rows))

    mean = forecast(theta)
    now, damping = float(loss.terms(mean, rows.target).mean()), 1e-3
    for _ in range(steps):
        move = 1e-6 * np.maximum(np.abs(theta), 1e-3)
        slope = np.column_stack(
            [(forecast(theta + d) - mean) / m for d, m in zip(np.diag(move), move, strict=True)]
        )
        m = np.maximum(mean, 1e-6)
        missed, weight = rows.target - mean, np.ones(len(m))
        if loss is Loss.POISSON:
            weight = 1 / m
        elif loss is Loss.LOG:
            weight, missed = 1 / m**2, m * (np.log(np.maximum(rows.target, 1e-9)) - np.log(m))
        normal = slope.T @ (slope * weight[:, None])
        damped = normal + damping * np.diag(np.diag(normal) + 1e-12)
        tried = np.clip(
            theta + np.linalg.lstsq(damped, slope.T @ (weight * missed), rcond=None)[0], -1e90, 1e90
        )
        then_mean = forecast(tried)
        then = float(loss.terms(then_mean, rows.target).mean())
        if then < now:
            theta, mean, now, damping = tried, then_mean, then, damping / 10
        else:
            damping *= 10
    return with_constants(expression, [float(v) for v in theta])
