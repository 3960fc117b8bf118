"""Choice probabilities against hand arithmetic and the laws of the logit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from malles.choice.probability import choice_probabilities, log_choice_probabilities, normalised_weights
from malles.errors import OccasionError

UTILITY = arrays(float, (4, 6), elements=st.floats(-50, 50))
AVAILABLE = arrays(bool, (4, 6)).map(lambda a: a | (np.arange(6) == 3))


def test_probabilities_by_hand():
    """exp(0) : exp(log 2) : exp(log 5) = 1 : 2 : 5, so 1/8, 2/8, 5/8."""
    utility = np.log([[1.0, 2.0, 5.0]])
    np.testing.assert_allclose(choice_probabilities(utility, np.ones((1, 3), bool)), [[0.125, 0.25, 0.625]])


@given(UTILITY, st.floats(-50, 50))
def test_a_constant_added_to_every_utility_changes_nothing(utility, constant):
    everything = np.ones(utility.shape, bool)
    np.testing.assert_allclose(
        choice_probabilities(utility + constant, everything),
        choice_probabilities(utility, everything),
        atol=1e-12,
    )


@given(UTILITY, AVAILABLE)
def test_rows_sum_to_one_and_unavailable_columns_are_exactly_zero(utility, available):
    probability = choice_probabilities(utility, available)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert (probability[~available] == 0).all()


@given(UTILITY, AVAILABLE)
def test_the_odds_of_two_alternatives_do_not_depend_on_the_others(utility, available):
    """Independence of irrelevant alternatives: log P[3] - log P[j] = V[3] - V[j]."""
    log_probability = log_choice_probabilities(utility, available)
    odds = np.where(available, log_probability[:, [3]] - log_probability, 0.0)
    np.testing.assert_allclose(odds, np.where(available, utility[:, [3]] - utility, 0.0), atol=1e-9)


def test_what_stands_in_unavailable_columns_is_ignored():
    utility = np.array([[1.0, np.nan, np.inf, 1.0]])
    probability = choice_probabilities(utility, np.array([[True, False, False, True]]))
    np.testing.assert_array_equal(probability, [[0.5, 0.0, 0.0, 0.5]])


def test_huge_utilities_do_not_overflow():
    np.testing.assert_allclose(
        choice_probabilities(np.array([[1e4, 1e4]]), np.ones((1, 2), bool)), [[0.5, 0.5]]
    )


@given(UTILITY, AVAILABLE)
def test_weights_proportional_to_exp_utility_give_the_logit(utility, available):
    np.testing.assert_allclose(
        normalised_weights(np.exp(utility), available), choice_probabilities(utility, available), atol=1e-12
    )


@pytest.mark.parametrize("function", [choice_probabilities, log_choice_probabilities, normalised_weights])
def test_an_occasion_without_alternatives_is_an_error_that_names_the_row(function):
    available = np.array([[True, True], [False, False]])
    with pytest.raises(OccasionError, match=r"1 of 2 occasions have no available alternative \(first: 1\)"):
        function(np.zeros((2, 2)), available)
