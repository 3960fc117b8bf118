import numpy as np
import pytest

from malles.errors import DataError
from malles.profiles.incidence import (
    FEATURE_NAMES,
    History,
    Purchases,
    Shelf,
    build_market,
    build_purchases,
    describe_trips,
    join_purchases,
    redescribe_shelves,
)
from malles.vocabulary import Lines

WEEK = 7 * 86400
GROUP = np.array([0, 0, 1], np.int32)
CATEGORY = np.array([0, 0, 1, 2, -1], np.int32)
"""Products 0 and 1 are of category 0, 2 of 1, 3 of 2, 4 of none."""


def at(name: str) -> int:
    return FEATURE_NAMES.index(name)


def lines(rows: list[tuple[int, int, int, int, int, int]]) -> Lines:
    """Rows (customer, store, product, basket, day, units), one second past noon, sorted by time."""
    rows = sorted(rows, key=lambda r: (r[4], r[3], r[2]))
    c, s, p, b, day, q = (np.array(x) for x in zip(*rows, strict=True))
    n = len(rows)
    return Lines(
        c.astype(np.int32), s.astype(np.int32), p.astype(np.int32), b.astype(np.int64),
        (day // 7 + 1).astype(np.int16), (day * 86400 + 43200).astype(np.int64), q.astype(np.int32),
        np.ones(n, np.float32), np.ones(n, np.float32),
    )  # fmt: skip


def shelf(price: float = 1.0, promotion: int = 0, stores: int = 2) -> Shelf:
    """Every store carries categories 0 (products 0 and 1) and 1 (product 2); nobody category 2."""
    row = np.tile(np.array([0, 1, -1], np.int32), (stores, 1))
    product = np.array([[0, 1], [2, -3]], np.int32)
    return Shelf(
        row, product, np.array([[price, 1], [1, 0]], np.float32), np.array([[1, 1], [1, 0]], np.float32),
        np.array([[promotion, 0], [0, 0]], np.uint8), np.array([[0, 1], [0, -1]], np.int32),
    )  # fmt: skip


def random_lines(seed: int, days: int = 84, n: int = 900) -> Lines:
    rng = np.random.default_rng(seed)
    customer = rng.integers(0, 12, n)
    day = rng.integers(0, days, n)
    rows = [
        (int(c), int(c % 2), int(p), int(c * 1000 + d), int(d), int(q))
        for c, d, p, q in zip(customer, day, rng.integers(0, 5, n), rng.integers(1, 4, n), strict=True)
    ]
    return lines(rows)


def test_lines_add_up_to_trips_and_category_purchases():
    """One basket with two products of category 0 (1 + 3 units), one of category 1, one without a category."""
    p = build_purchases(
        lines([(0, 0, 0, 7, 1, 1), (0, 0, 1, 7, 1, 3), (0, 0, 2, 7, 1, 2), (0, 0, 4, 7, 1, 9)]), CATEGORY
    )
    assert len(p) == 1
    np.testing.assert_array_equal(p.category, [0, 1])
    np.testing.assert_array_equal(p.units, [4, 2])
    np.testing.assert_array_equal(p.distinct, [2, 1])
    np.testing.assert_array_equal(p.product, [1, 2])


def test_a_basket_without_a_choice_category_is_still_a_trip():
    p = build_purchases(lines([(0, 0, 4, 7, 1, 1)]), CATEGORY)
    assert len(p) == 1
    assert len(p.category) == 0


def test_no_unit_is_lost_on_the_way():
    table = random_lines(1)
    p = build_purchases(table, CATEGORY)
    assert p.units.sum() == table.quantity[CATEGORY[table.product] >= 0].sum()
    assert p.units_by_week(np.arange(1, 13), 3).sum() == p.units.sum()
    assert len(p) == len(np.unique(table.basket))


def test_parts_joined_are_the_whole():
    p = build_purchases(random_lines(2), CATEGORY)
    odd = p.customer % 2 == 1
    whole = join_purchases([p.take(odd), p.take(~odd)])
    for name in Purchases.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(whole, name), getattr(p, name), err_msg=name)


def describe_last_week(p: Purchases, week: int = 12) -> np.ndarray:
    history = History.empty(12, 2, GROUP)
    history.follow(p.before(week))
    now = p.take(p.week == week)
    market = build_market(p, week, shelf(), np.zeros((0, 3, 4)), 2)
    return history.follow(now, market, np.arange(len(now)))


def test_what_a_trip_buys_and_what_comes_after_it_leave_its_features_unchanged():
    """Delete the purchases of the last trip of every customer and all that follows: byte-equal features."""
    p = build_purchases(random_lines(3), CATEGORY)
    full = describe_last_week(p)
    now = np.flatnonzero(p.week == 12)
    last = np.append(p.customer[now][1:] != p.customer[now][:-1], True)
    keep = np.ones(len(p.category), bool)
    keep[np.isin(p.trip, now[last])] = False
    items = np.repeat(keep, np.diff(p.item_start))
    empty = Purchases(
        p.customer, p.store, p.basket, p.week, p.timestamp,
        np.concatenate([[0], np.cumsum(np.bincount(p.trip[keep], minlength=len(p)))]).astype(np.int64),
        p.category[keep], np.concatenate([[0], np.cumsum(np.diff(p.item_start)[keep])]).astype(np.int64),
        p.item[items], p.item_units[items],
    )  # fmt: skip
    assert len(empty.category) < len(p.category)
    np.testing.assert_array_equal(describe_last_week(empty), full)


