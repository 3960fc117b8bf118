import numpy as np
import pytest

from malles.population.fixed_point import Status
from malles.population.mean_field import Reaction, build_mean_field, fit_reaction, share_deviation, solve_week


def test_a_window_adds_up_by_hand():
    """Category 0: products 0 (3 units at 1 of 2) and 1 (1 unit at 2 of 2); category 1: product 2 (4 units in
    2 lines).
    """
    f = build_mean_field(
        np.array([0, 1, 2, 2]), np.array([3.0, 1.0, 2.0, 2.0]), np.array([1.0, 2.0, 1.0, 1.0]),
        np.array([2.0, 2.0, 1.0, 1.0]), np.array([0, 0, 1, -1]), 2, np.array([[True, False], [True, True]]),
    )  # fmt: skip
    np.testing.assert_allclose(f.category_share, [0.5, 0.5])
    np.testing.assert_allclose(f.alternative_share, [0.75, 0.25, 1.0, 0.0])
    np.testing.assert_allclose(f.mean_quantity, [2.0, 2.0])
    np.testing.assert_allclose(f.price_index, [5 / 8, 1.0])
    np.testing.assert_allclose(f.availability, [1.0, 0.5])


def choices(b: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    base = rng.dirichlet(np.ones(4), n)
    x = rng.normal(0, 0.5, (n, 4))
    p = base * np.exp(b * x)
    p /= p.sum(1, keepdims=True)
    return base, x, (p.cumsum(1) < rng.random((n, 1))).sum(1)


@pytest.mark.parametrize("truth", [0.0, 0.4, -0.3])
def test_the_reaction_is_recovered_within_three_standard_errors(truth):
    base, x, chosen = choices(truth, 6000, 1)
    found = fit_reaction(base, x, chosen, np.arange(6000) % 500)
    assert abs(found.coefficient - truth) < 3 * found.standard_error
    assert 0.01 < found.standard_error < 0.1


def test_a_reaction_says_when_it_cannot_be_told_from_zero():
    assert "cannot be told from zero" in str(Reaction(0.01, 0.02, 100))
    assert "cannot" not in str(Reaction(0.2, 0.02, 100))


def test_equal_shares_move_nobody():
    np.testing.assert_array_equal(share_deviation(np.array([0.2, 0.0]), np.array([0.2, 0.0])), 0.0)


def week(b: float):
    product = np.tile(np.array([-1, 0, 1]), (50, 1))
    p = np.tile([0.0, 0.6, 0.4], (50, 1))
    past, long = np.array([0.5, 0.5]), np.array([0.5, 0.5])
    return solve_week(p, product, np.ones(50), past, long, Reaction(b, 0.01, 9), np.zeros(2, np.int32), 1)


def test_without_a_reaction_the_week_is_what_the_model_says():
    found = week(0.0)
    assert found.fixed_point.status is Status.SETTLED
    np.testing.assert_array_equal(found.probability, np.tile([0.0, 0.6, 0.4], (50, 1)))


def test_the_solved_field_is_the_share_of_the_decisions_it_leads_to():
    found = week(0.5)
    assert found.fixed_point.status is Status.SETTLED
    share = found.probability[:, 1:].mean(0)
    np.testing.assert_allclose(found.fixed_point.field, (np.array([0.5, 0.5]) + share) / 2, atol=1e-6)
    assert share[0] > 0.6  # the leader gains
    x = share_deviation(found.fixed_point.field, np.array([0.5, 0.5]))
    odds = share[0] / share[1]
    assert odds == pytest.approx(1.5 * np.exp(0.5 * (x[0] - x[1])), rel=1e-5)


def test_herding_beyond_measure_is_reported_and_not_hidden():
    found = week(12.0)
    assert found.fixed_point.contraction > 0
    assert found.fixed_point.status in Status
    np.testing.assert_allclose(found.probability.sum(1), 1.0)
