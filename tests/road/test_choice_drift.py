import numpy as np

from malles.calibration.drift import DriftPrior
from malles.stages.choice_drift import calibrated, empty_drift
from malles.vocabulary import Lines, Occasions


def occasions(week: int) -> Occasions:
    product = np.array([[-1, 0, 1, -3]], np.int32)
    zero, long, one = np.zeros(1, np.int32), np.zeros(1, np.int64), np.ones((1, 4), np.float32)
    return Occasions(
        zero, zero, long, np.array([week], np.int16), long, zero, product, one, one,
        np.zeros((1, 4), np.uint8), product >= 0, np.zeros((1, 4), np.int16), np.array([-1], np.int16), zero,
    )  # fmt: skip


NO_LINES = Lines(*(np.zeros(0, t) for t in ("i4", "i4", "i4", "i8", "i2", "i8", "i4", "f4", "f4")))


def choose(found: Occasions, lines: Lines) -> np.ndarray:
    return found.available * np.array([0.0, 0.75, 0.25, 0.0])


def test_without_anything_followed_the_model_is_left_as_it_is():
    nothing = empty_drift(5, np.zeros(2, np.int64), DriftPrior())
    np.testing.assert_allclose(calibrated(choose, nothing)(occasions(9), NO_LINES), [[0, 0.75, 0.25, 0]])
    assert calibrated(choose, None) is choose


def test_what_was_followed_moves_the_odds_until_the_week_a_free_market_begins():
    """Bias log 3 on product 1 in week 6: odds 3 : 1 become 1 : 1."""
    drift = empty_drift(5, np.array([-1, -1]), DriftPrior(persistence=1.0))
    bias = np.array([[0.0, 0.0], [0.0, np.log(3.0)]])
    drift = type(drift)(
        np.array([5, 6]), bias, np.ones((2, 2)), np.zeros((2, 0)), np.ones(2), drift.family, drift.persistence
    )
    np.testing.assert_allclose(calibrated(choose, drift)(occasions(6), NO_LINES), [[0, 0.5, 0.5, 0]])
    np.testing.assert_allclose(calibrated(choose, drift, 5)(occasions(6), NO_LINES), [[0, 0.75, 0.25, 0]])
