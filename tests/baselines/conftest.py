"""A small market with known tastes, for the recovery tests of this room."""

import numpy as np
import pytest

from malles.choice.probability import choice_probabilities
from malles.vocabulary import OUTSIDE, PADDING, ChoiceData, Occasions, Regime

PRICE, DISPLAY, POPULARITY = -1.6, 0.7, 0.8
"""True tastes: per currency unit, per display, per unit of log popularity."""

NAMES = ("display", "popularity", "own_lines", "own_last", "store_share", "chain_share", "noise")


@pytest.fixture(scope="session")
def build_market():
    """The function that builds such a market; see `market_of`."""
    return market_of


@pytest.fixture(scope="session")
def tastes():
    """True coefficients of the market."""
    return {"price": PRICE, "display": DISPLAY, "popularity": POPULARITY}


def market_of(occasions=4000, *, seed=0, outside=False, products=12, slate=6):
    """Occasions of 300 customers whose choices follow a logit in price, display and popularity.

    Some columns are padding. `own_lines` and `own_last` hold a favourite that choices do not follow.
    """
    rng = np.random.default_rng(seed)
    n, J = occasions, slate + 1
    size = rng.integers(3, slate + 1, n)
    product = np.full((n, J), PADDING, np.int32)
    product[:, 0] = OUTSIDE
    for i in range(n):
        product[i, 1 : 1 + size[i]] = rng.choice(products, size[i], replace=False)
    real = product >= 0
    base = np.linspace(1.0, 4.0, products)
    share = np.linspace(2.0, 1.0, products) / np.linspace(2.0, 1.0, products).sum()
    code = np.maximum(product, 0)
    price = np.where(real, base[code] * rng.uniform(0.7, 1.1, (n, J)), 0.0)
    display = (rng.random((n, J)) < 0.2) & real
    popularity = np.where(real, np.log(share[code]), 0.0)
    available = real.copy()
    available[:, 0] = outside
    utility = np.where(real, PRICE * price + DISPLAY * display + POPULARITY * popularity, -4.0)
    probability = choice_probabilities(utility, available)
    chosen = (probability.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    customer = rng.integers(0, 300, n)
    favourite = rng.integers(0, products, 300)[customer]
    own = (product == favourite[:, None]).astype(np.float64)
    columns = [display, popularity, own * np.log(4.0), own, share[code] * real, share[code] * real]
    columns.append(rng.normal(size=(n, J)) * real)
    whole = np.arange(n)
    list_price = np.where(real, base[code], 0).astype(np.float32)
    data = ChoiceData(
        occasions=Occasions(
            customer=customer.astype(np.int32), store=np.zeros(n, np.int32), basket=whole.astype(np.int64),
            week=(whole % 40).astype(np.int16), timestamp=whole.astype(np.int64),
            category=np.zeros(n, np.int32), product=product, price=price.astype(np.float32),
            list_price=list_price, promotion=display.astype(np.uint8), available=available,
            rank=np.where(real, 0, -1).astype(np.int16), chosen=chosen.astype(np.int16),
            units=np.ones(n, np.int32),
        ),
        features=np.stack(columns, axis=2).astype(np.float32),
        feature_names=NAMES,
        context=rng.normal(size=(n, 2)).astype(np.float32),
        context_names=("season", "trips"),
        regime=Regime.FULL,
    )  # fmt: skip
    return data, probability
