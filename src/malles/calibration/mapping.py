"""Calibration maps f: correct simulated distributions after the model, without refitting it.

    ShareMap   temperature and a shrunk utility bias per group (a product, a segment x brand, ...)
    UnitsMap   quantile map of whole units

Fit on weeks the model was not fitted on, and before the weeks that are scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray
from scipy.optimize import minimize

from malles.calibration.temperature import log_utility, softmax
from malles.errors import DataError, OccasionError


@dataclass(frozen=True)
class ShareMap:
    """Q proportional to P ** (1 / temperature) * exp(bias[group]) over the available alternatives."""

    temperature: float
    bias: Float[ndarray, " group"]
    """Utility added to every alternative of the group, dimensionless; 0 for groups that were never
    offered.
    """
    penalty: float
    """Precision of the zero-mean normal prior on each bias."""
    log_loss_before: float
    """Mean -log P of the choices it was fitted on, nats."""
    log_loss: float
    """The same after the map (without the penalty)."""
    converged: bool
    message: str
    """What the optimiser said; worth reading if `converged` is false."""

    def apply(
        self,
        probability: Float[ndarray, "occasion alternative"],
        available: Bool[ndarray, "occasion alternative"],
        group: Integer[ndarray, "occasion alternative"],
    ) -> Float[ndarray, "occasion alternative"]:
        """Corrected probabilities; a group of -1, or one beyond those fitted, keeps a bias of 0."""
        known = (group >= 0) & (group < len(self.bias))
        bias = np.where(known, np.append(self.bias, 0.0)[np.where(known, group, 0)], 0.0)
        return softmax(log_utility(probability, available) / self.temperature + bias)


def fit_share_map(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    group: Integer[ndarray, "occasion alternative"],
    *,
    groups: int,
    penalty: float,
) -> ShareMap:
    """Temperature and group biases by penalised likelihood of held-out choices.

        minimise  -sum over n of log Q[n, chosen] + penalty / 2 * sum over g of bias[g] ** 2

    At the minimum each group satisfies  bought - predicted = penalty * bias : with a small penalty simulated
    and actual counts match, with a large one nothing moves. A group seen rarely is shrunk most.

    Args:
        probability: choice probabilities of the model on weeks it was not fitted on.
        available: which columns could be chosen.
        chosen: column of each choice.
        group: code of the group each alternative belongs to, -1 for none.
        groups: number of groups; codes are below it.
        penalty: precision of the prior, in choices; see `select_penalty`.

    Returns:
        The fitted map. One that did not converge says so; it is still the best point found.
    """
    if len(chosen) == 0:
        raise OccasionError("there are no occasions to fit a calibration map on; give held-out choices.")
    if not penalty > 0:
        raise DataError(
            f"penalty is {penalty}; give a number above 0, or biases of rare groups have no bound."
        )
    row = np.arange(len(chosen))
    utility = log_utility(probability, available)
    if not np.all(np.isfinite(utility[row, chosen])):
        raise OccasionError(
            "some choices are unavailable; drop these occasions before fitting a calibration map."
        )
    code = np.where((group >= 0) & available, group, groups).astype(np.int64)
    finite = np.where(available, utility, 0.0)
    bought = np.bincount(code[row, chosen], minlength=groups + 1)[:groups].astype(float)

    def objective(x: ndarray) -> tuple[float, ndarray]:
        slope, bias = np.exp(x[0]), np.append(x[1:], 0.0)
        value = np.where(available, slope * finite + bias[code], -np.inf)
        top = value.max(axis=1)
        weight = np.exp(value - top[:, None])
        total = weight.sum(axis=1)
        q = weight / total[:, None]
        loss = np.sum(np.log(total) + top - value[row, chosen]) + penalty / 2 * np.sum(x[1:] ** 2)
        predicted = np.bincount(code.ravel(), q.ravel(), groups + 1)[:groups]
        d_slope = slope * (np.sum(q * finite) - np.sum(finite[row, chosen]))
        return float(loss), np.append(d_slope, predicted - bought + penalty * x[1:])

    found = minimize(
        objective, np.zeros(groups + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-5}
    )
    bias = found.x[1:]
    fitted = ShareMap(
        float(np.exp(-found.x[0])), bias, penalty, 0.0, 0.0, bool(found.success), str(found.message)
    )
    after = fitted.apply(probability, available, group)[row, chosen]
    before = softmax(utility)[row, chosen]
    return ShareMap(
        fitted.temperature,
        bias,
        penalty,
        float(-np.mean(np.log(before))),
        float(-np.mean(np.log(after))),
        fitted.converged,
        fitted.message,
    )


@dataclass(frozen=True)
class PenaltyChoice:
    """Which penalty predicts left-out folds best."""

    penalty: float
    candidates: tuple[float, ...]
    log_loss: Float[ndarray, " candidate"]
    """Mean -log Q of choices in left-out folds, per candidate penalty, nats."""
    log_loss_before: float
    """The same without any map: if it is smaller than all of `log_loss`, do not calibrate."""


def select_penalty(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    group: Integer[ndarray, "occasion alternative"],
    fold: Integer[ndarray, " occasion"],
    *,
    groups: int,
    candidates: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0, 300.0),
) -> PenaltyChoice:
    """Penalty of `fit_share_map` by leaving out one fold (for example one week) at a time.

    The other arguments are those of `fit_share_map`; `fold` is the week, or any other label, of each
    occasion, and has at least two values.
    """
    folds = np.unique(fold)
    if len(folds) < 2:
        raise DataError(
            f"there is {len(folds)} fold; give at least two weeks to choose a penalty by leaving one out."
        )
    row = np.arange(len(chosen))
    total = np.zeros(len(candidates))
    for left_out in folds:
        test = fold == left_out
        for c, penalty in enumerate(candidates):
            fitted = fit_share_map(
                probability[~test],
                available[~test],
                chosen[~test],
                group[~test],
                groups=groups,
                penalty=penalty,
            )
            q = fitted.apply(probability[test], available[test], group[test])
            total[c] -= np.sum(np.log(q[row[: len(q)], chosen[test]]))
    before = softmax(log_utility(probability, available))[row, chosen]
    loss = total / len(chosen)
    return PenaltyChoice(candidates[int(np.argmin(loss))], candidates, loss, float(-np.mean(np.log(before))))


@dataclass(frozen=True)
class UnitsMap:
    """Quantile map of whole units: the simulated distribution becomes the actual one, order kept."""

    simulated: Float[ndarray, " unit"]
    """Cumulative distribution of simulated units at 0, 1, 2, ..."""
    actual: Float[ndarray, " unit"]
    """Cumulative distribution of actual units at 0, 1, 2, ..."""

    def apply(
        self, units: Integer[ndarray, " row"], uniform: Float[ndarray, " row"]
    ) -> Integer[ndarray, " row"]:
        """Map simulated units; `uniform` in [0, 1) splits a simulated value over several actual ones.

        Units above the largest one seen while fitting are kept: there is nothing to map them by.
        """
        inside = np.clip(units, 0, len(self.simulated) - 1)
        lower = np.append(0.0, self.simulated)[inside]
        level = lower + uniform * (self.simulated[inside] - lower)
        mapped = np.searchsorted(self.actual, level, side="right")
        mapped = np.minimum(mapped, len(self.actual) - 1)
        return np.where(units > len(self.simulated) - 1, units, mapped).astype(np.int64)


def fit_units_map(simulated: Integer[ndarray, " row"], actual: Integer[ndarray, " line"]) -> UnitsMap:
    """Quantile map from simulated to actual units.

        f(x) = F_actual^-1(u),   u uniform on [F_simulated(x - 1), F_simulated(x))

    Args:
        simulated: units of simulated purchases, whole numbers >= 0.
        actual: units of actual purchases of the same kind and weeks.
    """
    if len(simulated) == 0 or len(actual) == 0 or simulated.min() < 0 or actual.min() < 0:
        raise DataError(
            f"a units map needs units on both sides, got {len(simulated)} simulated and {len(actual)} "
            "actual; "
            "give whole numbers >= 0."
        )
    size = int(max(simulated.max(), actual.max())) + 1
    return UnitsMap(
        np.cumsum(np.bincount(simulated, minlength=size)) / len(simulated),
        np.cumsum(np.bincount(actual, minlength=size)) / len(actual),
    )
