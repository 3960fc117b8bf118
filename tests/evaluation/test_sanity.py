"""Checks that any model of demand should pass."""

import numpy as np
import pytest

from malles.errors import DataError
from malles.evaluation.sanity import check_price_response, compare_runs, in_choice_set


def logit(coefficient):
    def predict(price):
        weight = np.exp(coefficient * price)
        return weight / weight.sum(axis=1, keepdims=True)

    return predict


def test_a_logit_falls_with_its_own_price_at_the_known_elasticity():
    """Coefficient -0.8, price 2, probability 1/4: -0.8 * 2 * 3/4 = -1.2."""
    price = np.full((5, 4), 2.0)
    found = check_price_response(
        logit(-0.8), price, np.zeros(5, int), np.array([0.5, 0.999, 1.0, 1.001, 2.0])
    )
    assert found.falls
    assert found.rising_share == 0.0
    assert found.own_price_elasticity == pytest.approx(-1.2, abs=1e-3)


def test_a_model_that_likes_high_prices_is_found_out():
    found = check_price_response(logit(0.5), np.ones((3, 2)), np.zeros(3, int), np.array([0.9, 1.0, 1.1]))
    assert not found.falls
    assert found.rising_share == 1.0


def test_factors_must_surround_today():
    with pytest.raises(DataError, match="both sides of 1"):
        check_price_response(logit(-1), np.ones((1, 2)), np.zeros(1, int), np.array([1.1, 1.2]))


def test_runs_that_differ_have_a_spread_and_collapsed_cells_no_dispersion():
    rng = np.random.default_rng(0)
    noisy = compare_runs(np.array([1.0, 2.0, 3.0]) + rng.normal(0, 0.1, (2000, 3)))
    assert noisy.spread_error == pytest.approx(0.05, rel=0.05)
    assert compare_runs(np.full((3, 4), 0.25)).dispersion == 0.0


def test_the_promise_of_a_choice_model_can_be_checked():
    available = np.array([[True, True, False]])
    assert in_choice_set(np.array([[0.4, 0.6, 0.0]]), available)
    assert not in_choice_set(np.array([[0.4, 0.5, 0.1]]), available)
    assert not in_choice_set(np.array([[0.4, 0.5, 0.0]]), available)
