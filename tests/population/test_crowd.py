"""A crowd decides as probability theory says, within its money and the stock, in shards of any size."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malles.errors import OccasionError, UsageError
from malles.population import rationing
from malles.population.crowd import (
    Crowd,
    CrowdLaws,
    Shelf,
    build_crowd,
    bytes_per_customer,
    decide,
    draw_alternatives,
    settle,
)
from malles.population.crowd_market import build_example, build_shelf
from malles.population.crowd_twin import decide_twin, exponential, ration_twin, settle_twin, utilities


def live(shards: list[Crowd], laws: CrowdLaws, plan, periods: int):
    """Periods of a crowd in shards: what everybody chose and got, and the counts, period by period."""
    lived, sold = [], None
    for period in range(periods):
        shelf = build_shelf(plan, laws, period, sold)
        counts = sum(decide(s, shelf, period) for s in shards)
        wished = [s.units.copy() for s in shards]
        wished_all = np.zeros(len(shelf.constant) + 1, int)
        for s in shards:
            np.add.at(wished_all, s.choice, s.units)
        scarce = rationing.find_scarce(wished_all[1:], shelf.stock)
        counted = sum(rationing.count_priorities(s, period, scarce) for s in shards)
        bucket, left = rationing.find_buckets(counted, shelf.stock, scarce)
        found = [rationing.find_candidates(s, period, bucket) for s in shards]
        limits = rationing.find_limits(found[::-1], bucket, left)
        counts = counts + sum(settle(s, shelf, period, limits) for s in shards)
        sold = counts[:, 1:, 4].sum(0)
        columns = (np.concatenate([getattr(s, c) for s in shards]) for c in ("choice", "units"))
        lived.append((*columns, np.concatenate(wished), counts, shelf))
    return lived


def example(customers: int, **changes):
    laws, plan = build_example(periods=8, customers=customers, **changes)
    return laws, plan


def test_the_kernels_and_numpy_decide_alike_to_the_last_bit_over_eight_periods():
    laws, plan = example(3001, products=7, stock_per_customer=0.02)
    crowd = build_crowd(laws, 5, 0, 3001)
    sold = None
    limited = 0
    for period in range(8):
        shelf = build_shelf(plan, laws, period, sold)
        choice, units = decide_twin(crowd, shelf, period)
        got = ration_twin(crowd, choice, units, shelf.stock, period)
        state, counts = settle_twin(crowd, shelf, choice, got)
        lived = live_one(crowd, shelf, period)
        np.testing.assert_array_equal(crowd.choice, choice)
        np.testing.assert_array_equal(crowd.units, got)
        for mine, plain in zip(crowd.state.columns(), state.columns(), strict=True):
            np.testing.assert_array_equal(mine, plain)
        np.testing.assert_array_equal(lived[:, :, 3:], counts[:, :, 3:])
        limited += int((got < units).sum())
        sold = counts[:, 1:, 4].sum(0)
    assert limited > 100


def live_one(crowd, shelf, period):
    counts = decide(crowd, shelf, period)
    wished = np.bincount(crowd.choice, crowd.units, len(shelf.constant) + 1)[1:].astype(int)
    scarce = rationing.find_scarce(wished, shelf.stock)
    counted = rationing.count_priorities(crowd, period, scarce)
    bucket, left = rationing.find_buckets(counted, shelf.stock, scarce)
    limits = rationing.find_limits([rationing.find_candidates(crowd, period, bucket)], bucket, left)
    return counts + settle(crowd, shelf, period, limits)


@pytest.mark.parametrize("size", [1, 255, 256, 1000, 4096])
def test_shards_of_any_size_give_the_same_bits(size):
    laws, plan = example(4096, products=5, stock_per_customer=0.03)
    whole = live([build_crowd(laws, 9, 0, 4096)], laws, plan, 3)
    starts = range(0, 4096, size) if size > 1 else [0, 1, 2]
    shards = [build_crowd(laws, 9, s, min(size, 4096 - s)) for s in starts]
    if size == 1:
        shards.append(build_crowd(laws, 9, 3, 4093))
    for one, many in zip(whole, live(shards, laws, plan, 3), strict=True):
        for a, b in zip(one[:4], many[:4], strict=True):
            np.testing.assert_array_equal(a, b)


def test_drawn_shares_converge_to_the_exact_probabilities():
    """30,000 customers with 20 periods of luck: within four standard errors of their probabilities."""
    laws, plan = example(0, products=6)
    laws = replace(laws, trip_rate=(1.0,) * 4, intercept=60.0)
    crowd = build_crowd(laws, 3, 0, 30_000)
    crowd.state.last[:] = np.arange(30_000) % 7
    crowd.state.paid[:] = np.where(crowd.state.last > 0, 4.0, 0.0)
    shelf = build_shelf(plan, laws, 0, None)
    V = utilities(crowd, shelf).astype(float)
    P = np.exp(V) / np.exp(V).sum(1, keepdims=True)
    drawn = np.zeros(6)
    for period in range(20):
        decide(crowd, shelf, period)
        drawn += np.bincount(crowd.choice, minlength=7)[1:]
    error = np.sqrt((P * (1 - P)).sum(0) * 20)
    assert np.all(np.abs(drawn - 20 * P.sum(0)) < 4 * error)


def test_incidence_is_trip_rate_times_sigmoid():
    """Intercept 0 and no inventory: 0.8 · 0.5 = 0.4 of the customers buy."""
    laws = CrowdLaws((1.0,), ((0.0,),), ((0.0,),), (0.8,), (0.5,), (10_000,), intercept=0.0)
    crowd = build_crowd(laws, 1, 0, 100_000)
    counts = decide(crowd, one_product(), 0)
    assert counts[0, 0, 0] / 100_000 == pytest.approx(0.8, abs=0.006)
    assert (crowd.choice > 0).mean() == pytest.approx(0.4, abs=0.006)


def one_product(price=500, stock=-1, listed=None):
    return Shelf(
        attribute=np.zeros((1, 1)),
        constant=np.zeros(1),
        hundredths=np.array([price]),
        list_hundredths=np.array([price if listed is None else listed]),
        available=np.ones(1, bool),
        stock=np.array([stock]),
    )


def test_units_are_one_plus_poisson():
    """Without discount the mean is 1.3; the chance of one unit is exp(-0.3) = 0.741."""
    laws = CrowdLaws((1.0,), ((0.0,),), ((0.0,),), (1.0,), (0.5,), (1_000_000,), intercept=60.0)
    crowd = build_crowd(laws, 1, 0, 100_000)
    decide(crowd, one_product(), 0)
    assert crowd.units.mean() == pytest.approx(1.3, abs=0.007)
    assert (crowd.units == 1).mean() == pytest.approx(0.7408, abs=0.006)


def test_money_is_never_overdrawn_and_every_hundredth_is_accounted_for():
    laws, plan = example(0, products=5)
    laws = replace(laws, income=(150, 250, 350, 450), units=(2.0, 2.0))
    crowd = build_crowd(laws, 2, 0, 20_000)
    short = spent = 0
    born = crowd.state.money.astype(int).sum()
    for *_, counts, _shelf in live([crowd], laws, plan, 8):
        assert crowd.state.money.min() >= 0
        short += counts[:, 1:, 2].sum()
        spent += counts[:, 1:, 5].sum()
    assert short > 1000
    assert crowd.state.money.astype(int).sum() == born + 8 * crowd.income.astype(int).sum() - spent


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 400), st.integers(0, 2**31))
def test_stock_is_sold_out_exactly_and_never_oversold(stock, seed):
    laws, plan = example(0, products=3)
    plan = replace(plan, stock=np.full_like(plan.stock, stock))
    for choice, units, wished, counts, shelf in live([build_crowd(laws, seed, 0, 1500)], laws, plan, 2):
        sold = np.bincount(choice, units, 4)[1:]
        asked = np.bincount(choice, wished, 4)[1:]
        np.testing.assert_array_equal(sold, np.minimum(asked, shelf.stock))
        np.testing.assert_array_equal(sold, counts[:, 1:, 4].sum(0))
        assert np.all(units <= wished)


def test_every_customer_has_the_same_chance_of_scarce_stock():
    laws = CrowdLaws(
        (1.0,), ((0.0,),), ((0.0,),), (1.0,), (0.5,), (10_000,), intercept=60.0, units=(0.0, 0.0)
    )
    crowd = build_crowd(laws, 4, 0, 40_000)
    ((_, units, *_),) = live([crowd], laws, _plan_of(one_product(stock=10_000)), 1)
    assert units.sum() == 10_000
    halves = units[:20_000].sum() / 20_000, units[20_000:].sum() / 20_000
    assert halves == pytest.approx((0.25, 0.25), abs=0.012)


def _plan_of(shelf):
    _, plan = build_example(products=1, attributes=1, periods=1)
    return replace(plan, hundredths=shelf.hundredths[None], list_hundredths=shelf.list_hundredths[None],
                   stock=shelf.stock[None])  # fmt: skip


def test_the_state_moves_on_as_by_hand():
    """Bought 1 at 5.00 with 7.00 and income 2.00: 4.00 left; 1 at home, 0.25 used up: 0.75."""
    laws = CrowdLaws((1.0,), ((0.0,),), ((0.0,),), (1.0,), (0.25,), (200,), rate_spread=0.0, intercept=60.0,
                     units=(0.0, 0.0))  # fmt: skip
    crowd = build_crowd(laws, 1, 0, 3)
    crowd.state.money[:] = [700, 499, 500]
    live_one(crowd, one_product(), 0)
    np.testing.assert_array_equal(crowd.units, [1, 0, 1])
    np.testing.assert_array_equal(crowd.state.money, [400, 699, 200])
    np.testing.assert_array_equal(crowd.state.inventory, [0.75, 0, 0.75])
    np.testing.assert_array_equal(crowd.state.last, [1, 0, 1])
    np.testing.assert_array_equal(crowd.state.paid, [5, 0, 5])


def test_the_exponential_is_as_exact_as_float32():
    v = np.linspace(-80, 80, 200_001).astype(np.float32)
    exact = np.exp(v.astype(float))
    assert np.max(np.abs(exponential(v) / exact - 1)) < 3e-7


def test_the_choice_alone_agrees_with_exact_shares():
    rng = np.random.default_rng(0)
    taste, x = (
        rng.normal(0, 0.5, (4, 50_000)).astype(np.float32),
        rng.normal(0, 1, (21, 4)).astype(np.float32),
    )
    picks = draw_alternatives(taste, x, np.zeros(21, np.float32), seed=1, period=0)
    V = taste.T.astype(float) @ x.T
    P = np.exp(V) / np.exp(V).sum(1, keepdims=True)
    error = np.sqrt((P * (1 - P)).sum(0))
    assert np.all(np.abs(np.bincount(picks, minlength=21) - P.sum(0)) < 4 * error)


def test_an_empty_shelf_sells_nothing_and_the_crowd_lives_on():
    laws, _ = example(0)
    crowd = build_crowd(laws, 1, 0, 100)
    shelf = replace(one_product(), available=np.zeros(1, bool), attribute=np.zeros((1, 6)))
    counts = live_one(crowd, shelf, 0)
    assert counts[:, 1:].sum() == 0
    assert counts[:, 0, 0].sum() > 50


def test_a_price_of_zero_is_refused_by_name():
    laws, _ = example(0)
    with pytest.raises(OccasionError, match=r"price of product 1 is 0\.0, expected more than zero"):
        decide(build_crowd(laws, 1, 0, 2), one_product(price=0, listed=100), 0)


def test_shares_of_archetypes_that_do_not_sum_to_one_are_refused():
    with pytest.raises(UsageError, match=r"sums to 0\.5"):
        CrowdLaws((0.5,), ((0.0,),), ((0.0,),), (1.0,), (0.5,), (100,))


def test_a_customer_takes_as_many_bytes_as_said():
    laws, _ = example(0)
    crowd = build_crowd(laws, 1, 0, 1000)
    columns = [crowd.archetype, crowd.coefficient, crowd.use_rate, crowd.income, crowd.choice, crowd.units]
    columns += crowd.state.columns()
    assert sum(c.nbytes for c in columns) == 1000 * bytes_per_customer(6)
