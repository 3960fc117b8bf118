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
from malles.errors import DataError, MissingExtra
from malles.wholesale.bargaining.table import Encoder, Table

FOLDS = 5
BAGS = 5
"""Boosted models averaged, each on a bootstrap sample."""
SURE = 0.01
"""Chances are kept at least this far from 0 and 1."""

Predict = Callable[[Table], ndarray]
Fit = Callable[[Table, ndarray, int], Predict]


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
    rule = _apart(lambda t, y, s: fit_median_rule(t.numbers[:, 0], y), by)
    candidates: dict[str, Fit] = {
        "median rule": rule,
        **{f"ridge {a:g}": _ridge(a) for a in (10.0, 30.0, 100.0)},
        "boosted": _boosted("absolute_error"),
        "boosted on the rest of the median rule": _on_the_rest(rule, _boosted("absolute_error")),
        "median regression": _apart(_median_regression(linear), by),
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
        "mean": lambda t, y, s: _constant(float(y.mean())),
        **{f"ridge {a:g}": _ridge(a) for a in (10.0, 30.0, 100.0)},
        "boosted": _boosted("squared_error"),
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
        "base rate": lambda t, y, s: _constant(float(y.mean())),
        **{f"logistic {c:g}": _logistic(c) for c in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)},
        "boosted": _boosted("log_loss"),
    }
    return _choose(table, happened.astype(float), candidates, log_losses, seed)


def log_losses(happened: Float[ndarray, " row"], chance: Float[ndarray, " row"]) -> Float[ndarray, " row"]:
    """−log of the chance of what happened, nats.

    >>> log_losses(np.array([1.0, 0.0]), np.array([0.5, 0.5])).round(3)
    array([0.693, 0.693])
    """
    return -np.log(np.where(happened > 0.5, chance, 1 - chance))


def fit_median_rule(ratio: Float[ndarray, " row"], share: Float[ndarray, " row"]) -> Predict:
    """The baseline: the median share of the training deals with the same target ratio, to one decimal.

    A ratio that was never seen gets the median of all.
    """
    keys = np.round(ratio, 1)
    known = {float(k): float(np.median(share[keys == k])) for k in np.unique(keys)}
    overall = float(np.median(share))
    return lambda t: np.array([known.get(float(k), overall) for k in np.round(t.numbers[:, 0], 1)])


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


def _constant(value: float) -> Predict:
    return lambda t: np.full(len(t), value)


def _apart(fit: Fit, by: int | None) -> Fit:
    """The same fit for the rows with 0 and with 1 in a column; a value without rows gets the fit of all."""
    if by is None:
        return fit

    def fit_apart(table: Table, target: ndarray, seed: int) -> Predict:
        side = table.numbers[:, by] > 0.5
        parts = [fit(table.select(s), target[s], seed) if s.any() else None for s in (~side, side)]
        everyone = fit(table, target, seed) if None in parts else None

        def predict(t: Table) -> ndarray:
            found = np.zeros(len(t))
            for value, part in enumerate(parts):
                asked = (t.numbers[:, by] > 0.5) == bool(value)
                use = part or everyone
                if asked.any() and use is not None:
                    found[asked] = use(t.select(asked))
            return found

        return predict

    return fit_apart


def _on_the_rest(first: Fit, then: Fit) -> Fit:
    """What a first fit leaves is fitted by a second; predictions add up."""

    def fit(table: Table, target: ndarray, seed: int) -> Predict:
        base = first(table, target, seed)
        rest = then(table, target - base(table), seed)
        return lambda t: base(t) + rest(t)

    return fit


def _median_regression(columns: Sequence[int]) -> Fit:
    """A share a + b · columns with the least sum of absolute errors (Koenker & Bassett 1978)."""
    at = list(columns)

    def fit(table: Table, target: ndarray, seed: int) -> Predict:
        try:
            from sklearn.linear_model import QuantileRegressor
        except ImportError as error:
            raise MissingExtra("models of bargaining", "scikit-learn", "text") from error
        del seed
        model = QuantileRegressor(quantile=0.5, alpha=0.0, solver="highs")
        model.fit(table.numbers[:, at], target)
        return lambda t: np.asarray(model.predict(t.numbers[:, at]))

    return fit


def _ridge(alpha: float) -> Fit:
    def fit(table: Table, target: ndarray, seed: int) -> Predict:
        encoder = Encoder(table)
        from sklearn.linear_model import Ridge

        del seed
        model = Ridge(alpha, solver="lsqr", tol=1e-6).fit(encoder.encode(table), target)
        return lambda t: np.asarray(model.predict(encoder.encode(t)))

    return fit


def _logistic(c: float) -> Fit:
    def fit(table: Table, target: ndarray, seed: int) -> Predict:
        encoder = Encoder(table)
        from sklearn.linear_model import LogisticRegression

        del seed
        model = LogisticRegression(C=c, max_iter=2_000).fit(encoder.encode(table), target > 0.5)
        return lambda t: np.clip(model.predict_proba(encoder.encode(t))[:, 1], SURE, 1 - SURE)

    return fit


def _boosted(loss: str) -> Fit:
    def fit(table: Table, target: ndarray, seed: int) -> Predict:
        try:
            from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
        except ImportError as error:
            raise MissingExtra("models of bargaining", "scikit-learn", "text") from error
        rng = np.random.default_rng(seed)
        shape = {
            "max_iter": 80, "learning_rate": 0.05, "max_leaf_nodes": 6, "min_samples_leaf": 20,
            "early_stopping": False, "random_state": seed,
        }  # fmt: skip
        models = []
        for _ in range(BAGS):
            at = rng.integers(0, len(table), len(table))
            if loss == "log_loss":
                models.append(
                    HistGradientBoostingClassifier(**shape).fit(table.numbers[at], target[at] > 0.5)
                )
            else:
                models.append(
                    HistGradientBoostingRegressor(loss=loss, **shape).fit(table.numbers[at], target[at])
                )
        if loss == "log_loss":
            return lambda t: np.clip(
                np.mean([m.predict_proba(t.numbers)[:, 1] for m in models], axis=0), SURE, 1 - SURE
            )
        return lambda t: np.asarray(np.mean([m.predict(t.numbers) for m in models], axis=0))

    return fit
