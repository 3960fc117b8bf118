import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from malles.population.kernels import (
    choose,
    choose_twin,
    draw_units,
    sample_systematic,
    uniform,
    uniform_twin,
)


def test_the_kernel_and_numpy_give_the_same_random_numbers():
    customer, draw = np.arange(1000) % 37, np.arange(1000)
    np.testing.assert_array_equal(uniform(12, 41, customer, draw), uniform_twin(12, 41, customer, draw))


def test_a_random_number_depends_on_its_key_alone():
    many = uniform(3, 5, np.arange(100), np.full(100, 7))
    np.testing.assert_array_equal(uniform(3, 5, np.array([42]), np.array([7])), many[42:43])


def test_random_numbers_of_neighbouring_keys_are_uniform_and_unrelated():
    u = uniform(1, 1, np.repeat(np.arange(300), 300), np.tile(np.arange(300), 300)).reshape(300, 300)
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(u.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(u[:, :-1].ravel(), u[:, 1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(u[:-1].ravel(), u[1:].ravel())[0, 1]) < 0.02
    other = uniform(2, 1, np.repeat(np.arange(300), 300), np.tile(np.arange(300), 300))
    assert abs(np.corrcoef(u.ravel(), other)[0, 1]) < 0.02
    counts = np.bincount((u.ravel() * 10).astype(int), minlength=10)
    assert ((counts - 9000) ** 2 / 9000).sum() < 30  # chi-square, 9 degrees of freedom, p = 0.0005


@settings(max_examples=50, deadline=None)
@given(
    arrays(float, (7, 5), elements=st.floats(0, 4).map(lambda v: round(v, 3))),
    arrays(float, 7, elements=st.floats(0.001, 0.999)),
)
def test_the_kernel_and_numpy_pick_the_same_alternatives(probability, u):
    np.testing.assert_array_equal(choose(probability, u), choose_twin(probability, u))


def test_an_alternative_without_probability_is_never_picked():
    p = np.tile([0.0, 0.5, 0.0, 0.5, 0.0], (2000, 1))
    assert set(choose(p, uniform(0, 0, np.arange(2000), np.zeros(2000, int)))) == {1, 3}


def test_a_row_without_probability_is_minus_one():
    assert choose(np.zeros((1, 3)), np.array([0.5]))[0] == -1


def test_drawn_shares_are_the_probabilities():
    p = np.tile([0.1, 0.2, 0.7], (50_000, 1))
    picks = choose(p, uniform(9, 0, np.arange(50_000), np.zeros(50_000, int)))
    np.testing.assert_allclose(np.bincount(picks) / 50_000, [0.1, 0.2, 0.7], atol=0.01)


def test_drawn_units_have_the_mean_asked_for():
    for mean in (1.0, 1.4, 3.0):
        units = draw_units(np.full(40_000, mean), uniform(4, 0, np.arange(40_000), np.zeros(40_000, int)))
        assert units.min() == 1
        assert units.mean() == pytest.approx(mean, abs=0.03)


def test_systematic_draws_follow_the_weights_exactly_when_they_divide():
    rows = sample_systematic(np.array([2.0, 1.0, 0.0, 1.0]), 0.3, 8)
    np.testing.assert_array_equal(np.bincount(rows, minlength=4), [4, 2, 0, 2])
