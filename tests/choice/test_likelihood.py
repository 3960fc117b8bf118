"""The likelihood against hand arithmetic, numerical differences and the information identity."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from malles.choice import likelihood
from malles.choice.likelihood import (
    likelihood_derivatives,
    log_likelihood,
    occasion_log_losses,
    occasion_scores,
)


@pytest.fixture
def sample():
    rng = np.random.default_rng(3)
    attribute = rng.normal(size=(60, 4, 3))
    available = rng.random((60, 4)) < 0.8
    chosen = rng.integers(0, 4, 60)
    available[np.arange(60), chosen] = True
    return attribute, available, chosen


def test_two_equal_alternatives_cost_log_two():
    attribute = np.array([[[1.0], [1.0]]])
    assert log_likelihood(np.array([7.0]), attribute, np.ones((1, 2), bool), np.array([0])) == pytest.approx(
        -np.log(2)
    )


def test_the_gradient_is_the_numerical_one(sample):
    b = np.array([0.5, -1.0, 0.2])
    numerical = approx_fprime(b, lambda c: log_likelihood(c, *sample), 1e-6)
    np.testing.assert_allclose(likelihood_derivatives(b, *sample).gradient, numerical, rtol=1e-3, atol=1e-4)


def test_the_hessian_is_the_numerical_one(sample):
    b = np.array([0.5, -1.0, 0.2])
    numerical = approx_fprime(b, lambda c: likelihood_derivatives(c, *sample).gradient, 1e-6)
    np.testing.assert_allclose(likelihood_derivatives(b, *sample).hessian, numerical, rtol=1e-4, atol=1e-4)


def test_value_and_scores_agree_with_the_derivatives(sample):
    b = np.array([0.5, -1.0, 0.2])
    found = likelihood_derivatives(b, *sample)
    assert found.log_likelihood == pytest.approx(log_likelihood(b, *sample))
    np.testing.assert_allclose(occasion_scores(b, *sample).sum(axis=0), found.gradient)


def test_a_weight_of_two_is_the_occasion_twice(sample):
    b = np.array([0.5, -1.0, 0.2])
    twice = [np.concatenate([part, part[:10]]) for part in sample]
    weight = np.where(np.arange(60) < 10, 2.0, 1.0)
    weighted, repeated = likelihood_derivatives(b, *sample, weight), likelihood_derivatives(b, *twice)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood)
    np.testing.assert_allclose(weighted.hessian, repeated.hessian)


def test_blocks_of_occasions_change_nothing(sample, monkeypatch):
    b = np.array([0.5, -1.0, 0.2])
    whole = likelihood_derivatives(b, *sample)
    monkeypatch.setattr(likelihood, "_BLOCK", 7)
    blocks = likelihood_derivatives(b, *sample)
    np.testing.assert_allclose(blocks.hessian, whole.hessian)
    np.testing.assert_allclose(blocks.gradient, whole.gradient)


def test_what_stands_in_unavailable_columns_does_not_count(sample):
    attribute, available, chosen = sample
    dirty = np.where(available[:, :, None], attribute, np.nan)
    b = np.array([0.5, -1.0, 0.2])
    clean, other = likelihood_derivatives(b, *sample), likelihood_derivatives(b, dirty, available, chosen)
    np.testing.assert_array_equal(clean.hessian, other.hessian)


def test_a_certain_wrong_forecast_costs_the_mixed_uniform_mass():
    """1e-4 / 20 alternatives = 5e-6, and -log(5e-6) = 12.206."""
    probability = np.zeros((1, 20))
    probability[0, 1] = 1.0
    loss = occasion_log_losses(probability, np.ones((1, 20), bool), np.array([0]))
    assert loss[0] == pytest.approx(12.2061, abs=1e-4)
