"""Incidence and the product incidence x choice x quantity against the plain logit and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from malles.choice.incidence import (
    available_given_purchase,
    decision_probabilities,
    expected_units,
    incidence_probability,
    purchase_split,
    response_shares,
)
from malles.choice.probability import choice_probabilities
from malles.choice.welfare import expected_maximum_utility
from malles.errors import UsageError


@given(arrays(float, (3, 5), elements=st.floats(-5, 5)))
def test_a_nest_with_dissimilarity_one_is_the_plain_logit_with_an_outside_option(utility):
    utility[:, 0] = 0.0
    everything = np.ones(utility.shape, bool)
    inside = available_given_purchase(everything)
    incidence = incidence_probability(np.zeros(3), expected_maximum_utility(utility, inside))
    decision = decision_probabilities(incidence, choice_probabilities(utility, inside))
    np.testing.assert_allclose(decision, choice_probabilities(utility, everything), atol=1e-12)


@given(arrays(float, (3, 5), elements=st.floats(-5, 5)))
def test_splitting_a_decision_gives_back_its_parts(utility):
    probability = choice_probabilities(utility, np.ones(utility.shape, bool))
    np.testing.assert_allclose(decision_probabilities(*purchase_split(probability)), probability, atol=1e-12)


def test_extreme_indices_do_not_overflow():
    found = incidence_probability(np.array([-1000.0, 0.0, 1000.0]))
    np.testing.assert_allclose(found, [0.0, 0.5, 1.0])


def test_expected_units_by_hand():
    """0.5 incidence, 0.25 and 0.75 choice, 4 and 2 units: 0.5 and 0.75."""
    choice, units = np.array([[0.0, 0.25, 0.75]]), np.array([[0.0, 4.0, 2.0]])
    np.testing.assert_allclose(expected_units(np.array([0.5]), choice, units), [[0.0, 0.5, 0.75]])


def test_parts_of_a_response_sum_to_one():
    """Doubling of choice and a quarter more units: log 2 and log 1.25 of log 2.5."""
    part = response_shares((0.1, 0.2, 1.0), (0.1, 0.4, 1.25))
    np.testing.assert_allclose(part, [0.0, np.log(2) / np.log(2.5), np.log(1.25) / np.log(2.5)])
    with pytest.raises(UsageError, match="the same in both worlds"):
        response_shares((0.1, 0.2, 1.0), (0.1, 0.2, 1.0))


def test_a_choice_with_mass_on_the_outside_option_is_refused():
    with pytest.raises(UsageError, match=r"column 0 of `choice` reaches 0.5"):
        decision_probabilities(np.array([0.5]), np.array([[0.5, 0.5]]))


def test_a_dissimilarity_outside_its_range_is_refused():
    with pytest.raises(UsageError, match=r"dissimilarity is 1\.5"):
        incidence_probability(np.zeros(1), np.zeros(1), 1.5)
