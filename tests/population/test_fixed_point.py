import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.population.fixed_point import Status, solve_fixed_point


def test_a_linear_response_has_a_known_fixed_point():
    """m = a + B m has the solution (I - B)^-1 a."""
    a, B = np.array([0.2, 0.1]), np.array([[0.3, 0.1], [0.0, 0.4]])
    found = solve_fixed_point(lambda m: a + B @ m, start=np.zeros(2), tolerance=1e-10)
    assert found.status is Status.SETTLED
    np.testing.assert_allclose(found.field, np.linalg.solve(np.eye(2) - B, a), atol=1e-9)


def test_no_fixed_point_is_a_value_not_a_crash():
    flip = solve_fixed_point(lambda m: 1.0 - m, start=np.zeros(1), step=1.0)
    assert flip.status is Status.ITERATION_LIMIT
    assert "smaller `step`" in flip.status.value


def test_the_flip_settles_at_one_half_with_a_smaller_step():
    found = solve_fixed_point(lambda m: 1.0 - m, start=np.zeros(1), step=0.5)
    assert found.status is Status.SETTLED
    assert found.field == pytest.approx([0.5])


def test_the_contraction_of_a_linear_response_is_its_slope():
    found = solve_fixed_point(lambda m: 1.0 + 0.7 * m, start=np.zeros(1), memory=0)
    assert found.contraction == pytest.approx(0.7, abs=1e-3)
    assert found.field == pytest.approx([1 / 0.3])


def test_two_stable_markets_are_reported_as_several():
    """tanh(3 m) has the stable fixed points +-0.99490."""
    found = solve_fixed_point(
        lambda m: np.tanh(3 * m), start=np.array([0.5]), more_starts=(np.array([-0.5]), np.array([0.7]))
    )
    assert found.status is Status.SEVERAL
    assert found.field == pytest.approx([0.9949], abs=1e-4)
    assert len(found.others) == 1
    assert found.others[0] == pytest.approx([-0.9949], abs=1e-4)


def test_a_response_that_leaves_the_numbers_is_diverged():
    with np.errstate(over="ignore", invalid="ignore"):
        found = solve_fixed_point(lambda m: 1e200 * (m + 1) ** 2, start=np.ones(1), memory=0)
    assert found.status is Status.DIVERGED


def test_starting_at_the_answer_takes_one_evaluation():
    found = solve_fixed_point(lambda m: 0.5 * m, start=np.zeros(3))
    assert len(found.gaps) == 1


@given(st.floats(-0.95, 0.95), st.floats(-2, 2))
def test_every_linear_contraction_settles_at_its_solution(slope, constant):
    found = solve_fixed_point(lambda m: constant + slope * m, start=np.array([3.0]), iterations=500)
    assert found.status is Status.SETTLED
    assert found.field[0] == pytest.approx(constant / (1 - slope), abs=1e-5)


@given(st.integers(0, 2**31 - 1))
def test_acceleration_and_plain_steps_find_the_same_market(seed):
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(6, 6))
    B *= 0.8 / np.linalg.norm(B, 2)
    a = rng.normal(size=6)

    def respond(m):
        return a + B @ np.tanh(m)

    plain = solve_fixed_point(respond, np.zeros(6), memory=0, iterations=400, tolerance=1e-9)
    fast = solve_fixed_point(respond, np.zeros(6), memory=5, iterations=400, tolerance=1e-9)
    assert plain.status is fast.status is Status.SETTLED
    np.testing.assert_allclose(plain.field, fast.field, atol=1e-7)
