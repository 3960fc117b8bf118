from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from malles.profiles.quantity import build_quantity_features, chosen_only
from malles.vocabulary import OTHER

from .markets import WEEK, catalogue_of, keep_lines, occasions_of, random_market


@pytest.fixture(scope="module")
def market():
    return random_market(5, occasions=80)


def test_deleting_the_present_and_the_future_changes_no_byte(market):
    catalogue, occasions = market
    for n in (0, 40, 79):
        one = occasions.take(np.array([n]))
        earlier = keep_lines(catalogue, catalogue.lines.timestamp < one.timestamp[0])
        a, b = build_quantity_features(catalogue, one), build_quantity_features(earlier, one)
        assert a.features.tobytes() == b.features.tobytes()


def test_choice_units_and_rank_are_not_read(market):
    catalogue, occasions = market
    blind = replace(
        occasions,
        rank=np.zeros_like(occasions.rank),
        chosen=np.zeros_like(occasions.chosen),
        units=np.zeros_like(occasions.units),
    )
    a, b = build_quantity_features(catalogue, occasions), build_quantity_features(catalogue, blind)
    assert a.features.tobytes() == b.features.tobytes()


def test_the_chosen_column_alone_has_the_features_it_has_among_all(market):
    catalogue, occasions = market
    whole = build_quantity_features(catalogue, occasions)
    alone = build_quantity_features(catalogue, chosen_only(occasions))
    rows = np.arange(len(occasions))
    np.testing.assert_array_equal(alone.features[:, 1], whole.features[rows, occasions.chosen])
    assert (alone.occasions.units == occasions.units).all() and (alone.occasions.chosen == 1).all()


def test_another_product_has_the_category_but_no_item(market):
    catalogue, occasions = market
    data = build_quantity_features(catalogue, occasions)
    other = data.occasions.product == OTHER
    assert other.any()
    assert (data.feature("is_other")[other] == 1).all() and (data.feature("item_count")[other] == 0).all()
    assert (data.feature("category_count")[other] > 0).all()
    assert not data.features[:, 0].any() and np.isfinite(data.features).all()


def test_counts_and_the_last_quantity_by_hand():
    """The customer bought 3, then 1 and 1 in two lines of one basket (2 units), then, too late, 9."""
    products = [(0, 1, False, 0, 8.0), (0, 2, False, 0, 8.0)]
    bought = [
        (0, 0, 0, 1, 1, WEEK, 3, 1.0, 1.0),
        (0, 0, 0, 2, 2, 2 * WEEK, 1, 1.0, 1.0),
        (0, 0, 0, 2, 2, 2 * WEEK, 1, 1.0, 1.0),
        (0, 0, 0, 3, 3, 3 * WEEK, 9, 1.0, 1.0),
    ]
    catalogue = catalogue_of(bought, products, customers=1)
    data = build_quantity_features(catalogue, occasions_of([(0, 0, 9, 3, 3 * WEEK, 0, 1)], [0, 1]))
    assert data.feature("own_item_count")[0, 1] == pytest.approx(np.log(3))  # two baskets
    assert data.feature("own_item_last")[0, 1] == pytest.approx(np.log(2))
    assert data.feature("own_item_last")[0, 2] == 0
    # category mean: (5 units + 10 x 1.25) / (2 + 10)
    assert data.feature("category_mean")[0, 1] == pytest.approx(np.log(17.5 / 12))


def test_a_price_of_a_multiple_deal_is_recognised():
    """3 for 5.00 is 1.67 each; 2 for 5.00 is 2.50 each and round by itself."""
    catalogue = catalogue_of(
        [(0, 0, 0, 1, 1, WEEK, 1, 1.0, 1.0)], [(0, 1, False, 0, 8.0), (0, 1, False, 0, 8.0)], customers=1
    )
    occasions = occasions_of([(0, 0, 9, 3, 3 * WEEK, 0, 1)], [0, 1], [1.67, 2.37])
    data = build_quantity_features(catalogue, occasions)
    assert data.feature("round_times_3")[0, 1:3].tolist() == [1, 0]
    assert data.feature("round_times_1")[0, 1:3].tolist() == [0, 0]
