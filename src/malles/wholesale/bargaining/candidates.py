"""Candidates among which a model of a negotiation is chosen: each fits rows and gives a way to predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import MissingExtra
from malles.wholesale.bargaining.table import Encoder, Table

BAGS = 5
"""Boosted models averaged, each on a bootstrap sample."""

SURE = 0.01
"""Chances are kept at least this far from 0 and 1."""
Predict = Callable[[Table], ndarray]
Fit = Callable[[Table, ndarray, int], Predict]


def fit_median_rule(ratio: Float[ndarray, " row"], share: Float[ndarray, " row"]) -> Predict:
    """The baseline: the median share of the training deals with the same target ratio, to one decimal.

    A ratio that was never seen gets the median of all.
    """
    keys = np.round(ratio, 1)
    known = {float(k): float(np.median(share[keys == k])) for k in np.unique(keys)}
    overall = float(np.median(share))
    return lambda t: np.array([known.get(float(k), overall) for k in np.round(t.numbers[:, 0], 1)])


def constant(value: float) -> Predict:
    """The same for every row."""
    return lambda t: np.full(len(t), value)


def apart(fit: Fit, by: int | None) -> Fit:
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


def on_the_rest(first: Fit, then: Fit) -> Fit:
    """What a first fit leaves is fitted by a second; predictions add up."""

    def fit(table: Table, target: ndarray, seed: int) -> Predict:
        base = first(table, target, seed)
        rest = then(table, target - base(table), seed)
        return lambda t: base(t) + rest(t)

    return fit


def median_regression(columns: Sequence[int]) -> Fit:
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


def ridge(alpha: float) -> Fit:
    """Ridge regression on numbers and words."""

    def fit(table: Table, target: ndarray, seed: int) -> Predict:
        encoder = Encoder(table)
        from sklearn.linear_model import Ridge

        del seed
        model = Ridge(alpha, solver="lsqr", tol=1e-6).fit(encoder.encode(table), target)
        return lambda t: np.asarray(model.predict(encoder.encode(t)))

    return fit


def logistic(c: float) -> Fit:
    """Logistic regression on numbers and words."""

    def fit(table: Table, target: ndarray, seed: int) -> Predict:
        encoder = Encoder(table)
        from sklearn.linear_model import LogisticRegression

        del seed
        model = LogisticRegression(C=c, max_iter=2_000).fit(encoder.encode(table), target > 0.5)
        return lambda t: np.clip(model.predict_proba(encoder.encode(t))[:, 1], SURE, 1 - SURE)

    return fit


def boosted(loss: str) -> Fit:
    """Boosted trees under a loss of scikit-learn, the mean over several bootstrap samples."""

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