def test_other_customers_of_the_same_week_are_not_seen():
    p = build_purchases(random_lines(4), CATEGORY)
    alone = p.take((p.week < 12) | (p.customer == 3))
    mine = p.customer[p.week == 12] == 3
    np.testing.assert_array_equal(describe_last_week(alone), describe_last_week(p)[mine])


def test_trips_at_the_same_second_do_not_see_each_other():
    p = build_purchases(lines([(0, 0, 0, 1, 1, 1), (0, 0, 0, 2, 80, 1), (0, 0, 0, 3, 80, 1)]), CATEGORY)
    X = describe_last_week(p)
    assert len(X) == 2
    np.testing.assert_array_equal(X[0], X[1])


def test_weeks_since_and_gap_by_hand():
    """Category 0 bought on days 0, 14, 28, next trip on day 77: 7 weeks since, mean gap 2 weeks."""
    p = build_purchases(
        lines([(0, 0, 0, 1, 0, 1), (0, 0, 0, 2, 14, 1), (0, 0, 0, 3, 28, 2), (0, 0, 3, 4, 77, 1)]), CATEGORY
    )
    X = describe_last_week(p)[0, 0]
    assert X[at("weeks_since")] == pytest.approx(np.log(7.1))
    assert X[at("mean_gap")] == pytest.approx(np.log(2.1))
    assert X[at("due")] == pytest.approx(np.log(7.1 / 2.1), rel=1e-5)
    assert X[at("gap_variation")] == pytest.approx(0.0, abs=1e-3)
    assert X[at("purchases")] == pytest.approx(np.log(4))
    assert X[at("last_units")] == pytest.approx(np.log(3))
    assert X[at("never_bought")] == 0
    assert describe_last_week(p)[0, 1, at("never_bought")] == 1


def test_the_shelf_is_read_for_the_offer_and_for_the_product_bought_last():
    history = History.empty(12, 2, GROUP)
    p = build_purchases(lines([(0, 0, 0, 1, 0, 1), (0, 0, 1, 2, 7, 1)]), CATEGORY)
    history.follow(p)
    past = np.zeros((1, 3, 4))
    market = build_market(p, 3, shelf(price=0.8, promotion=1), past, 2)
    who = np.array([0, 1], np.int32)
    X = describe_trips(history, market, who, np.zeros(2, np.int32), np.full(2, 15 * 86400))
    weight = (1 / 3) / (1 / 3 + 1 / 4)  # ranks 0 and 1
    assert X[0, 0, at("display")] == pytest.approx(weight)
    assert X[0, 0, at("discount")] == pytest.approx(0.2 * weight, rel=1e-5)
    assert X[0, 0, at("deepest_discount")] == pytest.approx(0.2, rel=1e-5)
    assert X[0, 0, at("display_change")] == pytest.approx(weight)
    assert X[0, 0, at("last_on_shelf")] == 1  # product 1, at full price and not displayed
    assert X[0, 0, at("last_discount")] == X[0, 0, at("last_display")] == 0
    assert X[1, 0, at("last_on_shelf")] == 0
    np.testing.assert_array_equal(X[:, 2, at("no_shelf")], 1)


def test_features_under_another_shelf_are_those_of_a_market_with_that_shelf():
    p = build_purchases(random_lines(5), CATEGORY)
    history = History.empty(12, 2, GROUP)
    history.follow(p)
    who = np.arange(12, dtype=np.int32)
    when = np.full(12, 85 * 86400)
    X = []
    for shelves in (shelf(), shelf(0.7, 3)):
        market = build_market(p, 13, shelves, np.zeros((1, 3, 4)), 2)
        X.append(describe_trips(history, market, who, who % 2, when)[:, 0])
    changed = shelf(0.7, 3)
    per_cell = Shelf(
        np.zeros((1, 1), np.int32), np.repeat(changed.product[:1], 12, 0),
        np.repeat(changed.price[:1], 12, 0),
        np.repeat(changed.list_price[:1], 12, 0), np.repeat(changed.promotion[:1], 12, 0),
        np.repeat(changed.rank[:1], 12, 0),
    )  # fmt: skip
    again = redescribe_shelves(X[0], history.memory.last_product[who, 0], np.zeros((12, 3)), per_cell)
    np.testing.assert_allclose(again, X[1], rtol=1e-6)
    assert not np.array_equal(X[0], X[1])


def test_every_feature_is_finite_for_a_stranger_and_for_a_regular():
    p = build_purchases(random_lines(6), CATEGORY)
    history = History.empty(13, 2, GROUP)
    history.follow(p)
    market = build_market(p, 13, shelf(), np.zeros((0, 3, 4)), 2)
    who = np.arange(13, dtype=np.int32)  # customer 12 was never seen
    X = describe_trips(history, market, who, who % 2, np.full(13, 85 * 86400))
    assert X.shape == (13, 3, len(FEATURE_NAMES))
    assert np.isfinite(X).all()


def test_a_copied_history_goes_its_own_way():
    p = build_purchases(random_lines(7), CATEGORY)
    one = History.empty(12, 2, GROUP)
    one.follow(p.before(6))
    other = one.copy()
    other.follow(p.take(p.week >= 6))
    assert one.memory.trips.sum() == len(p.before(6))
    assert other.memory.trips.sum() == len(p)


def test_shelves_of_other_stores_are_refused():
    p = build_purchases(random_lines(8), CATEGORY)
    with pytest.raises(DataError, match="2 stores, expected 5"):
        build_market(p, 3, shelf(), np.zeros((0, 3, 4)), 5)
