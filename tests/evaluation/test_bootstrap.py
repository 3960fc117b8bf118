"""Intervals against known sampling distributions."""

import numpy as np
import pytest

from malles.errors import DataError
from malles.evaluation.bootstrap import (
    bootstrap_interval,
    cluster_sums,
    clusters_of,
    draw_weights,
    mean_interval,
    paired_difference,
)


def ratio(s):
    return s[..., 0] / s[..., 1]


def test_every_draw_has_as_many_customers_as_the_sample():
    weight = draw_weights(37, 20, np.random.default_rng(0))
    assert (weight.sum(axis=1) == 37).all()


def test_unknown_customers_are_clusters_of_their_own():
    assert len(np.unique(clusters_of(np.array([3, -1, 3, -1, 0])))) == 4


def test_intervals_cover_the_truth_when_customers_differ():
    """60 customers with own means and 10 occasions each: about 95 % of the intervals hold the true mean."""
    rng = np.random.default_rng(7)
    covered = naive = 0
    for _ in range(200):
        own = rng.normal(2.0, 1.0, 60)
        value = (own[:, None] + rng.normal(0, 0.5, (60, 10))).ravel()
        found = mean_interval(value, np.repeat(np.arange(60), 10), rng, draws=200)
        covered += found.low <= 2.0 <= found.high
        half = 1.96 * value.std() / np.sqrt(len(value))
        naive += abs(value.mean() - 2.0) <= half
    assert 0.90 <= covered / 200 <= 0.99
    assert naive / 200 < 0.7


def test_an_interval_agrees_with_its_formula():
    """Independent customers: half-width 1.96 s / sqrt(n)."""
    rng = np.random.default_rng(1)
    value = rng.normal(0, 1, 2000)
    found = mean_interval(value, np.arange(2000), rng, draws=2000)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * value.std() / np.sqrt(2000), rel=0.06)
    assert found.value == pytest.approx(value.mean())


def test_a_paired_difference_of_equal_gains_has_no_width():
    rng = np.random.default_rng(2)
    loss = rng.random(300)
    cluster = np.repeat(np.arange(30), 10)
    a = cluster_sums(np.column_stack([loss, np.ones(300)]), cluster)
    b = cluster_sums(np.column_stack([loss + 0.1, np.ones(300)]), cluster)
    weight = draw_weights(30, 200, rng)
    gap = paired_difference(a, b, weight, ratio)
    assert (gap.value, gap.low, gap.high) == pytest.approx((-0.1, -0.1, -0.1))
    assert gap.excludes_zero
    assert bootstrap_interval(a, weight, ratio).high > bootstrap_interval(a, weight, ratio).low


def test_the_same_seed_gives_the_same_interval():
    value, customer = np.arange(20.0), np.repeat(np.arange(5), 4)
    first, again = (mean_interval(value, customer, np.random.default_rng(3)) for _ in range(2))
    assert first == again


def test_one_customer_has_no_interval():
    with pytest.raises(DataError, match="at least 2"):
        mean_interval(np.ones(3), np.zeros(3, int), np.random.default_rng(0))


def test_the_interval_of_an_absolute_gap_holds_its_value():
    """|mean - 0| of noise around 0.02: draws lie above the value on average; centred ones do not."""
    rng = np.random.default_rng(11)
    value = rng.normal(0.0, 1.0, (400, 15))
    sums = np.column_stack([value, np.ones(400)])
    weight = draw_weights(400, 400, rng)

    def gap(s):
        return np.abs(s[..., :-1]).sum(axis=-1) / s[..., -1]

    plain, moved = bootstrap_interval(sums, weight, gap), bootstrap_interval(sums, weight, gap, centred=True)
    assert moved.low < moved.value < moved.high
    assert moved.high < plain.high
