"""Order quantities against hand arithmetic, brute force, laws and simulation."""

from __future__ import annotations

from itertools import product as all_pairs

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malles.errors import DataError
from malles.wholesale.demand import Demand, build_demand, demand_of_draws, forecast_demand
from malles.wholesale.items import Item, Tier, menu_of
from malles.wholesale.plan import plan_orders
from malles.wholesale.quantity import (
    best_order,
    critical_ratio,
    expected_profit,
    newsvendor_quantity,
    solve_reorder_policy,
)

UNIFORM = Demand(np.full(11, 1 / 11))


def test_newsvendor_by_hand():
    """Price 10, cost 6, left-overs worth 1: ratio 4/9; on 0..10 P(D <= 4) = 5/11 is the first above."""
    assert critical_ratio(10.0, 6.0, 1.0) == pytest.approx(4 / 9)
    assert newsvendor_quantity(UNIFORM, 10.0, 6.0, 1.0) == 4
    assert newsvendor_quantity(UNIFORM, 5.0, 6.0) == 0  # it costs more than it brings


@settings(deadline=None, max_examples=40)
@given(st.floats(0.5, 30), st.floats(1.0, 5.0), st.floats(1.05, 5.0), st.floats(0, 0.9))
def test_the_critical_ratio_maximises_expected_profit(mean, spread, markup, salvage):
    demand = build_demand(mean, mean * spread)
    q = newsvendor_quantity(demand, markup, 1.0, salvage)
    profit = expected_profit(demand, markup, 1.0, salvage)
    assert profit[q] == pytest.approx(profit.max(), abs=1e-9)


def test_demand_has_the_mean_and_variance_it_was_asked_for():
    for mean, variance in ((4.0, None), (4.0, 10.0), (0.3, 0.9), (120.0, 900.0)):
        demand = build_demand(mean, variance)
        assert demand.mean == pytest.approx(mean, rel=1e-5)
        assert demand.deviation**2 == pytest.approx(variance or mean, rel=1e-3)


def test_forecast_intervals_cover_what_comes():
    """Negative binomial demand, mean 20, variance 60: the 10-90 % band of four weeks holds about 80 %."""
    rng, inside = np.random.default_rng(3), 0
    for _ in range(300):
        weeks = rng.negative_binomial(10, 1 / 3, 30).astype(float)
        demand = forecast_demand(weeks[:26], 4, half_life=26)
        inside += demand.quantile(0.1) <= weeks[26:].sum() <= demand.quantile(0.9)
    assert 0.74 <= inside / 300 <= 0.92


def test_a_forecast_of_nothing_is_refused():
    with pytest.raises(DataError, match="at least one past period"):
        forecast_demand(np.zeros(0))
    with pytest.raises(DataError, match="cases or pallets"):
        build_demand(1e6)


def test_draws_of_a_market_are_a_demand():
    rng = np.random.default_rng(1)
    found = demand_of_draws(rng.poisson(6.0, 20_000))
    assert found.mean == pytest.approx(6.0, abs=0.06)
    assert newsvendor_quantity(found, 2.0, 1.0) == newsvendor_quantity(build_demand(6.0), 2.0, 1.0)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(0, 6), st.integers(2, 9), st.floats(0.5, 0.95))
def test_orders_under_breaks_equal_a_search_of_every_quantity(pack, least, at, rebate):
    tiers = (Tier(0, 6.0), Tier(at, 6.0 * rebate))
    found = best_order(Item("jam", UNIFORM, 10.0, tiers, pack=pack, least=least, salvage=1.0))
    best = -np.inf
    for q in range(0, 30, pack):
        if q and q < least:
            continue
        cost = tiers[1].cost if q >= at else tiers[0].cost
        sold = sum(min(d, q) for d in range(11)) / 11
        best = max(best, 10 * sold + 1.0 * (q - sold) - cost * q)
    assert found.profit == pytest.approx(best)
    assert found.units % pack == 0
    assert found.units == 0 or found.units >= least


def test_the_reorder_policy_is_the_best_of_all_policies_by_simulation():
    """Its exact cost is that of a simulation, and no neighbouring (s, S) costs less."""
    per, lead = build_demand(3.0), build_demand(9.0)
    found = solve_reorder_policy(per, lead, holding=1.0, penalty=9.0, fixed=24.0)
    rng = np.random.default_rng(5)
    demand = rng.poisson(3.0, 60_000)

    def simulate(s: int, S: int) -> float:
        position, orders, held = S, 0, 0.0
        units = np.arange(len(lead.probability))
        G = [
            float(lead.probability @ (np.maximum(y - units, 0) + 9.0 * np.maximum(units - y, 0)))
            for y in range(-40, 80)
        ]
        for d in demand:
            if position <= s:
                orders += 1
                position = S
            held += G[position + 40]
            position -= d
        return (24.0 * orders + held) / len(demand)

    assert simulate(found.reorder, found.up_to) == pytest.approx(found.cost, rel=0.02)
    for ds, dS in all_pairs((-2, 0, 2), (-3, 0, 3)):
        if ds or dS:
            assert simulate(found.reorder + ds, found.up_to + dS) > found.cost * 0.985


def test_a_plan_within_a_budget_equals_a_search_of_all_menus():
    rng = np.random.default_rng(7)
    items = [
        Item(
            f"p{i}", build_demand(float(rng.uniform(2, 6)), float(rng.uniform(6, 12))),
            float(rng.uniform(8, 14)),
            (Tier(0, float(rng.uniform(4, 6))), Tier(6, float(rng.uniform(3, 4)))), pack=3,
        )
        for i in range(3)
    ]  # fmt: skip
    found = plan_orders(items, budget=45.0)
    menus = [menu_of(item) for item in items]
    best = max(
        sum(m[2][k] for m, k in zip(menus, choice, strict=True))
        for choice in all_pairs(*(range(len(m[0])) for m in menus))
        if sum(m[0][k] * m[1][k] for m, k in zip(menus, choice, strict=True)) <= 45.0 + 1e-9
    )
    assert found.profit == pytest.approx(best, rel=1e-6)
    assert found.spent <= 45.0 + 1e-6
    richer = plan_orders(items, budget=54.0)
    assert found.budget_worth == pytest.approx((richer.profit - found.profit) / 9.0)
    assert plan_orders(items).profit > richer.profit >= found.profit


def test_limits_that_cannot_be_met_are_refused_with_a_sentence():
    item = Item("jam", UNIFORM, 10.0, (Tier(0, 5.0),), least=20, most=10)
    with pytest.raises(DataError, match="jam: the minimum order is 20 units but the supplier has 10"):
        plan_orders([item])
    with pytest.raises(DataError, match="budget must be at least 0"):
        plan_orders([Item("jam", UNIFORM, 10.0, (Tier(0, 5.0),))], budget=-1)


def test_no_money_orders_nothing():
    found = plan_orders([Item("jam", UNIFORM, 10.0, (Tier(0, 5.0),), least=2)], budget=0.0)
    assert [o.units for o in found.orders] == [0]
