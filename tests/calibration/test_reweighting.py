"""Entropy balancing against closed forms."""

import numpy as np
import pytest

from malles.calibration.reweighting import balance_weights
from malles.errors import DataError


def test_one_share_has_a_closed_form():
    """Women are 1/5 of the sample and shall be 1/2: each woman weighs .5/20, each man .5/80."""
    woman = np.repeat([1.0, 0.0], [20, 80])[:, None]
    found = balance_weights(woman, np.array([0.5]), ["women"])
    np.testing.assert_allclose(found.weight[:20], 0.5 / 20, rtol=1e-6)
    np.testing.assert_allclose(found.weight[20:], 0.5 / 80, rtol=1e-6)
    assert found.effective_sample_size == pytest.approx(1 / (0.25 / 20 + 0.25 / 80))
    assert found.feasible
    assert found.sentence == "All 1 margins met; effective sample 64 of 100 customers."


def test_a_mean_is_met_by_exponential_tilting():
    """Weights are proportional to exp(lambda x): log weights are a line in x."""
    x = np.linspace(0, 1, 50)
    found = balance_weights(x[:, None], np.array([0.6]), ["spend"])
    assert found.achieved[0] == pytest.approx(0.6, abs=1e-6)
    line = np.polyfit(x, np.log(found.weight), 1)
    np.testing.assert_allclose(np.polyval(line, x), np.log(found.weight), atol=1e-9)


def test_margins_already_met_leave_the_base_weights():
    rng = np.random.default_rng(0)
    x, base = rng.normal(size=(200, 3)), rng.random(200) + 0.1
    target = (base / base.sum()) @ x
    found = balance_weights(x, target, ["a", "b", "c"], base)
    np.testing.assert_allclose(found.weight, base / base.sum(), rtol=1e-6)


def test_many_margins_at_once():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 8))
    target = np.full(8, 0.1)
    found = balance_weights(x, target, [f"m{i}" for i in range(8)])
    np.testing.assert_allclose(found.achieved, target, atol=1e-4)
    assert found.weight.sum() == pytest.approx(1)
    assert 0.85 < found.effective_sample_size / 3000 < 0.97


def test_impossible_margins_are_named():
    x = np.column_stack([np.repeat([1.0, 0.0], 50), np.linspace(0, 1, 100), np.full(100, 2.0)])
    found = balance_weights(x, np.array([0.5, 1.7, 3.0]), ["women", "spend", "constant"])
    assert set(found.unmet) >= {"spend", "constant"}
    assert "cannot be met" in found.sentence
    assert np.isfinite(found.weight).all()


def test_contradicting_margins_are_named():
    """Both halves of the customers cannot be 70 %."""
    half = np.repeat([1.0, 0.0], 50)
    found = balance_weights(np.column_stack([half, 1 - half]), np.array([0.7, 0.7]), ["north", "south"])
    assert set(found.unmet) == {"north", "south"}


def test_missing_attributes_are_refused():
    with pytest.raises(DataError, match="not finite"):
        balance_weights(np.array([[np.nan], [1.0]]), np.array([0.5]), ["age"])
    with pytest.raises(DataError, match="one of each per margin"):
        balance_weights(np.ones((2, 1)), np.array([0.5]), ["age", "income"])
    with pytest.raises(DataError, match="above 0"):
        balance_weights(np.ones((2, 1)), np.array([1.0]), ["age"], np.array([0.0, 1.0]))
