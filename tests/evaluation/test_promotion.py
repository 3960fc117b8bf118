"""Promotion response with a known answer."""

import numpy as np
import pytest

from malles.errors import DataError
from malles.evaluation.promotion import promotion_response


def respond(occasions, probability, **options):
    o = occasions
    return promotion_response(
        probability, o.available, o.chosen, o.product, o.price, o.list_price, o.customer,
        np.random.default_rng(0), **options,
    )  # fmt: skip


def test_one_product_by_hand():
    """Product 1 wins 2 of 4 at a discount and 1 of 4 without; the model says .4 and .3."""
    promoted = np.repeat([True, False], 4)
    n = len(promoted)
    product = np.tile(np.array([[-1, 1, 2, 3]]), (n, 1))
    available = product > 0
    list_price = np.where(available, 2.0, 0.0)
    price = list_price.copy()
    price[promoted, 1:] = 1.5
    chosen = np.array([1, 1, 2, 3, 1, 2, 2, 3])
    probability = np.zeros((n, 4))
    probability[:, 1] = np.where(promoted, 0.4, 0.3)
    probability[:, 2] = 0.5
    probability[:, 3] = 1 - probability[:, 1] - 0.5
    found = promotion_response(
        probability, available, chosen, product, price, list_price, np.arange(n),
        np.random.default_rng(0), min_discounted=4, min_regular=4,
    )  # fmt: skip
    np.testing.assert_array_equal(found.product, [1, 2, 3])
    np.testing.assert_allclose(found.realised, [0.25, -0.25, 0.0])
    np.testing.assert_allclose(found.predicted, [0.1, 0.0, -0.1], atol=1e-12)
    # slope of (.25, -.25, 0) on (.1, 0, -.1): .025 / .02
    assert found.slope.value == pytest.approx(1.25)
    assert found.zero_response_error == pytest.approx(np.sqrt(0.125 / 3))
    assert found.response_error.value == pytest.approx(np.sqrt((0.15**2 + 0.25**2 + 0.1**2) / 3))
    assert found.appearances.tolist() == [[4, 4]] * 3
    assert found.to_frame().columns == ["product", "realised", "predicted", "regular", "discounted"]
    assert found.summary("x")["slope"] == pytest.approx(1.25)


def test_true_probabilities_have_slope_one(draw_market):
    occasions, truth, _ = draw_market(n=30_000, response=-2.0, seed=3)
    found = respond(occasions, truth)
    assert found.slope.low < 1 < found.slope.high
    assert found.correlation_score.value > 0.9
    assert found.response_error.value < found.zero_response_error / 2
    assert (found.left_out, len(found.product)) == (0, 18)


def test_a_model_without_prices_shows_no_response(market):
    occasions, _, taste = market
    weight = np.where(occasions.available, np.exp(taste[np.maximum(occasions.product, 0)]), 0.0)
    found = respond(occasions, weight)
    assert np.abs(found.predicted).max() < 1e-9
    assert found.response_error.value == pytest.approx(found.zero_response_error)


def test_products_seen_too_rarely_are_counted(market):
    occasions, truth, _ = market
    with pytest.raises(DataError, match="needs at least 3"):
        respond(occasions, truth, min_discounted=100_000)


def test_a_discount_of_exactly_ten_percent_in_32_bits_counts():
    product = np.tile(np.array([[-1, 1, 2, 3]]), (6, 1))
    available = product > 0
    list_price = np.where(available, 3.0, 0.0).astype(np.float32)
    price = list_price.copy()
    price[:3, 1:] = np.float32(2.7)
    found = promotion_response(
        available / 3, available, np.array([1, 2, 3, 1, 2, 3]), product, price, list_price, np.arange(6),
        np.random.default_rng(0), min_discounted=3, min_regular=3,
    )  # fmt: skip
    assert len(found.product) == 3
