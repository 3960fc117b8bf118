"""Which powers belong to a law: inputs enter by score test, leave by BIC, exponents are rounded when the
data allow.

    an input leaves where |e| < se sqrt(log n);   e becomes r/2 where |e - r/2| < se sqrt(log n)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.rules.power_law import Loss, PowerLaw, fit_censored, fit_power_law

FURTHEST = 0.05
"""An exponent is never moved further than this by rounding."""

Fit = Callable[[ndarray, list[str], ndarray | None], PowerLaw]
"""(logarithms, names, fixed exponents) -> law."""


def simplify_law(logs: Float[ndarray, "row input"], names: Sequence[str], fit: Fit, rows: int) -> PowerLaw:
    """Drop inputs that BIC does not pay for, then round exponents to halves and fit the rest again."""
    kept = list(range(len(names)))
    patience = float(np.sqrt(np.log(max(rows, 3))))
    law = fit(logs[:, kept], [names[i] for i in kept], None)
    while len(kept) > 1:
        certain = np.abs(law.exponent) / np.maximum(law.spread, 1e-12)
        weakest = int(np.argmin(certain))
        if certain[weakest] >= patience:
            break
        del kept[weakest]
        law = fit(logs[:, kept], [names[i] for i in kept], None)
    half = np.round(2 * law.exponent) / 2
    allowed = np.minimum(patience * law.spread, FURTHEST)
    near = (np.abs(law.exponent - half) <= allowed + 1e-9) & (half != 0)
    return fit(logs[:, kept], list(law.names), np.where(near, half, np.nan)) if near.any() else law


def find_law(
    logs: Float[ndarray, "row input"], target: Float[ndarray, " row"], names: Sequence[str]
) -> PowerLaw:
    """The law of a positive target with noise in percent: `k x^e` or `c + k x^e`, the better by BIC.

    >>> x = np.random.default_rng(0).normal(0, 0.4, (500, 2))
    >>> law = find_law(x, np.exp(x[:, 0] * -1.5), ["p", "noise"])
    >>> law.names, law.exponent
    (('p',), array([-1.5]))
    """
    n = len(target)

    def fitted(constant: bool) -> PowerLaw:
        return simplify_law(
            logs, names, lambda x, k, f: fit_power_law(x, target, k, Loss.LOG, constant=constant, fixed=f), n
        )

    plain, shifted = fitted(False), fitted(True)

    def length(law: PowerLaw) -> float:
        return n * float(np.log(law.error + 1e-12)) + (len(law.names) + (law.constant != 0)) * float(
            np.log(n)
        )

    return min(plain, shifted, key=length)


def find_threshold_law(
    logs: Float[ndarray, "row input"], target: Float[ndarray, " row"], names: Sequence[str]
) -> PowerLaw:
    """The law inside max(0, c + k x^e), whether its noise is a constant or a percentage of the target.

    Noise added before the cut is fitted by the censored likelihood of all rows; noise in percent by least
    squares of logarithms on the rows with y > 0. The higher likelihood of these rows decides.
    """
    bought = target > 0
    y = target[bought]

    def percent(x: ndarray, k: list[str], fixed: ndarray | None) -> PowerLaw:
        return _fit_percent(x[bought], y, k, fixed)

    def censored(x: ndarray, k: list[str], fixed: ndarray | None) -> PowerLaw:
        return fit_censored(x, target, k, fixed=fixed)

    growing = simplify_law(logs, names, percent, len(y))
    steady = simplify_law(logs, names, censored, len(y))
    columns = [list(names).index(name) for name in steady.names]
    mean = steady.constant + steady.factor * np.exp(logs[bought][:, columns] @ steady.exponent)
    by_percent = -len(y) * 0.5 * np.log(growing.error + 1e-12) - np.log(y).sum()
    by_constant = -len(y) * 0.5 * np.log(np.mean((y - mean) ** 2) + 1e-12)
    return growing if by_percent > by_constant else steady


def _fit_percent(x: ndarray, y: ndarray, names: list[str], fixed: ndarray | None) -> PowerLaw:
    """Least squares of (y - m) / y, approached from (y - m) so that rows near 0 do not lock it."""
    law = fit_power_law(x, y, names, Loss.SQUARED, constant=True, fixed=fixed)
    for softening in (1.0, 0.3, 0.1, 0.03, 0.01, 0.0):
        weight = 1 / (y**2 + (softening * float(np.median(y))) ** 2)
        law = fit_power_law(x, y, names, Loss.SQUARED, constant=True, fixed=fixed, weight=weight, start=law)
    return law


def grow_laws(
    logs: Float[ndarray, "row input"],
    target: Float[ndarray, " row"],
    names: Sequence[str],
    loss: Loss,
    *,
    most: int = 4,
    first: Sequence[str] = (),
) -> list[PowerLaw]:
    """Laws of 1, 2, ... inputs: each time the input enters whose score test is strongest.

        score = (z' r)^2 / z' W z,   z the input's derivative less what the law already explains

    Inputs named in `first` stand in every law, for example a price whose response is wanted.
    Each law is fitted without and with a constant. Inputs that bring nothing end the search.
    """
    chosen = [list(names).index(name) for name in first]
    found: list[PowerLaw] = []
    n = len(target)
    mean = np.full(n, float(target.mean()))
    if chosen:
        start = fit_power_law(logs[:, chosen], target, list(first), loss)
        mean = np.maximum(start.factor * np.exp(np.clip(logs[:, chosen] @ start.exponent, -60, 60)), 1e-9)
    while len(chosen) < min(most, logs.shape[1]):
        weight = mean if loss is Loss.POISSON else np.ones(n) if loss is Loss.LOG else mean**2
        missed = (
            np.log(target) - np.log(mean) if loss is Loss.LOG else (target - mean) / np.maximum(mean, 1e-9)
        )
        basis = np.column_stack([np.ones(n), logs[:, chosen]])
        weighted = basis * weight[:, None]
        away = logs - basis @ np.linalg.lstsq(basis.T @ weighted, weighted.T @ logs, rcond=None)[0]
        power = (away.T @ (weight * missed)) ** 2 / np.maximum((away**2).T @ weight, 1e-12)
        power[chosen] = -np.inf
        power[(away**2).mean(axis=0) < 1e-9] = -np.inf
        best = int(np.argmax(power))
        if not power[best] > 0:
            break
        chosen.append(best)
        x, kept = logs[:, chosen], [names[i] for i in chosen]
        plain = fit_power_law(x, target, kept, loss)
        found += [plain, fit_power_law(x, target, kept, loss, constant=True)]
        mean = np.maximum(plain.factor * np.exp(np.clip(x @ plain.exponent, -60, 60)), 1e-9)
    return found
