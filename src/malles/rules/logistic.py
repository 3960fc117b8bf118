"""Stage one of the hurdle: the chance that a target is not zero, short enough to stand in a formula.

P = 1 / (1 + k x1^e1 x2^e2 ...)       a logit that is linear in logarithms
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.rules.expression import Call, Expression, Number
from malles.rules.power_law import PowerLaw


def find_chance(
    logs: Float[ndarray, "row input"], happened: Bool[ndarray, " row"], names: Sequence[str], *, most: int = 2
) -> Expression:
    """The chance as an expression of at most `most` inputs, entered by score test.

    >>> x = np.repeat(np.log([[1.0], [3.0]]), 40, axis=0)  # odds 1 and 3
    >>> yes = np.array([k % 2 == 0 for k in range(40)] + [k % 4 != 0 for k in range(40)])
    >>> from malles.rules.expression import evaluate
    >>> evaluate(find_chance(x, yes, ["a"]), {"a": np.array([1.0, 3.0])}).round(2)
    array([0.5 , 0.75])
    """
    y = happened.astype(np.float64)
    chosen: list[int] = []
    theta = np.array([np.log((y.sum() + 0.5) / (len(y) - y.sum() + 0.5))])
    while len(chosen) < min(most, logs.shape[1]):
        x = np.column_stack([np.ones(len(y)), logs[:, chosen]])
        chance = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        weight = chance * (1 - chance)
        weighted = x * weight[:, None]
        away = logs - x @ np.linalg.lstsq(x.T @ weighted, weighted.T @ logs, rcond=None)[0]
        power = (away.T @ (y - chance)) ** 2 / np.maximum((away**2).T @ weight, 1e-12)
        power[chosen] = -np.inf
        power[(away**2).mean(axis=0) < 1e-9] = -np.inf
        if not power.max() > np.log(len(y)):
            break
        chosen.append(int(np.argmax(power)))
        theta = _newton(np.column_stack([np.ones(len(y)), logs[:, chosen]]), y, np.append(theta, 0.0))
    odds = PowerLaw(
        tuple(names[i] for i in chosen), np.round(-theta[1:], 6), float(np.round(np.exp(-theta[0]), 6)),
        1.0, np.zeros(len(chosen)), 0.0,
    )  # fmt: skip
    return Call("/", (Number(1.0), odds.expression()))


def _newton(x: ndarray, y: ndarray, theta: ndarray) -> ndarray:
    """Penalised a little, so that separable rows have an answer."""
    penalty = 1e-4 * len(y) * np.eye(len(theta)) * 1e-2
    for _ in range(25):
        chance = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        hessian = x.T @ (x * (chance * (1 - chance))[:, None]) + penalty
        step = np.linalg.solve(hessian, x.T @ (y - chance) - penalty @ theta)
        theta = theta + np.clip(step, -3, 3)
        if np.abs(step).max() < 1e-9:
            break
    return theta
