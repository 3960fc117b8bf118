"""Slates, prices and promotions worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from malles.occasions.catalogue import build_catalogue
from malles.occasions.choice_sets import build_hash_order, build_slate_index
from malles.occasions.prices import build_cents, build_price_index
from malles.occasions.promotions import build_promotion_index
from malles.vocabulary import PADDING, Promotion

A, B, C = 0, 1, 2


@pytest.fixture
def catalogue(tiny, tiny_rules):
    return build_catalogue(tiny, tiny_rules)


def infer(catalogue, product, store, week, customer):
    customer = catalogue.customer_key.to_list().index(customer)
    index = build_price_index(catalogue)
    price, list_price = index.infer(
        np.array([[product]], np.int32), np.array([store]), np.array([week]), np.array([customer])
    )
    return float(price[0, 0]), float(list_price[0, 0])


def test_a_price_is_the_median_of_the_others_in_the_same_store_and_week(catalogue):
    """Customers 2 and 3 paid 3.00 and 5.00 in store 1 in week 4; customer 1's own 9.99 is not looked at."""
    assert infer(catalogue, A, 0, 4, customer=1) == pytest.approx((4.0, 4.5))


def test_without_others_in_the_store_the_chain_of_the_week_decides(catalogue):
    """Customer 4 alone bought A in store 2 in week 4; the chain's others paid 3, 5 and 9.99."""
    assert infer(catalogue, A, 1, 4, customer=4) == pytest.approx((5.0, 5.0))


def test_without_others_in_the_week_the_last_chain_price_is_carried_forward(catalogue):
    """Only customer 1 bought B in week 4; week 3 said 2.10."""
    assert infer(catalogue, B, 1, 4, customer=1) == pytest.approx((2.1, 2.5))


def test_a_product_never_sold_before_has_no_price(catalogue):
    assert infer(catalogue, C, 0, 4, customer=1) == (0.0, 0.0)


def test_cents_round_in_single_precision():
    assert build_cents(np.array([[2.495, 1.245]], np.float32)).tolist() == [[249, 124]]
    assert build_cents(np.array([1.0, 2.49], np.float32)).tolist() == [100, 249]


def test_a_slate_ranks_live_products_by_store_lines_plus_five_times_the_chain_share(
    catalogue, tiny_occasion_rules
):
    """Week 4: past chain lines A 4, B 3, C 0. Store 1: A 4 + 5 x 4/7, B 5 x 3/7. Store 2: B 3 + 15/7."""
    index = build_slate_index(catalogue)
    slates = index.rank(np.array([0, 1]), np.array([0, 0]), np.array([4, 4]), tiny_occasion_rules)
    assert slates.product.tolist() == [[A, B, PADDING], [B, A, PADDING]]
    assert slates.store_lines.tolist() == [[4, 0, 0], [3, 0, 0]]
    assert slates.chain_lines.tolist() == [[4, 3, 0], [3, 4, 0]]


def test_equal_scores_go_to_the_smaller_product_code(random_market):
    catalogue = build_catalogue(random_market)
    from malles.occasions.rules import OccasionRules

    rules = OccasionRules(alternatives=9)
    week = np.repeat(np.arange(2, 17), 9)
    store, category = np.tile(np.repeat(np.arange(3), 3), 15), np.tile(np.arange(3), 45)
    slates = build_slate_index(catalogue).rank(store, category, week, rules)
    lines = catalogue.lines
    for k in range(len(week)):
        score = []
        recent = (lines.week < week[k]) & (lines.week >= week[k] - 8)
        within = (lines.week < week[k]) & (lines.week >= week[k] - 26) & (lines.store == store[k])
        codes = np.flatnonzero(catalogue.products.category == category[k])
        chain = np.array([(recent & (lines.product == p)).sum() for p in codes])
        own = np.array([(within & (lines.product == p)).sum() for p in codes])
        score = own + 5.0 * chain / chain.sum()
        expected = codes[np.lexsort((codes, -score))][chain[np.lexsort((codes, -score))] > 0]
        found = slates.product[k][slates.product[k] >= 0]
        assert found.tolist() == expected.tolist()


def test_promotions_and_coupons_of_the_tiny_market(catalogue):
    """A coupon of 22 January (week 4) for B and C, sent to customers 1 and 2."""
    index = build_promotion_index(catalogue)
    product = np.array([[A, B, PADDING], [A, B, C]], np.int32)
    bits = index.announced(product, np.array([0, 1]), np.array([4, 4]))
    assert bits.tolist() == [[3, 0, 0], [0, 4, 0]]
    noon = np.int64(1_705_924_800)  # 2024-01-22 12:00
    customer = np.array([0, 0], np.int32)
    index.add_coupons(bits, product, customer, np.array([noon, noon + 86_400]))
    assert bits.tolist() == [[3, int(Promotion.COUPON), 0], [0, 4, 0]]


def test_the_arrangement_of_columns_is_flat():
    """20,000 slates of 20: the first product stands in every column about 1,000 times (5 sigma = 154)."""
    n = 20_000
    product = np.tile(np.arange(20, dtype=np.int32), (n, 1))
    order = build_hash_order(np.arange(n, dtype=np.int64) * 977, np.zeros(n, np.int32), product)
    first = (order == 0).argmax(axis=1)
    count = np.bincount(first, minlength=20)
    assert abs(count - n / 20).max() < 154
    assert (np.sort(order, axis=1) == np.arange(20)).all()
