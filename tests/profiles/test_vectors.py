"""Features from vectors: cosines by hand, nothing from the future, nothing where there are no vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from malles.profiles.features import OTHERS_NAMES, OWN_NAMES, build_features, with_prices
from malles.profiles.vectors import KNOWN_NAME, NEAR_NAMES
from malles.vocabulary import Embedding, Regime
from profiles.markets import WEEK, catalogue_of, occasions_of

PRODUCTS = [(0, 0, False, 0, 1.0)] * 4 + [(1, 0, False, 0, 1.0)]
VECTORS = np.array([[2, 0], [0, 3], [1, 1], [0, 0], [-5, 0]], np.float32)
KNOWN = np.array([True, True, True, False, True])


def line(customer, product, basket, week, hour=0):
    return (customer, 0, product, basket, week, week * WEEK + hour * 3600, 1, 2.0, 2.0)


def market(*rows):
    made = catalogue_of(rows, PRODUCTS)
    return replace(made, products=replace(made.products, embeddings=(Embedding("image", VECTORS, KNOWN),)))


ROWS = (
    line(0, 0, 1, 1),
    line(0, 0, 2, 2),
    line(0, 1, 3, 3),
    line(0, 4, 4, 3),
    line(1, 2, 5, 3),
    line(0, 3, 6, 3),
)
ASK = (0, 0, 9, 5, 5 * WEEK, 0, 1)


def near(data, name):
    return data.feature(name)[0, 1:5]


def test_cosines_by_hand():
    """Bought before: a twice, b once, d without a vector; elsewhere once the opposite of a."""
    data = build_features(market(*ROWS), occasions_of([ASK], [0, 1, 2, 3]))
    half = np.sqrt(0.5)
    assert near(data, "vector_known").tolist() == [1, 1, 1, 0]
    np.testing.assert_allclose(near(data, "vector_near_mean"), [2 / 3, 1 / 3, half, 0], rtol=1e-6)
    np.testing.assert_allclose(near(data, "vector_near_max"), [1, 1, half, 0], rtol=1e-6)
    np.testing.assert_allclose(near(data, "vector_near_other"), [-1, 0, -half, 0], rtol=1e-6)


def test_a_product_nobody_bought_has_its_vector():
    data = build_features(market(*ROWS[:2]), occasions_of([ASK], [1, 2, 3]))
    assert data.feature("vector_near_mean")[0, 2] == pytest.approx(np.sqrt(0.5))


def test_deleting_the_occasion_and_the_future_changes_nothing():
    later = (line(0, 1, 7, 5), line(0, 2, 8, 6), line(0, 4, 8, 6), line(1, 1, 9, 7))
    o = occasions_of([ASK, (1, 0, 10, 5, 5 * WEEK, 0, 1)], [0, 1, 2, 3])
    whole = build_features(market(*ROWS, *later), o)
    past = build_features(market(*ROWS), o)
    for name in (KNOWN_NAME, *NEAR_NAMES):
        np.testing.assert_array_equal(whole.feature(name), past.feature(name))


def test_occasions_in_any_order_and_batch_get_the_same_columns():
    asks = [
        (c, 0, 10 + k, w, w * WEEK + k, 0, 1) for k, (c, w) in enumerate([(0, 5), (1, 5), (0, 2), (0, 4)])
    ]
    together = build_features(market(*ROWS), occasions_of(asks, [0, 1, 2, 3]))
    for k, ask in enumerate(asks):
        alone = build_features(market(*ROWS), occasions_of([ask], [0, 1, 2, 3]))
        np.testing.assert_array_equal(alone.features[0, :, -4:], together.features[k, :, -4:])


def test_without_vectors_the_columns_are_those_of_before():
    made = market(*ROWS)
    plain = replace(made, products=replace(made.products, embeddings=()))
    o = occasions_of([ASK], [0, 1, 2, 3])
    with_, without = build_features(made, o), build_features(plain, o)
    assert without.feature_names == OTHERS_NAMES + OWN_NAMES
    assert with_.feature_names == (*without.feature_names, KNOWN_NAME, *NEAR_NAMES)
    np.testing.assert_array_equal(with_.features[:, :, :-4], without.features)


def test_a_new_customer_shows_no_past():
    data = build_features(market(*ROWS), occasions_of([ASK], [0, 1, 2, 3]), Regime.NOHIST)
    assert data.feature_names == (*OTHERS_NAMES, KNOWN_NAME)


def test_other_prices_leave_the_vectors_alone():
    made = market(*ROWS)
    o = occasions_of([ASK], [0, 1, 2, 3])
    data = build_features(made, o)
    dearer = replace(o, price=o.price * np.float32(1.5), list_price=o.list_price * np.float32(1.5))
    changed = with_prices(data, made, dearer)
    np.testing.assert_allclose(changed.features, build_features(made, dearer).features, atol=1e-6)
