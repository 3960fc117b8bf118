"""The synthetic market is what its truth says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from malles.data.synthetic import MarketSettings, generate_market
from malles.errors import ConfigError

PLAIN = MarketSettings(customers=1500, weeks=40, price_spread=0.0, taste_spread=0.0, feedback=2.0)


@pytest.fixture(scope="module")
def plain():
    return generate_market(PLAIN, seed=11)


@pytest.fixture(scope="module")
def mixed():
    return generate_market(MarketSettings(customers=800, weeks=60), seed=12)


def test_the_same_seed_gives_the_same_market_and_another_seed_another():
    small = MarketSettings(customers=30, weeks=5)
    first, second, third = (generate_market(small, seed=s)[0] for s in (1, 1, 2))
    assert first.transactions.equals(second.transactions)
    assert first.promotions.equals(second.promotions)
    assert not first.transactions.equals(third.transactions)


def test_shares_are_the_closed_form_within_sampling_error(plain):
    """Without differences between customers, counts are sums of logit probabilities at the prices seen."""
    _, truth = plain
    for c in range(PLAIN.categories):
        a = truth.choice_arrays(c)
        v = truth.constant[truth.products_of(c)] + PLAIN.price_coefficient * a["price"]
        v = v + PLAIN.display_effect * a["display"] + PLAIN.feedback * a["share"]
        p = np.exp(v) / np.exp(v).sum(axis=1, keepdims=True)
        counts = np.bincount(a["chosen"], minlength=PLAIN.products)
        assert np.abs(counts - p.sum(axis=0)).max() < 4 * np.sqrt((p * (1 - p)).sum(axis=0)).max()
        np.testing.assert_allclose(
            p[np.arange(len(p)), a["chosen"]], truth.chance[np.isin(truth.product, truth.products_of(c))]
        )


def test_a_logit_recovers_price_display_and_feedback(plain):
    _, truth = plain
    a = truth.choice_arrays(0)
    x = np.stack([a["price"], a["display"], a["share"]], axis=-1)
    constants = np.broadcast_to(np.eye(PLAIN.products)[:, 1:], (len(x), PLAIN.products, PLAIN.products - 1))
    x = np.concatenate([x, constants], axis=-1)
    rows = np.arange(len(x))

    def loss(b):
        v = x @ b
        p = np.exp(v - v.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        gradient = (x[rows, a["chosen"]] - np.einsum("nj,njk->nk", p, x)).sum(axis=0)
        return -np.log(p[rows, a["chosen"]]).sum(), -gradient

    best = minimize(loss, np.zeros(x.shape[2]), jac=True, method="BFGS", options={"gtol": 1e-2})
    v = x @ best.x
    p = np.exp(v - v.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    mean = np.einsum("nj,njk->nk", p, x)
    information = np.einsum("nj,njk,njl->kl", p, x, x) - mean.T @ mean
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    known = np.concatenate(
        [[PLAIN.price_coefficient, PLAIN.display_effect, PLAIN.feedback], truth.constant[1 : PLAIN.products]]
    )
    assert np.abs((best.x - known) / error).max() < 3.5


def test_elasticities_are_the_slope_of_the_share(mixed):
    """A price moved by a thousandth moves the share by E thousandths."""
    _, truth = mixed
    price = truth.list_price[truth.products_of(1)]
    for j, elasticity in enumerate(truth.own_price_elasticity(1)):
        up, down = price.copy(), price.copy()
        up[j] *= 1.0005
        down[j] *= 0.9995
        share = [truth.choice_probability(1, p).mean(axis=0)[j] for p in (up, down)]
        assert (share[0] - share[1]) / (sum(share) / 2) / 0.001 == pytest.approx(elasticity, rel=1e-3)
        assert elasticity < 0


def test_the_mean_field_seen_is_last_weeks_share(mixed):
    _, truth = mixed
    s = truth.settings
    for t in (1, 7, s.weeks - 1):
        counts = np.bincount(truth.product[truth.week == t - 1], minlength=len(truth.category)).reshape(
            s.categories, -1
        )
        np.testing.assert_allclose(
            truth.share[t].reshape(s.categories, -1), counts / counts.sum(axis=1, keepdims=True)
        )


def test_trips_buy_as_often_as_the_law_says_and_a_full_cupboard_waits(mixed):
    _, truth = mixed
    p = truth.trip_chance
    spread = np.sqrt((p * (1 - p)).sum())
    assert abs(truth.trip_bought.sum() - p.sum()) < 4 * spread
    full = truth.trip_inventory > np.quantile(truth.trip_inventory, 0.8)
    empty = truth.trip_inventory <= np.quantile(truth.trip_inventory, 0.2)
    assert truth.trip_bought[full].mean() < truth.trip_bought[empty].mean() - 0.1


def test_inventory_follows_its_own_law(mixed):
    """For one customer and category: before the next trip = max(now + bought - use, 0) and so on, week by
    week."""
    _, truth = mixed
    mine = np.flatnonzero(truth.trip_customer == 5)
    for first, second in itertools.pairwise(mine):
        t, u = int(truth.trip_week[first]), int(truth.trip_week[second])
        bought = truth.units[
            (truth.customer == 5) & (truth.week == t) & (truth.category[truth.product] == 0)
        ].sum()
        level = truth.trip_inventory[first, 0] + bought
        for _ in range(u - t):
            level = max(level - truth.use_rate[5, 0], 0.0)
        assert truth.trip_inventory[second, 0] == pytest.approx(level)


def test_units_have_their_mean(mixed):
    _, truth = mixed
    s = truth.settings
    discount = 1 - truth.price[truth.week, truth.store, truth.product] / truth.list_price[truth.product]
    extra = s.units[0] * np.exp(s.units[1] * discount)
    assert abs((truth.units - 1).sum() - extra.sum()) < 4 * np.sqrt(extra.sum())


def test_the_data_set_holds_the_prices_and_displays_of_the_truth(mixed):
    data, truth = mixed
    assert len(data.transactions) == len(truth.product)
    row = data.transactions.row(100, named=True)
    seen = truth.price[row["week"] - 1, row["store"] - 1, row["product"] - 1]
    assert row["price"] == seen
    assert len(data.promotions) == truth.display.sum()
    assert data.transactions["timestamp"].is_sorted()
    assert data.transactions["timestamp"].dt.weekday().n_unique() == 7


def test_an_impossible_market_is_one_sentence():
    with pytest.raises(ConfigError, match="at least 1 customer"):
        generate_market(MarketSettings(customers=0), seed=1)
