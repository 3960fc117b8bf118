"""The choice scale: recovered from simulated choices, shrunk where there is little to go by."""

import numpy as np
import pytest

from malles.choice.likelihood import occasion_log_losses
from malles.choice.probability import choice_probabilities
from malles.choice.scale import fit_scale, fit_scales, scaled_probabilities


def draw(probability, rng):
    return (probability.cumsum(axis=1) < rng.random((len(probability), 1))).sum(axis=1)


@pytest.fixture
def market():
    """400 customers, 2 segments of scales 0.5 and 1.5, spread 0.3; half have 40 occasions, half have 3."""
    rng = np.random.default_rng(7)
    segment = np.arange(400) % 2
    scale = np.where(segment == 0, 0.5, 1.5) * np.exp(rng.normal(0, 0.3, 400))
    customer = np.repeat(np.arange(400), np.where(np.arange(400) < 200, 40, 3))
    utility = rng.normal(0, 2, (len(customer), 8))
    available = np.ones(utility.shape, bool)
    chosen = draw(scaled_probabilities(utility, available, scale[customer]), rng)
    return utility, available, chosen, customer, segment, scale


def test_scale_one_leaves_the_model_as_it_is():
    utility = np.random.default_rng(0).normal(size=(5, 4))
    available = np.ones((5, 4), bool)
    np.testing.assert_allclose(
        scaled_probabilities(utility, available, np.ones(5)), choice_probabilities(utility, available)
    )


def test_one_common_scale_is_recovered():
    rng = np.random.default_rng(1)
    utility = rng.normal(0, 1, (20_000, 5))
    available = np.ones(utility.shape, bool)
    chosen = draw(choice_probabilities(1.7 * utility, available), rng)
    assert fit_scale(utility, available, chosen) == pytest.approx(1.7, rel=0.03)


def test_a_model_that_says_nothing_keeps_scale_one():
    assert fit_scale(np.zeros((10, 3)), np.ones((10, 3), bool), np.arange(10) % 3) == 1.0


def test_segments_and_spread_are_recovered(market):
    utility, available, chosen, customer, segment, _ = market
    found = fit_scales(utility, available, chosen, customer, segment)
    np.testing.assert_allclose(found.segment, [0.5, 1.5], rtol=0.1)
    assert found.customer_spread == pytest.approx(0.3, abs=0.1)


def test_customers_with_few_occasions_stay_near_their_segment(market):
    utility, available, chosen, customer, segment, scale = market
    found = fit_scales(utility, available, chosen, customer, segment)
    distance = np.abs(np.log(found.customer / found.segment[segment]))
    assert distance[200:].mean() < 0.5 * distance[:200].mean()
    many = slice(0, 200)
    assert np.corrcoef(np.log(found.customer[many]), np.log(scale[many]))[0, 1] > 0.9


def test_personal_scales_predict_new_occasions_better_than_one_scale(market):
    utility, available, chosen, customer, segment, scale = market
    found = fit_scales(utility, available, chosen, customer, segment)
    rng = np.random.default_rng(9)
    new = rng.normal(0, 2, utility.shape)
    choice = draw(scaled_probabilities(new, available, scale[customer]), rng)
    common = np.full(len(customer), fit_scale(utility, available, chosen))
    losses = [
        occasion_log_losses(scaled_probabilities(new, available, s), available, choice).mean()
        for s in (found.of(customer), common)
    ]
    assert losses[0] < losses[1] - 0.02


def test_unknown_customers_have_the_scale_of_the_population(market):
    utility, available, chosen, customer, segment, _ = market
    found = fit_scales(utility, available, chosen, customer, segment)
    np.testing.assert_array_equal(found.of(np.array([-1, 10_000])), [found.population] * 2)
