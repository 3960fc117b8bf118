"""Money measures against hand arithmetic and the derivative of the logsum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from malles.choice.probability import choice_probabilities
from malles.choice.welfare import (
    consumer_surplus,
    expected_maximum_utility,
    willingness_to_pay,
    willingness_to_pay_error,
)
from malles.errors import UsageError


def test_the_logsum_of_two_equal_alternatives_is_log_two_above_one():
    found = expected_maximum_utility(np.array([[3.0, 3.0]]), np.ones((1, 2), bool))
    np.testing.assert_allclose(found, 3.0 + np.log(2.0))


@given(arrays(float, (3, 4), elements=st.floats(-5, 5)))
def test_the_slope_of_the_logsum_is_the_choice_probability(utility):
    """Roy's identity in a logit."""
    everything, step = np.ones(utility.shape, bool), 1e-6
    raised = utility + np.array([step, 0, 0, 0])
    slope = (
        expected_maximum_utility(raised, everything) - expected_maximum_utility(utility, everything)
    ) / step
    np.testing.assert_allclose(slope, choice_probabilities(utility, everything)[:, 0], atol=1e-5)


def test_a_uniform_price_rise_costs_every_customer_that_much():
    """With b = -2 a rise of 0.30 on everything lowers every utility by 0.6 and the surplus by 0.30."""
    utility, everything = np.array([[0.1, 0.7, -1.0]]), np.ones((1, 3), bool)
    lost = consumer_surplus(utility, everything, -2.0) - consumer_surplus(utility - 0.6, everything, -2.0)
    np.testing.assert_allclose(lost, 0.30)


def test_willingness_to_pay_by_hand():
    np.testing.assert_allclose(willingness_to_pay(np.array([0.9, -0.3]), -1.5), [0.6, -0.2])


def test_the_error_of_willingness_to_pay_matches_simulation():
    covariance = np.array([[0.01, 0.002], [0.002, 0.0025]])
    draws = np.random.default_rng(0).multivariate_normal([0.9, -1.5], covariance, 200_000)
    assert willingness_to_pay_error(0.9, -1.5, covariance) == pytest.approx(
        (draws[:, 0] / -draws[:, 1]).std(), rel=0.02
    )


def test_a_price_coefficient_that_is_not_negative_has_no_money_worth():
    with pytest.raises(UsageError, match=r"the price coefficient is 0\.5"):
        willingness_to_pay(np.array([1.0]), 0.5)
