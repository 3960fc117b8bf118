"""Distances with known values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from malles.calibration.distances import (
    jensen_shannon_distance,
    kl_distance,
    total_variation_distance,
    wasserstein_distance,
)
from malles.errors import DataError

masses = arrays(float, 5, elements=st.floats(0.01, 1))


def test_kl_by_hand():
    """.5 log(.5/.25) + .5 log(.5/.75)."""
    a, p = np.array([1.0, 1.0]), np.array([1.0, 3.0])
    assert kl_distance(a, p) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))


def test_a_cell_that_occurred_without_probability_is_infinitely_far():
    assert kl_distance(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == np.inf
    assert kl_distance(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))


@given(masses, masses)
def test_laws_of_distances(a, p):
    assert kl_distance(a, a) == pytest.approx(0)
    tv = total_variation_distance(a, p)
    assert 0 <= tv <= 1
    assert tv == pytest.approx(total_variation_distance(p, a))
    assert kl_distance(a, p) >= 2 * tv**2 - 1e-12  # Pinsker
    assert jensen_shannon_distance(a, p) == pytest.approx(jensen_shannon_distance(p, a))
    assert jensen_shannon_distance(a, p) <= np.sqrt(np.log(2))


@given(
    masses,
    masses,
    arrays(float, 5, elements=st.floats(-10, 10)),
    arrays(float, 5, elements=st.floats(-10, 10)),
)
def test_wasserstein_agrees_with_scipy(a, p, x, y):
    ours = wasserstein_distance(x, y, a, p)
    assert ours == pytest.approx(stats.wasserstein_distance(x, y, a, p), abs=1e-9)


def test_wasserstein_of_a_shift_is_the_shift():
    x = np.array([1.0, 2.0, 5.0])
    assert wasserstein_distance(x, x + 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize("bad", [np.zeros(2), np.array([-0.1, 1.1]), np.array([np.nan, 1.0]), np.zeros(0)])
def test_what_is_no_distribution_is_refused(bad):
    with pytest.raises(DataError, match="not a distribution"):
        kl_distance(bad, np.full(len(bad), 0.5))
