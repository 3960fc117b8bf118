"""Every metric against arithmetic by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from malles.errors import DataError, OccasionError
from malles.evaluation.metrics import (
    CHOICE_METRICS,
    METRICS,
    UNIT_METRICS,
    expected_hits,
    expected_reciprocal_rank,
    mix_uniform,
    on_slate,
    poisson_deviance,
    score_choices,
    score_units,
    wape_error,
)

EVERYTHING = np.ones((2, 3), bool)


def test_two_occasions_by_hand():
    """P = (.5, .3, .2) chosen 0, (.5, .3, .2) chosen 2: hit 1 and 0, ranks 1 and 3."""
    p = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    got = score_choices(p, EVERYTHING, np.array([0, 2]))
    assert got["hit_rate_score"] == 0.5
    assert got["hit_rate_3_score"] == 1.0
    assert got["reciprocal_rank_score"] == pytest.approx((1 + 1 / 3) / 2)
    mixed = [(1 - 1e-4) * 0.5 + 1e-4 / 3, (1 - 1e-4) * 0.2 + 1e-4 / 3]
    assert got["log_loss"] == pytest.approx(-np.log(mixed).mean())
    assert got["pseudo_r2_score"] == pytest.approx(1 + np.log(mixed).mean() / np.log(3))
    # (.5² + .3² + .2²) and (.5² + .3² + .8²)
    assert got["brier_loss"] == pytest.approx((0.25 + 0.09 + 0.04 + 0.25 + 0.09 + 0.64) / 2)
    # one bin: confidence .5, right half of the time
    assert got["top_calibration_error"] == pytest.approx(0.0)
    # candidates at .5, .3, .2 happen with frequency .5, 0, .5: (0 + .3 + .3) / 3
    assert got["calibration_error"] == pytest.approx(0.2)


def test_a_tie_counts_in_expectation():
    """Three tied below one: the first place is lost, places 2, 3, 4 are equally likely."""
    p = np.array([[0.4, 0.2, 0.2, 0.2, 0.0]])
    available = np.array([[True, True, True, True, False]])
    chosen = np.array([2])
    assert expected_hits(p, available, chosen, 1)[0] == 0.0
    assert expected_hits(p, available, chosen, 3)[0] == pytest.approx(2 / 3)
    assert expected_reciprocal_rank(p, available, chosen)[0] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)


def test_uniform_probabilities_hit_at_one_over_the_size_of_the_slate():
    available = np.array([[True] * 4 + [False] * 6, [True] * 8 + [False] * 2])
    got = score_choices(available / 1.0, available, np.array([1, 7]))
    assert got["hit_rate_score"] == pytest.approx((1 / 4 + 1 / 8) / 2)
    assert got["pseudo_r2_score"] == pytest.approx(0.0)
    assert got["top_calibration_error"] == pytest.approx(0.0)


@given(arrays(float, (5, 4), elements=st.floats(0.01, 1)), st.floats(0.1, 10))
def test_the_scale_of_the_scores_does_not_matter(p, scale):
    available = np.ones((5, 4), bool)
    chosen = np.array([0, 1, 2, 3, 0])
    assert score_choices(p, available, chosen)["log_loss"] == pytest.approx(
        score_choices(p * scale, available, chosen)["log_loss"]
    )


@given(arrays(float, (6, 5), elements=st.sampled_from([0.1, 0.2, 0.7])), st.permutations(range(5)))
def test_the_order_of_the_alternatives_does_not_matter(p, order):
    available = np.ones((6, 5), bool)
    chosen = np.array([0, 1, 2, 3, 4, 0])
    moved = np.argsort(order)[chosen]
    a, b = score_choices(p, available, chosen), score_choices(p[:, order], available, moved)
    assert a == pytest.approx(b)


def test_true_probabilities_have_a_small_calibration_error_and_sharpened_ones_a_large_one():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(8, 0.5), size=40_000)
    chosen = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1)
    available = np.ones(p.shape, bool)
    true = score_choices(p, available, chosen)
    sharp = score_choices(p**2, available, chosen)
    assert true["top_calibration_error"] < 0.01
    assert true["calibration_error"] < 0.003
    assert sharp["top_calibration_error"] > 0.08
    assert sharp["log_loss"] > true["log_loss"]


def test_probability_outside_the_choice_set_is_not_scored():
    available = np.array([[True, True, False]])
    np.testing.assert_allclose(on_slate(np.array([[0.2, 0.2, 0.6]]), available), [[0.5, 0.5, 0.0]])
    assert mix_uniform(np.array([[1.0, 0.0, 0.0]]), available, 0.1)[0, 2] == 0.0


def test_a_row_without_probability_is_refused_with_its_place():
    with pytest.raises(OccasionError, match=r"1 of 2 occasions .* \(first: row 1\)"):
        on_slate(np.array([[0.5, 0.5], [0.0, 0.0]]), np.ones((2, 2), bool))


def test_an_unavailable_choice_is_refused():
    with pytest.raises(OccasionError, match="within their choice set"):
        score_choices(np.array([[1.0, 0.0]]), np.array([[True, False]]), np.array([1]))


def test_units_by_hand():
    """Units 1, 3; mean 1.5, 2.0; point 1, 2."""
    got = score_units(np.array([1.5, 2.0]), np.array([1.0, 2.0]), np.array([1, 3]))
    assert got["units_absolute_error"] == 0.5
    assert got["units_wape_error"] == 0.25
    assert got["units_exact_score"] == 0.5
    assert got["units_rmse_error"] == pytest.approx(np.sqrt((0.25 + 1) / 2))
    first = 2 * (np.log(1 / 1.5) - 1 + 1.5)
    second = 2 * (3 * np.log(1.5) - 3 + 2)
    assert got["units_deviance_loss"] == pytest.approx((first + second) / 2)
    assert got["units_bias"] == pytest.approx(-0.5 / 4)


def test_deviance_of_a_right_mean_is_zero_and_of_nothing_sold_is_twice_the_mean():
    np.testing.assert_allclose(poisson_deviance(np.array([3.0, 0.0]), np.array([3.0, 0.7])), [0.0, 1.4])


def test_wape_needs_units():
    with pytest.raises(DataError, match="positive sum"):
        wape_error(np.zeros(2), np.ones(2))


def test_every_metric_says_which_way_is_good():
    assert len(CHOICE_METRICS) == 8
    assert len(UNIT_METRICS) == 6
    assert len(METRICS) == 17
    for name, metric in METRICS.items():
        if name != "units_bias":
            assert metric.higher_is_better == name.endswith("_score")
            assert name.endswith(("_score", "_error", "_loss"))
