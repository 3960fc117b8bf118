from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.choice.quantity import (
    pmf_mean,
    pmf_median,
    point_of_mean,
    poisson_deviance,
    tilt_to_mean,
    truncated_deviance,
    truncated_mean,
    truncated_rate,
)


def test_poisson_deviance_by_hand():
    """u = 2, m = 1: 2 (2 log 2 - 1) = 0.7726; u = 0, m = 0.5: 2 x 0.5 = 1; their mean is 0.8863."""
    assert poisson_deviance(np.array([1.0, 0.5]), np.array([2, 0])) == pytest.approx(
        (4 * np.log(2) - 2 + 1) / 2
    )


@given(st.floats(0.2, 20), st.integers(0, 20))
def test_deviance_is_never_negative_and_zero_only_at_the_truth(mean, units):
    found = poisson_deviance(np.array([mean]), np.array([units]))
    assert found >= -1e-12
    assert poisson_deviance(np.array([max(float(units), 1e-300)]), np.array([units])) == pytest.approx(
        0, abs=1e-12
    )


@given(st.floats(0.01, 30))
def test_the_rate_of_a_truncated_mean_is_the_rate(rate):
    assert truncated_rate(truncated_mean(np.array([rate])))[0] == pytest.approx(rate, rel=1e-6)


def test_the_truncated_mean_is_that_of_a_simulated_truncated_poisson():
    drawn = np.random.default_rng(1).poisson(1.3, 400_000)
    assert truncated_mean(np.array([1.3]))[0] == pytest.approx(drawn[drawn > 0].mean(), abs=0.006)


def test_truncated_deviance_is_least_at_the_mean_of_the_units():
    units = np.array([1, 1, 2, 4])
    at = [truncated_deviance(np.full(4, m), units) for m in (1.6, 2.0, 2.4)]
    assert at[1] == min(at)


def test_mean_median_and_point_by_hand():
    pmf = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    assert pmf_mean(pmf).tolist() == pytest.approx([1.75, 2.4])
    assert pmf_median(pmf).tolist() == [1, 3]
    assert point_of_mean(np.array([1.64, 1.66])).tolist() == [1, 2]


@given(st.floats(1.05, 3.9), st.integers(0, 1000))
def test_a_tilted_distribution_has_the_wanted_mean(mean, seed):
    pmf = np.random.default_rng(seed).dirichlet(np.ones(4), 3) * 0.96 + 0.01
    tilted = tilt_to_mean(pmf, np.full(3, mean), steps=40)
    np.testing.assert_allclose(pmf_mean(tilted), mean, atol=1e-3)
    np.testing.assert_allclose(tilted.sum(1), 1)


def test_tilting_to_the_mean_it_has_changes_nothing():
    pmf = np.array([[0.7, 0.2, 0.1]])
    np.testing.assert_allclose(tilt_to_mean(pmf, pmf_mean(pmf)), pmf, atol=1e-9)


def test_tilting_stays_where_it_has_arrived():
    """Two humps, whose variance is large: more steps must not throw the answer away."""
    pmf = np.array([[0.53, 0.11] + [0.001] * 16 + [0.25, 0.094]])
    for steps in (8, 12, 30):
        assert pmf_mean(tilt_to_mean(pmf, np.array([5.8]), steps=steps))[0] == pytest.approx(5.8, abs=1e-5)


def test_the_examples_in_the_docstrings_are_true():
    found = doctest.testmod(importlib.import_module("malles.choice.quantity"), extraglobs={"np": np})
    assert found.attempted > 0 and found.failed == 0
