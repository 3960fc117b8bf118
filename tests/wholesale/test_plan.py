"""Plans against searches of every quantity: no other order of one product does better within the limits."""

from __future__ import annotations

from itertools import product as all_pairs
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malles.wholesale.demand import build_demand
from malles.wholesale.items import Item, Tier, menu_of, worth_of
from malles.wholesale.order import load_order
from malles.wholesale.plan import plan_orders
from malles.wholesale.talk import plan_file

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = [EXAMPLES / "order.toml", *sorted((EXAMPLES / "orders").glob("*.toml"))]


def every_quantity(item: Item) -> np.ndarray:
    """Nothing, or whole packs from the minimum on to far beyond what can be sold, at a bearable cost."""
    far = len(item.demand.probability) + 2 * item.pack + item.least + item.tiers[-1].least
    units = np.array([q for q in range(0, far, item.pack) if q == 0 or q >= item.least])
    units = units if item.most is None else units[units <= item.most]
    return units[(units == 0) | (worth_of(item, units)[0] <= item.walk_away)]


def assert_no_product_alone_does_better(items, plan, budget, shelf):
    for item, order in zip(items, plan.orders, strict=True):
        units = every_quantity(item)
        cost, profit = worth_of(item, units)
        money = plan.spent - order.units * order.cost + units * cost
        space = plan.space - order.units * item.space + units * item.space
        fits = (money <= (budget if budget is not None else np.inf) + 1e-9) & (
            space <= (shelf if shelf is not None else np.inf) + 1e-9
        )
        assert profit[fits].max() <= order.profit + 1e-6


@pytest.mark.parametrize("path", FILES, ids=[p.stem for p in FILES])
def test_no_quantity_of_one_product_betters_the_plan_of_a_shipped_file(path):
    order = load_order(path)
    items, plan = plan_file(order)
    assert plan.spent <= (order.order.budget or np.inf) + 1e-9
    assert_no_product_alone_does_better(items, plan, order.order.budget, order.order.shelf)


PRODUCTS = st.tuples(
    st.floats(0.5, 60), st.floats(1.0, 8.0), st.floats(2, 9), st.floats(1, 8), st.integers(2, 40),
    st.floats(0.4, 1.0), st.integers(1, 7), st.integers(0, 30), st.integers(0, 20), st.floats(0, 3),
)  # fmt: skip


def item_of(values) -> Item:
    mean, spread, price, cost, at, rebate, pack, least, stock, space = values
    return Item(
        "p", build_demand(mean, mean * spread), price, (Tier(0, cost), Tier(at, cost * rebate)),
        stock=stock, least=least, pack=pack, space=space, salvage=0.2 * cost,
    )  # fmt: skip


@settings(deadline=None, max_examples=15)
@given(PRODUCTS, st.floats(0, 200))
def test_the_plan_of_one_product_is_the_best_of_all_its_quantities(values, budget):
    item = item_of(values)
    plan = plan_orders([item], budget=budget)
    units = every_quantity(item)
    cost, profit = worth_of(item, units)
    assert plan.profit == pytest.approx(profit[units * cost <= budget + 1e-9].max(), abs=1e-6)
    assert plan_orders([item]).profit == pytest.approx(profit.max(), abs=1e-6)


@settings(deadline=None, max_examples=10)
@given(st.lists(PRODUCTS, min_size=2, max_size=5), st.floats(0, 300), st.none() | st.floats(0, 100))
def test_no_quantity_of_one_product_betters_a_plan(products, budget, shelf):
    items = [item_of(values) for values in products]
    plan = plan_orders(items, budget=budget, shelf=shelf)
    assert plan.spent <= budget + 1e-6
    assert_no_product_alone_does_better(items, plan, budget, shelf)


@settings(deadline=None, max_examples=15)
@given(st.lists(PRODUCTS, min_size=2, max_size=2), st.floats(10, 200), st.floats(5, 80))
def test_the_gap_bounds_the_distance_to_the_best_of_all_pairs(products, budget, shelf):
    items = [item_of(values) for values in products]
    plan = plan_orders(items, budget=budget, shelf=shelf)
    (a, cost_a, gain_a), (b, cost_b, gain_b) = (menu_of(item) for item in items)
    fits = (np.add.outer(a * cost_a, b * cost_b) <= budget + 1e-9) & (
        np.add.outer(a * items[0].space, b * items[1].space) <= shelf + 1e-9
    )
    best = np.where(fits, np.add.outer(gain_a, gain_b), -np.inf).max()
    assert plan.profit <= best + 1e-6
    assert plan.profit + plan.gap * plan.gain >= best - 1e-5


def test_hundreds_of_units_are_planned_to_the_single_unit():
    """Poisson demand of 500 at twice the cost: the median. Of two, 501 units all sell, each for 1 more."""
    one = Item("p", build_demand(500.0), 2.0, (Tier(0, 1.0),))
    (order,) = plan_orders([one]).orders
    assert order.units == one.demand.quantile(0.5)
    two = plan_orders([one, one], budget=501.0, seconds=0.5)
    assert sum(o.units for o in two.orders) == 501
    assert two.gain == pytest.approx(501.0, rel=1e-4)


def test_what_the_orders_add_is_told_apart_from_the_stock_at_hand():
    """Two are demanded for certain, one is at hand: 3.00 from stock, and 3 - 2 from a second one."""
    jam = Item("jam", build_demand(0.0), 3.0, (Tier(0, 2.0),), stock=1)
    sure = Item("jam", type(jam.demand)(np.array([0.0, 0.0, 1.0])), 3.0, (Tier(0, 2.0),), stock=1)
    plan = plan_orders([sure])
    assert (plan.orders[0].units, plan.profit, plan.gain) == (1, pytest.approx(4.0), pytest.approx(1.0))
    assert (plan_orders([jam]).gain, plan_orders([jam]).orders[0].units) == (0.0, 0)


def test_every_choice_of_small_menus_is_searched():
    """Three products of a seed: the plan is the best of all combinations, with a shelf as well."""
    rng = np.random.default_rng(11)
    items = [
        Item("p", build_demand(float(rng.uniform(2, 9))), 9.0, (Tier(0, 5.0), Tier(6, 4.0)), pack=2,
             space=float(rng.uniform(0.5, 2)))
        for _ in range(3)
    ]  # fmt: skip
    plan = plan_orders(items, budget=50.0, shelf=14.0)
    menus = [menu_of(item) for item in items]
    best = max(
        sum(m[2][k] for m, k in zip(menus, choice, strict=True))
        for choice in all_pairs(*(range(len(m[0])) for m in menus))
        if sum(m[0][k] * m[1][k] for m, k in zip(menus, choice, strict=True)) <= 50.0
        and sum(m[0][k] * i.space for m, k, i in zip(menus, choice, items, strict=True)) <= 14.0
    )
    assert plan.profit == pytest.approx(best, rel=1e-4)
