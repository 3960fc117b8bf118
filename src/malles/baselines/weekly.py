"""Weekly demand of every category, one week ahead: what the market simulation is compared with.

last week | mean of the last 4 or 8 weeks | exponential smoothing | boosted trees (Poisson) on lags and
promotions
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import DataError, MissingExtra


def predict_last_week(past: Float[ndarray, "category week"]) -> Float[ndarray, " category"]:
    """Units of the last week.

    >>> predict_last_week(np.array([[1.0, 4.0]]))
    array([4.])
    """
    return np.asarray(past[:, -1], float)


def predict_mean(past: Float[ndarray, "category week"], window: int) -> Float[ndarray, " category"]:
    """Mean units of the last `window` weeks.

    >>> predict_mean(np.array([[9.0, 2.0, 4.0]]), 2)
    array([3.])
    """
    return np.asarray(past[:, -window:].mean(1), float)


def predict_smoothing(
    past: Float[ndarray, "category week"], step: float = 0.2
) -> Float[ndarray, " category"]:
    """Exponential smoothing, started at the mean of the first four weeks: s' = s + step (units - s).

    >>> predict_smoothing(np.array([[2.0, 2.0, 2.0, 2.0, 7.0]]), 0.2)
    array([3.])
    """
    level = np.asarray(past[:, :4].mean(1), float)
    for t in range(4, past.shape[1]):
        level = level + step * (past[:, t] - level)
    return level


@dataclass(frozen=True)
class WeeklyBoosting:
    """LightGBM with the Poisson objective on lags of the category and this week's promotions."""

    trees: int = 300
    leaves: int = 15
    learning_rate: float = 0.03
    smallest_leaf: int = 20

    def predict(
        self,
        units: Float[ndarray, "category week"],
        offer: Float[ndarray, "category week offer"],
        first: int,
        target: int,
        *,
        fit_before: int | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> Float[ndarray, " category"]:
        """Units expected in column `target`, from a model fitted on columns `first` to `target` - 1.

        Args:
            units: units of every category and week; columns from `target` on are not looked at.
            offer: what is announced for every week (display, mailer, discount), known for `target` too.
            first: first column to fit on; at least 4 weeks must lie before it.
            target: the week to predict; all columns before it are lags.
            fit_before: fit only on columns before this one (default: `target`).
            seed: of the row and column sampling.
            threads: processor threads.

        Every lag is divided by the level (mean of the last 8 weeks), whose logarithm is the starting score:
        trees learn a change of level, so that large and small categories share them.
        """
        try:
            import lightgbm as lgb
        except ImportError as error:
            raise MissingExtra("the weekly boosting baseline", "lightgbm", "models") from error

        stop = target if fit_before is None else min(fit_before, target)
        if first < 4 or stop <= first:
            raise DataError(
                f"weeks {first} to {stop - 1} cannot be fitted on; give at least 4 weeks before the first"
            )
        rows = [self._row(units, offer, t) for t in range(first, stop)]
        X = np.concatenate([x for x, _ in rows])
        level = np.concatenate([base for _, base in rows])
        y = np.concatenate([units[:, t] for t in range(first, stop)])
        data = lgb.Dataset(
            X,
            y,
            init_score=np.log(level),
            categorical_feature=[0],
            params={"verbose": -1},
            free_raw_data=False,
        )
        settings = {
            "objective": "poisson", "num_leaves": self.leaves, "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.smallest_leaf, "bagging_fraction": 0.8, "bagging_freq": 1,
            "feature_fraction": 0.8, "lambda_l2": 5.0, "cat_smooth": 50.0, "poisson_max_delta_step": 0.3,
            "num_threads": threads, "seed": seed, "deterministic": True,
            "force_row_wise": True, "verbose": -1,
        }  # fmt: skip
        booster = lgb.train(settings, data, self.trees)
        now, base = self._row(units, offer, target)
        return np.asarray(base * np.exp(booster.predict(now, raw_score=True)), float)

    @staticmethod
    def _row(units: ndarray, offer: ndarray, t: int) -> tuple[ndarray, ndarray]:
        """(features [category, feature], level [category]) of column t, from columns before it."""
        past = units[:, :t]
        level = past[:, -8:].mean(1) + 0.5
        recent = offer[:, max(t - 8, 0) : t].mean(1) if t else offer[:, t]
        lags = [past[:, -k] / level for k in (1, 2, 3, 4)]
        means = [past[:, -k:].mean(1) / level for k in (2, 4)]
        before = past[:, -26:].mean(1) / level
        chain = np.full(len(units), past[:, -1].sum() / level.sum())
        trend = past[:, -8:].std(1) / level
        category = np.arange(len(units), dtype=float)
        columns = [category, np.log(level), *lags, *means, before, chain, trend, *offer[:, t].T,
                   *(offer[:, t] - recent).T,
                   *(offer[:, t] - offer[:, t - 1]).T]  # fmt: skip
        return np.stack(columns, 1), level
