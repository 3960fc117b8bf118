"""A small market whose choices are drawn from known probabilities."""

import numpy as np
import pytest

from malles.vocabulary import OUTSIDE, Occasions


def draw_occasions(n=6000, products=6, categories=3, weeks=4, seed=0, response=-1.0):
    """Occasions with column 0 unavailable; utility = taste + response * log price; chosen from it."""
    rng = np.random.default_rng(seed)
    category = rng.integers(0, categories, n).astype(np.int32)
    product = np.full((n, products + 1), OUTSIDE, np.int32)
    product[:, 1:] = category[:, None] * products + np.arange(products)
    taste = rng.normal(0, 0.7, categories * products)
    list_price = np.zeros((n, products + 1), np.float32)
    list_price[:, 1:] = (1.0 + 0.25 * np.arange(categories * products))[product[:, 1:]]
    cut = np.where(rng.random((n, products)) < 0.4, 0.7, 1.0)
    price = list_price.copy()
    price[:, 1:] *= cut
    utility = np.full(product.shape, -np.inf)
    utility[:, 1:] = taste[product[:, 1:]] + response * np.log(price[:, 1:])
    weight = np.exp(utility)
    probability = weight / weight.sum(axis=1, keepdims=True)
    chosen = (rng.random((n, 1)) > probability.cumsum(axis=1)).sum(axis=1).astype(np.int16)
    occasions = Occasions(
        customer=rng.integers(0, 300, n).astype(np.int32),
        store=np.zeros(n, np.int32),
        basket=np.arange(n, dtype=np.int64),
        week=rng.integers(41, 41 + weeks, n).astype(np.int16),
        timestamp=np.arange(n, dtype=np.int64),
        category=category,
        product=product,
        price=price,
        list_price=list_price,
        promotion=np.zeros(product.shape, np.uint8),
        available=product >= 0,
        rank=np.zeros(product.shape, np.int16),
        chosen=chosen,
        units=np.ones(n, np.int32),
    )
    return occasions, probability, taste


@pytest.fixture(scope="session")
def market():
    return draw_occasions()


@pytest.fixture(scope="session")
def draw_market():
    return draw_occasions
