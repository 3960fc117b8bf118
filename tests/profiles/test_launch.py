from __future__ import annotations

import doctest
import importlib
from dataclasses import replace

import numpy as np
import pytest

from malles.profiles.launch import build_launch_features
from malles.profiles.launch_history import Past, find, pair
from malles.profiles.launch_kernels import crowding, last_before, slate_position
from malles.vocabulary import Regime

from .markets import WEEK, catalogue_of, keep_lines, occasions_of, random_market


@pytest.fixture(scope="module")
def market():
    """Three categories in two groups: 0 and 1 belong together, 2 stands alone."""
    catalogue, occasions = random_market(3, occasions=90)
    category = catalogue.products.category
    group = np.where(category < 0, -1, category // 2).astype(np.int32)
    catalogue = replace(
        catalogue, products=replace(catalogue.products, group=group), group_name=("FOOD", "DRINK")
    )
    return catalogue, occasions


def same_bytes(a, b):
    return a.features.tobytes() == b.features.tobytes() and a.context.tobytes() == b.context.tobytes()


def test_deleting_every_line_of_the_category_changes_no_byte(market):
    catalogue, occasions = market
    category_of_line = catalogue.products.category[catalogue.lines.product]
    for category in range(3):
        asked = occasions.take(occasions.category == category)
        without = keep_lines(catalogue, category_of_line != category)
        assert len(without.lines) < len(catalogue.lines)
        assert same_bytes(build_launch_features(catalogue, asked), build_launch_features(without, asked))


def test_strict_features_survive_the_deletion_of_the_whole_group(market):
    catalogue, occasions = market
    asked = occasions.take(occasions.category == 0)
    without = keep_lines(catalogue, catalogue.products.group[catalogue.lines.product] != 0)
    strict = build_launch_features(catalogue, asked, hide="group")
    assert same_bytes(strict, build_launch_features(without, asked, hide="group"))
    loose = build_launch_features(catalogue, asked)
    assert not same_bytes(loose, build_launch_features(without, asked)), "the group is otherwise read"


def test_deleting_the_present_and_the_future_changes_no_byte(market):
    catalogue, occasions = market
    for n in (0, 40, 89):
        one = occasions.take(np.array([n]))
        earlier = keep_lines(catalogue, catalogue.lines.timestamp < one.timestamp[0])
        assert same_bytes(build_launch_features(catalogue, one), build_launch_features(earlier, one))


def test_neither_the_rank_nor_the_choice_is_read(market):
    catalogue, occasions = market
    blind = replace(
        occasions,
        rank=np.zeros_like(occasions.rank),
        chosen=np.full_like(occasions.chosen, -1),
        units=np.zeros_like(occasions.units),
    )
    assert same_bytes(build_launch_features(catalogue, occasions), build_launch_features(catalogue, blind))


def test_a_batch_of_one_equals_a_batch_of_many(market):
    catalogue, occasions = market
    many = build_launch_features(catalogue, occasions)
    for n in (5, 33):
        one = build_launch_features(catalogue, occasions.take(np.array([n])))
        np.testing.assert_array_equal(one.features[0], many.features[n])


def test_columns_without_a_product_hold_zero_and_nothing_is_missing(market):
    catalogue, occasions = market
    data = build_launch_features(catalogue, occasions)
    assert data.regime is Regime.LAUNCH
    assert np.isfinite(data.features).all() and np.isfinite(data.context).all()
    assert not data.features[occasions.product < 0].any()
    assert len(set(data.feature_names)) == data.features.shape[2]


def test_a_customer_nobody_knows_and_a_shop_without_a_past_can_be_asked(market):
    catalogue, occasions = market
    stranger = replace(occasions, customer=np.full_like(occasions.customer, -1))
    data = build_launch_features(catalogue, stranger)
    assert (data.context[:, data.context_names.index("lines")] == 0).all()
    nothing = keep_lines(catalogue, np.zeros(len(catalogue.lines), bool))
    assert np.isfinite(build_launch_features(nothing, occasions).features).all()


def test_purchases_of_the_manufacturer_elsewhere_are_counted_by_hand():
    """Customer 0 bought maker 7 twice in category 1 and once, hidden, in category 0."""
    products = [(0, 7, False, 0, 8.0), (0, 8, True, 1, 16.0), (1, 7, False, 0, 8.0), (1, 9, False, 1, 8.0)]
    bought = [(0, 0, p, b, 1, WEEK + b, 1, 2.0, 2.0) for b, p in enumerate((2, 2, 3, 0))]
    catalogue = catalogue_of(bought, products, customers=1)
    occasions = occasions_of([(0, 0, 99, 3, 3 * WEEK, 0, 1)], [0, 1], [2.0, 4.0], list_price=[2.5, 4.0])
    data = build_launch_features(catalogue, occasions)
    np.testing.assert_allclose(data.feature("own_manufacturer_count_all")[0, 1:3], np.log([3, 1]), rtol=1e-6)
    np.testing.assert_allclose(data.feature("own_size_count_all")[0, 1:3], np.log([3, 2]), rtol=1e-6)
    np.testing.assert_allclose(data.feature("discount")[0, 1:3], [0.2, 0], atol=1e-6)
    np.testing.assert_allclose(data.feature("log_unit_price")[0, 1:3], np.log([2 / 8, 4 / 16]), rtol=1e-6)
    np.testing.assert_array_equal(data.feature("price_position")[0, 1:3], [0, 1])


def test_a_strong_manufacturer_elsewhere_is_strong_here():
    """Of three leaders of category 1, maker 5 wins every line: wins 60, expected 20 + what week 2 lacks."""
    products = [(0, 5, False, 0, 8.0), (0, 6, False, 1, 8.0)] + [(1, m, False, m, 8.0) for m in (5, 6, 7)]
    first = [(0, 0, p, p, 1, WEEK + p, 1, 1.0, 1.0) for p in (2, 3, 4)]
    later = [(0, 0, 2, 10 + k, 2, 2 * WEEK + k, 1, 1.0, 1.0) for k in range(60)]
    catalogue = catalogue_of(first + later, products, customers=1)
    occasions = occasions_of([(0, 0, 999, 3, 3 * WEEK, 0, 1)], [0, 1])
    strength = build_launch_features(catalogue, occasions).feature("manufacturer_strength_all")[0]
    np.testing.assert_allclose(strength[1:3], np.log([70 / 30, 10 / 30]), rtol=1e-5)


def test_sums_are_over_strictly_earlier_lines():
    """Key 4 has values 1 at time 10 and 2 at time 20: nothing at 10, 1 at 20, 3 at 21."""
    past = Past(np.array([10, 20, 20]), np.array([[1], [2], [8]]))
    got = past.sums(np.array([4, 4, 6]), np.array([[4], [4], [4], [5]]), np.array([10, 20, 21, 21]))
    assert got[:, 0, 0].tolist() == [0, 1, 3, 0]
    last = last_before(
        np.array([0, 0]),
        np.array([5, 6]),
        np.array([1, 2]),
        np.array([[0], [-1]]),
        np.array([2, 9]),
        np.arange(2),
        1,
    )
    assert last.tolist() == [[5], [0]]


def test_unknown_codes_make_no_pair():
    assert pair(np.array([1, -1, 2]), np.array([3, 3, -1]), 10).tolist() == [13, -1, -1]
    assert find(np.array([], np.int64), np.array([1])).tolist() == [-1]


def test_positions_and_crowding_by_hand():
    present = np.array([[True, True, True, False]])
    value = np.array([[2.0, 1.0, 2.0, 0.0]])
    np.testing.assert_allclose(slate_position(present, value), [[0.75, 0, 0.75, 0]])
    maker, size = np.array([[1, 1, 2, 1]]), np.array([[0, 0, 0, 0]])
    crowd = crowding(present, np.log(np.maximum(value, 1)), maker, size)
    assert crowd[0, :3, 0].tolist() == [1, 1, 0]  # others of the manufacturer
    assert crowd[0, :3, 1].tolist() == [2, 2, 2]  # others of the size
    assert crowd[0, :3, 4].tolist() == [1, 0, 1]  # others near the price
    assert crowd[0, 0, 6] == 2  # two kinds: (1, 0) and (2, 0)


def test_the_examples_in_the_docstrings_are_true():
    found = doctest.testmod(importlib.import_module("malles.profiles.launch_history"), extraglobs={"np": np})
    assert found.attempted > 0 and found.failed == 0
