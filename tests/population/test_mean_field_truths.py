"""Markets whose mean field is known without the solver."""

import numpy as np
import pytest
from scipy.optimize import brentq

from malles.data.synthetic import MarketSettings, generate_market
from malles.population.fixed_point import Status, solve_by_sampling, solve_fixed_point
from malles.population.mean_field import fit_reaction, fit_reactions


def softmax(v: np.ndarray) -> np.ndarray:
    weight = np.exp(v - v.max())
    return np.asarray(weight / weight.sum())


def crowd(shares: np.ndarray, feedback: float):
    """The market whose fixed point is `shares`: V = log s - b s + b m, so that m = s reproduces itself."""
    constant = np.log(shares) - feedback * shares
    return lambda m: softmax(constant + feedback * m)


@pytest.mark.parametrize("feedback", [-8.0, -2.0, 0.0, 1.0, 1.8])
@pytest.mark.parametrize("products", [2, 20])
def test_the_analytic_fixed_point_is_found_within_1e_8(feedback, products):
    """The slope of the response is at most b / 2: below feedback 2 there is one fixed point. At -8 the plain
    response swings ever wider, and a quarter of the step settles it.
    """
    shares = np.random.default_rng(products).dirichlet(np.ones(products))
    found = solve_fixed_point(
        crowd(shares, feedback), np.full(products, 1 / products), tolerance=1e-11, iterations=500,
        step=0.25 if feedback < -4 else 0.5,
    )  # fmt: skip
    assert found.status is Status.SETTLED
    np.testing.assert_allclose(found.field, shares, atol=1e-8)


def test_both_fixed_points_of_a_fashion_are_found():
    """Two equal products, feedback 3: m = 1 / (1 + exp(-3 (2 m - 1))) has a root above and one below 1/2."""
    high = brentq(lambda m: m - 1 / (1 + np.exp(-3 * (2 * m - 1))), 0.6, 0.999, xtol=1e-14)
    found = solve_fixed_point(
        lambda m: softmax(3 * m), np.array([0.7, 0.3]), tolerance=1e-11, more_starts=(np.array([0.3, 0.7]),),
        iterations=500,
    )  # fmt: skip
    assert found.status is Status.SEVERAL
    ends = sorted([found.field[0], *(other[0] for other in found.others)])
    np.testing.assert_allclose(ends, [1 - high, high], atol=1e-8)


def test_a_market_without_a_fixed_point_says_so():
    """Everybody goes where fewer went: a response with a jump at 1/2 reproduces no field."""
    found = solve_fixed_point(
        lambda m: np.where(m < 0.5, 1.0, 0.0), np.array([0.2]), step=0.5, more_starts=(np.array([0.9]),)
    )
    assert found.status is Status.ITERATION_LIMIT
    assert found.gap >= 0.5


def test_sampled_customers_settle_at_the_field_of_the_expectation():
    """With 2,000 customers a round Robbins-Monro ends within three standard errors of the truth."""
    shares, rng = np.random.default_rng(5).dirichlet(np.ones(6)), np.random.default_rng(6)
    response = crowd(shares, -4.0)
    found = solve_by_sampling(
        lambda m, k: rng.multinomial(2000, response(m)) / 2000, np.full(6, 1 / 6), tolerance=2e-3, rounds=300
    )
    assert found.status is Status.SETTLED
    np.testing.assert_allclose(found.field, shares, atol=3 * 0.01 / np.sqrt(150) * 2)
    noisy = solve_by_sampling(
        lambda m, k: rng.multinomial(20, response(m)) / 20, np.full(6, 1 / 6), tolerance=2e-3, rounds=60
    )
    assert noisy.status is Status.ITERATION_LIMIT  # too few customers to say


@pytest.mark.parametrize("feedback", [-2.0, 0.0, 2.0])
def test_the_reaction_of_a_synthetic_market_is_recovered_within_three_standard_errors(feedback):
    """Customers with tastes of their own; the offset is what each would choose without the others."""
    settings = MarketSettings(customers=400, weeks=40, categories=1, feedback=feedback)
    _, truth = generate_market(settings, seed=11)
    seen = truth.choice_arrays(0)
    utility = (
        truth.constant + truth.taste[seen["customer"]]
        + truth.price_coefficient[seen["customer"], None] * seen["price"]
        + settings.display_effect * seen["display"]
    )  # fmt: skip
    alone = np.exp(utility) / np.exp(utility).sum(1, keepdims=True)
    found = fit_reaction(alone, seen["share"], seen["chosen"], seen["customer"])
    assert abs(found.coefficient - feedback) < 3 * found.standard_error
    assert found.told_from_zero is (feedback != 0.0)


def test_reactions_to_shares_prices_and_displays_are_recovered_together():
    settings = MarketSettings(
        customers=400, weeks=60, categories=1, feedback=1.5, taste_spread=0.0, price_spread=0.0
    )
    _, truth = generate_market(settings, seed=12)
    seen = truth.choice_arrays(0)
    offset = np.tile(softmax(truth.constant), (len(seen["chosen"]), 1))
    x = np.stack([seen["share"], seen["price"], seen["display"]], axis=2)
    found = fit_reactions(offset, x, seen["chosen"], seen["customer"])
    for reaction, known in zip(
        found, (1.5, settings.price_coefficient, settings.display_effect), strict=True
    ):
        assert abs(reaction.coefficient - known) < 3 * reaction.standard_error
