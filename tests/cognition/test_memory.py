"""Activation and retrieval against values worked out by hand, a plain twin, and another implementation."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.cognition.kernels import WEEK
from malles.cognition.memory import (
    associative_strength,
    base_level,
    base_level_steady,
    purchase_activation,
    recall_probability,
    retrieval_probabilities,
    retrieval_seconds,
)
from malles.errors import DataError
from profiles.markets import random_market


def test_base_level_by_hand():
    """Presentations 1, 4 and 16 units ago, d = 1/2: ln(1 + 1/2 + 1/4) = ln 1.75."""
    assert base_level(np.array([1.0, 4.0, 16.0])) == pytest.approx(math.log(1.75))
    assert base_level(np.array([8.0]), decay=1.0) == pytest.approx(-math.log(8.0))
    assert base_level(np.zeros(0)) == -math.inf


def test_an_age_that_is_not_above_zero_is_refused():
    with pytest.raises(DataError, match="above 0"):
        base_level(np.array([1.0, 0.0]))


def test_the_closed_form_is_near_the_sum_for_evenly_spread_presentations():
    """1,000 presentations over 100 units; the sum is within 0.03 of ln(n / (1 - d)) - d ln(L)."""
    age = (np.arange(1000) + 0.5) * 0.1
    assert base_level(age) == pytest.approx(base_level_steady(1000, 100.0), abs=0.03)


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=20), st.floats(0.1, 0.9), st.floats(1.1, 50))
def test_time_told_in_another_unit_moves_every_activation_by_the_same_constant(ages, decay, unit):
    age = np.array(ages)
    assert base_level(age * unit, decay) == pytest.approx(base_level(age, decay) - decay * math.log(unit))


def test_retrieval_by_hand():
    """s = 1/√2 gives t = 1: memories at ln 1 and ln 2, threshold at ln 1: 1/4, 2/4 and a failure of 1/4."""
    p, none = retrieval_probabilities(
        np.array([[0.0, math.log(2.0), -np.inf]]), threshold=0.0, noise=1 / math.sqrt(2)
    )
    np.testing.assert_allclose(p, [[0.25, 0.5, 0.0]])
    np.testing.assert_allclose(none, [0.25])


def test_nothing_to_remember_is_a_failure_to_retrieve():
    p, none = retrieval_probabilities(np.full((1, 3), -np.inf), threshold=-np.inf, noise=0.5)
    assert p.sum() == 0
    assert none[0] == 1


def test_recall_latency_and_fan_by_hand():
    """The logistic at one noise above the threshold: 1 / (1 + 1/e); F e^-A; S - ln(fan)."""
    assert recall_probability(np.array([0.4]), threshold=0.0, noise=0.4)[0] == pytest.approx(
        1 / (1 + math.exp(-1))
    )
    assert retrieval_seconds(np.array([2.0]), 0.5)[0] == pytest.approx(0.5 * math.exp(-2.0))
    assert associative_strength(np.array([3.0]), 2.0)[0] == pytest.approx(2.0 - math.log(3.0))


def test_purchase_activation_equals_the_plain_sum_over_earlier_lines():
    catalogue, asked = random_market(3, customers=12, categories=2, width=5, occasions=60)
    found = purchase_activation(catalogue.lines, asked, 0.4)
    lines, seen = catalogue.lines, 0
    for i in range(len(asked)):
        for j in range(asked.product.shape[1]):
            mine = (
                (lines.customer == asked.customer[i])
                & (lines.product == asked.product[i, j])
                & (lines.timestamp < asked.timestamp[i])
            )
            if not asked.available[i, j] or asked.product[i, j] < 0 or not mine.any():
                assert found[i, j] == -np.inf
                continue
            age = np.maximum(asked.timestamp[i] - lines.timestamp[mine], 3600) / WEEK
            assert found[i, j] == pytest.approx(base_level(age, 0.4))
            seen += 1
    assert seen > 50


def test_deleting_what_lies_ahead_changes_no_activation():
    catalogue, asked = random_market(4, customers=12, categories=2, width=5, occasions=60)
    week = int(np.median(asked.week))
    early = asked.take(asked.week <= week)
    lines = catalogue.lines
    before = lines.take(lines.timestamp < early.timestamp.max())
    np.testing.assert_array_equal(purchase_activation(lines, early), purchase_activation(before, early))
    none = replace(early, customer=np.full(len(early), -1, np.int32))
    assert np.all(purchase_activation(lines, none) == -np.inf)


@pytest.mark.slow
def test_base_level_and_latency_are_those_of_pyactr():
    """Its own process, because it is a foreign package; skipped where it is not installed."""
    code = (
        "import numpy as np, pyactr.utilities as u;"
        "print(u.baselevel_learning(10.0, np.array([1.0, 4.0, 7.5]), True, 0.5),"
        "u.baselevel_learning(50.0, np.array([2.0, 30.0]), True, 0.3), u.retrieval_latency(0.7, 0.35, 1.0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, check=False
    )
    if done.returncode:
        pytest.skip("pyactr is not installed; pip install pyactr")
    theirs = [float(value) for value in done.stdout.split()]
    ours = [
        base_level(np.array([9.0, 6.0, 2.5])), base_level(np.array([48.0, 20.0]), 0.3),
        float(retrieval_seconds(np.array([0.7]), 0.35)[0]),
    ]  # fmt: skip
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
