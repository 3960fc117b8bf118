"""Reliability of predictions whose truth is known."""

import numpy as np
import pytest

from malles.errors import DataError
from malles.evaluation.calibration_curve import calibration_curve, calibration_line, top_choice_curve


@pytest.fixture(scope="module")
def coins():
    rng = np.random.default_rng(5)
    logit = rng.normal(-2, 1, 20_000)
    p = 1 / (1 + np.exp(-logit))
    return logit, p, rng.random(20_000) < p, rng.integers(0, 500, 20_000)


def test_true_probabilities_lie_on_the_diagonal(coins):
    _, p, happened, customer = coins
    curve = calibration_curve(p, happened.astype(float), customer, np.random.default_rng(0))
    assert len(curve.predicted) == 15
    assert curve.count.sum() == 20_000

    assert curve.calibration_error < 0.01
    assert curve.to_frame().columns == ["predicted", "observed", "low", "high", "count"]
    inside = (curve.low <= curve.predicted) & (curve.predicted <= curve.high)
    assert inside.mean() >= 0.8


def test_the_line_of_true_probabilities_is_zero_one(coins):
    _, p, happened, customer = coins
    line = calibration_line(p, happened, customer)
    assert line.slope.low < 1 < line.slope.high
    assert line.intercept.low < 0 < line.intercept.high
    assert line.slope.high - line.slope.low < 0.1


def test_the_line_recovers_a_known_distortion(coins):
    """Predicted logit = 2 x true logit + 1, so true logit = -0.5 + 0.5 predicted logit."""
    logit, _, happened, customer = coins
    line = calibration_line(1 / (1 + np.exp(-(2 * logit + 1))), happened, customer)
    assert line.slope.value == pytest.approx(0.5, abs=0.03)
    assert line.intercept.value == pytest.approx(-0.5, abs=0.05)


def test_the_line_agrees_with_statsmodels(coins):
    sm = pytest.importorskip("statsmodels.api")
    _, p, happened, _ = coins
    line = calibration_line(p, happened, np.arange(len(p)))
    fit = sm.Logit(happened.astype(float), sm.add_constant(np.log(p / (1 - p)))).fit(disp=0, cov_type="HC0")
    assert [line.intercept.value, line.slope.value] == pytest.approx(list(fit.params), abs=1e-6)
    assert (line.slope.high - line.slope.value) / 1.96 == pytest.approx(fit.bse[1], rel=1e-4)


def test_equal_predictions_share_a_bin():
    curve = calibration_curve(np.full(10, 0.3), np.eye(10)[0], np.arange(10), np.random.default_rng(0))
    assert curve.predicted.tolist() == pytest.approx([0.3])
    assert curve.observed.tolist() == pytest.approx([0.1])


def test_the_curve_of_top_choices_has_the_error_of_the_score(market):
    from malles.evaluation.metrics import score_choices

    occasions, truth, _ = market
    curve = top_choice_curve(
        truth, occasions.available, occasions.chosen, occasions.customer, np.random.default_rng(0)
    )
    score = score_choices(truth, occasions.available, occasions.chosen)["top_calibration_error"]
    assert curve.calibration_error == pytest.approx(score)


def test_an_outcome_that_always_happens_has_no_line():
    with pytest.raises(DataError, match="both outcomes"):
        calibration_line(np.array([0.2, 0.4]), np.array([True, True]), np.arange(2))
