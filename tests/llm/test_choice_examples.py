"""From choice data to examples: tables by line, changed prices, and nothing of the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.small_markets import named_market
from malles.llm.choice_examples import build_examples, by_column, by_line, change_prices, usual_units
from malles.llm.wording import ChoicePrompts
from malles.profiles.features import build_features
from malles.vocabulary import Regime
from profiles.markets import keep_lines, random_market

AVAILABLE = np.array([[False, True, True, False, True], [True, False, False, False, True]])
TABLE = np.arange(10.0).reshape(2, 5)


def test_a_table_by_line_by_hand():
    np.testing.assert_array_equal(by_line(TABLE, AVAILABLE, 3, fill=-1), [[1, 2, 4], [5, 9, -1]])


@given(st.integers(0, 10_000))
def test_by_line_and_back_keeps_what_is_available(seed):
    rng = np.random.default_rng(seed)
    available = rng.random((4, 6)) < 0.5
    table = rng.normal(size=(4, 6)).astype(np.float32)
    width = max(int(available.sum(axis=1).max()), 1)
    back = by_column(by_line(table, available, width), available)
    np.testing.assert_array_equal(back, np.where(available, table, 0))


def test_examples_hold_the_line_of_the_choice_and_its_units():
    data = named_market(occasions=30)
    o = data.occasions
    chosen = np.where(np.arange(30) < 20, o.chosen, -1).astype(np.int16)
    units = np.arange(1, 31, dtype=np.int32)
    data = replace(data, occasions=replace(o, chosen=chosen, units=units))
    examples = build_examples(data, o.category, usual=usual_units(data))
    for row in range(20):
        prompt = examples.render(row)
        line = prompt.shelf[examples.chosen[row]]
        price = f" {o.price[row, chosen[row]]:.2f}"
        assert o.product[row, chosen[row]] < 0 or price in [words for _, words in line]
    assert (examples.chosen[20:] == -1).all()
    assert examples.units is not None
    assert examples.units.tolist() == [*range(1, 21), *[0] * 10]
    assert examples.skip.shape == (30, 6)
    assert (examples.skip == 0).all()


def test_some_of_the_examples_are_those_examples():
    data = named_market(occasions=30)
    skip = np.random.default_rng(0).normal(size=data.occasions.shape)
    teacher = np.where(data.occasions.available, 0.25, 0.0)
    examples = build_examples(data, data.occasions.category, skip=skip, teacher=teacher)
    some = replace(examples, changed=examples).take(np.array([7, 3]))
    assert some.render(1).text() == examples.render(3).text()
    assert some.changed is not None
    assert some.changed.render(0).text() == examples.render(7).text()
    np.testing.assert_array_equal(some.skip, examples.skip[[7, 3]])
    assert some.teacher is not None
    np.testing.assert_allclose(np.exp(some.teacher), 0.25, rtol=1e-6)


def test_usual_units_are_the_customers_own_where_known():
    """Bought before: the own mean; otherwise the mean of the category."""
    data = named_market(occasions=40)
    usual, ever = usual_units(data), data.feature("own_ever") > 0
    np.testing.assert_allclose(usual[ever], np.exp(data.feature("own_mean_units"))[ever], rtol=1e-5)
    category = np.exp(data.context[:, data.context_names.index("category_units")])
    np.testing.assert_allclose(
        usual[~ever], np.broadcast_to(category[:, None], usual.shape)[~ever], rtol=1e-5
    )
    assert (usual_units(named_market(occasions=5, regime=Regime.NOHIST)) == 1).all()


# ---- changed prices ----


@given(st.integers(0, 10_000))
def test_exactly_one_price_changes_and_no_list_price_lies_below_its_price(seed):
    _, occasions = random_market(1, customers=20, occasions=40)
    other = change_prices(occasions, np.random.default_rng(seed))
    changed = other.price != occasions.price
    assert (changed.sum(axis=1) == 1).all()
    assert (occasions.product[changed] >= 0).all()
    assert occasions.available[changed].all()
    ratio = other.price[changed] / occasions.price[changed]
    assert ((ratio > 0.55) & (ratio < 1.35)).all()
    assert (other.list_price >= other.price - 1e-6)[occasions.product >= 0].all()
    assert (other.list_price >= occasions.list_price).all()
    for name in ("customer", "product", "available", "chosen", "promotion"):
        np.testing.assert_array_equal(getattr(other, name), getattr(occasions, name))


def test_prices_change_by_every_factor_about_as_often():
    _, occasions = random_market(1, customers=60, occasions=200)
    rng, cuts = np.random.default_rng(0), []
    for _ in range(10):
        other = change_prices(occasions, rng)
        changed = other.price != occasions.price
        cuts.append(np.mean(other.price[changed] < occasions.price[changed]))
    assert np.mean(cuts) == pytest.approx(4 / 7, abs=0.04)


# ---- leakage ----


@pytest.mark.parametrize("regime", [Regime.FULL, Regime.NOHIST])
def test_deleting_the_future_leaves_every_prompt_as_it_was(regime):
    """Own lines from the moment of the choice on, and everyone's from its week on, are deleted."""
    catalogue, occasions = random_market(5, customers=25, categories=2, width=4, occasions=60)
    whole = ChoicePrompts(build_features(catalogue, occasions, regime))
    lines, seen = catalogue.lines, 0
    for row in range(0, len(occasions), 6):
        one = occasions.take(np.array([row]))
        own = lines.customer == one.customer[0]
        past = np.where(own, lines.timestamp < one.timestamp[0], lines.week < one.week[0])
        assert 0 < past.sum() < len(past)
        before = ChoicePrompts(build_features(keep_lines(catalogue, past), one, regime))
        assert before.prompt(0).text() == whole.prompt(row).text()
        seen += 1
    assert seen == 10
