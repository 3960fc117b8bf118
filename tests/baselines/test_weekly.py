import numpy as np
import pytest

from malles.baselines.weekly import WeeklyBoosting, predict_last_week, predict_mean, predict_smoothing
from malles.errors import DataError


def history(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """60 categories, 30 weeks, Poisson units that double when the category is on display."""
    rng = np.random.default_rng(seed)
    display = (rng.random((60, 30)) < 0.2).astype(float)
    units = rng.poisson(rng.uniform(20, 80, 60)[:, None] * (1 + display)).astype(float)
    return units, display[:, :, None]


def test_the_simple_forecasts_by_hand():
    past = np.array([[4.0, 8.0, 2.0, 6.0, 10.0]])
    assert predict_last_week(past) == [10.0]
    assert predict_mean(past, 4) == [6.5]
    assert predict_smoothing(past, 0.2) == pytest.approx([5.0 + 0.2 * 5.0])


def test_boosting_learns_that_a_display_doubles_the_units():
    units, display = history()
    said = WeeklyBoosting(trees=150).predict(units, display, 8, 29)
    error = np.abs(said - units[:, 29]).sum() / units[:, 29].sum()
    plain = np.abs(predict_mean(units[:, :29], 8) - units[:, 29]).sum() / units[:, 29].sum()
    assert error < 0.75 * plain


def test_the_week_to_predict_and_later_ones_are_not_looked_at():
    units, display = history()
    changed = units.copy()
    changed[:, 25:] = 999.0
    model = WeeklyBoosting(trees=20)
    np.testing.assert_array_equal(
        model.predict(units, display, 8, 25), model.predict(changed, display, 8, 25)
    )


def test_too_short_a_history_is_one_sentence():
    units, display = history()
    with pytest.raises(DataError, match="at least 4 weeks before the first"):
        WeeklyBoosting().predict(units, display, 2, 10)
