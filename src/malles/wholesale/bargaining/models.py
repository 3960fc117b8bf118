"""Models of how a negotiation ends, chosen by cross-validation among few candidates.

shares (agreed price, next offer)   median per target ratio · ridge on numbers and words · boosted trees, also
                                    on what the median leaves · median regression on targets and last prices
chances (deal, agreement)           base rate · logistic on numbers and words · boosted trees

Agreed prices hold typing errors (31 times the list price): trees minimise absolute errors, targets are
clipped to `PLAUSIBLE`, and candidates are compared by absolute error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.data.sources.craigslist_bargain import PLAUSIBLE
from malles.errors import DataError
from malles.wholesale.bargaining.candidates import (
    Fit,
    Predict,
    apart,
    boosted,
    constant,
    fit_median_rule,
    logistic,
    median_regression,
    on_the_rest,
    ridge,
)
from malles.wholesale.bargaining.table import Table

FOLDS = 5


@dataclass(frozen=True)
class FittedModel:
    """The candidate that was best in cross-validation, fitted on all training rows."""

    name: str
    errors: Mapping[str, float]
    """Cross-validated error of every candidate: mean absolute error, squared error or log-loss."""
    rows: int
    _predict: Predict

    def predict(self, table: Table) -> Float[ndarray, " row"]:
        """A share, points, or a chance for every row."""
        return np.asarray(self._predict(table), float)


def fit_share(
    table: Table,
    share: Float[ndarray, " row"],
    seed: int,
    *,
    linear: Sequence[int] = (0,),
    by: int | None = None,
) -> FittedModel:
    """A model of a share of the list price, by mean absolute error.

    Args:
        table: training rows; column 0 is the buyer's target as a share of the list price.
        share: what is to be predicted; clipped to `PLAUSIBLE`.
        seed: of folds and bootstrap samples.
        linear: columns of the median regression.
        by: column of 0 and 1 (who names the price) by which medians and regressions are fitted apart.

    Raises:
        DataError: too few rows. MissingExtra: scikit-learn is not installed.
    """
    target = np.clip(share, *PLAUSIBLE)
    rule = apart(lambda t, y, s: fit_median_rule(t.numbers[:, 0], y), by)
    candidates: dict[str, Fit] = {
        "median rule": rule,
        **{f"ridge {a:g}": ridge(a) for a in (10.0, 30.0, 100.0)},
        "boosted": boosted("absolute_error"),
        "boosted on the rest of the median rule": on_the_rest(rule, boosted("absolute_error")),
        "median regression": apart(median_regression(linear), by),
    }
    return _choose(table, target, candidates, lambda y, p: np.abs(y - p), seed)


def fit_points(table: Table, points: Float[ndarray, " row"], seed: int) -> FittedModel:
    """A model of points, by mean squared error.

    Args:
        table: training rows.
        points: of each row.
        seed: of folds and bootstrap samples.
    """
    candidates: dict[str, Fit] = {
        "mean": lambda t, y, s: constant(float(y.mean())),
        **{f"ridge {a:g}": ridge(a) for a in (10.0, 30.0, 100.0)},
        "boosted": boosted("squared_error"),
    }
    return _choose(table, points, candidates, lambda y, p: (y - p) ** 2, seed)


def fit_chance(table: Table, happened: Bool[ndarray, " row"], seed: int) -> FittedModel:
    """A model of whether something happens, by log-loss.

    Args:
        table: training rows.
        happened: whether it did; both must occur.
        seed: of folds and bootstrap samples.
    """
    if happened.all() or not happened.any():
        raise DataError("a chance needs rows in which it happened and rows in which it did not")
    candidates: dict[str, Fit] = {
        "base rate": lambda t, y, s: constant(float(y.mean())),
        **{f"logistic {c:g}": logistic(c) for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)},
        "boosted": boosted("log_loss"),
    }
    return _choose(table, happened.astype(float), candidates, log_losses, seed)


def log_losses(happened: Float[ndarray, " row"], chance: Float[ndarray, " row"]) -> Float[ndarray, " row"]:
    """−log of the chance of what happened, nats.

    >>> log_losses(np.array([1.0, 0.0]), np.array([0.5, 0.5])).round(3)
    array([0.693, 0.693])
    """
    return -np.log(np.where(happened > 0.5, chance, 1 - chance))


def _choose(
    table: Table,
    target: ndarray,
    candidates: Mapping[str, Fit],
    loss: Callable[[ndarray, ndarray], ndarray],
    seed: int,
) -> FittedModel:
    """Fit the candidate with the lowest cross-validated loss on all rows; ties go to the first."""
    if len(table) < 4 * FOLDS or len(set(table.group)) < FOLDS:
        raise DataError(
            f"a model of bargaining needs at least {4 * FOLDS} dialogues of {FOLDS} scenarios, "
            f"got {len(table)}"
        )
    fold = table.folds(FOLDS, seed)
    errors = {}
    for name, fit in candidates.items():
        total = 0.0
        for k in range(FOLDS):
            held = fold == k
            predict = fit(table.select(~held), target[~held], seed)
            total += float(loss(target[held], predict(table.select(held))).sum())
        errors[name] = total / len(table)
    best = min(errors, key=errors.__getitem__)
    return FittedModel(best, errors, len(table), candidates[best](table, target, seed))
