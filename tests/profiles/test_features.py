"""Features come from the past only, and say what their names say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.profiles.markets import DAY, WEEK, catalogue_of, keep_lines, occasions_of, random_market

from malles.errors import OccasionError
from malles.profiles.features import OTHERS_NAMES, OWN_NAMES, FeatureStore, build_features, with_prices
from malles.vocabulary import OTHER, Regime


@pytest.fixture(scope="module")
def market():
    return random_market()


def same(a, b):
    assert a.features.tobytes() == b.features.tobytes()
    assert a.context.tobytes() == b.context.tobytes()


@pytest.mark.parametrize("regime", [Regime.FULL, Regime.NOHIST])
def test_deleting_everything_from_the_cut_off_on_leaves_features_byte_equal(market, regime):
    """Each of 25 occasions is computed again from a catalogue that ends just before it."""
    catalogue, occasions = market
    everything = build_features(catalogue, occasions, regime)
    lines = catalogue.lines
    for i in range(0, len(occasions), len(occasions) // 25):
        one = occasions.take(np.array([i]))
        past = keep_lines(catalogue, lines.timestamp < occasions.timestamp[i])
        announced = catalogue.promotions
        shown = announced.week <= occasions.week[i]
        past = replace(
            past, promotions=replace(announced, **{k: getattr(announced, k)[shown] for k in vars(announced)})
        )
        same(everything.take(np.array([i])), build_features(past, one, regime))


def test_other_households_lines_of_the_same_week_are_not_read(market):
    catalogue, occasions = market
    week = int(occasions.week.max())
    late = occasions.take(np.flatnonzero(occasions.week == week)[:5])
    for i in range(len(late)):
        one = late.take(np.array([i]))
        lines = catalogue.lines
        keep = (lines.week < week) | (lines.customer == one.customer[0])
        same(build_features(catalogue, one), build_features(keep_lines(catalogue, keep), one))


def test_the_deciding_basket_is_not_read_even_if_its_lines_carry_earlier_times(market):
    catalogue, occasions = market
    lines = catalogue.lines
    time = lines.timestamp - (np.arange(len(lines)) % 3 == 0) * 600
    order = np.lexsort((lines.product, lines.basket, time))
    spread = replace(catalogue, lines=replace(lines, timestamp=time).take(order))
    some = occasions.take(np.arange(0, len(occasions), 20))
    for i in range(len(some)):
        one = some.take(np.array([i]))
        without = keep_lines(spread, spread.lines.basket != one.basket[0])
        same(build_features(spread, one), build_features(without, one))


def test_without_history_nothing_changes_when_the_customers_own_lines_are_deleted(market):
    catalogue, occasions = market
    everything = build_features(catalogue, occasions, Regime.NOHIST)
    for i in range(0, len(occasions), 10):
        one = occasions.take(np.array([i]))
        others = keep_lines(catalogue, catalogue.lines.customer != occasions.customer[i])
        found = build_features(others, one, Regime.NOHIST)
        same(everything.take(np.array([i])), found)


def test_moves_of_others_leave_the_deciding_customer_out():
    """Customer 0 alone ever went from product 0 to 1; others went from 0 to 2, so 2 is the likelier move."""
    rows, basket = [], 0
    for week in range(1, 9):
        basket += 1
        rows.append((0, 0, week % 2, basket, week, week * WEEK, 1, 1.0, 1.0))
        for customer in (1, 2, 3):
            basket += 1
            rows.append((customer, 0, 2 * (week % 2), basket, week, week * WEEK + DAY, 1, 1.0, 1.0))
    catalogue = catalogue_of(rows, [(0, 0, False, 0, 1.0)] * 3)
    rows_of = [(0, 0, 999, 9, 9 * WEEK, 0, 1)]
    data = build_features(catalogue, occasions_of(rows_of, [0, 1, 2]))
    follow = data.feature("follow_last")[0, 1:4]
    assert follow[2] > follow[1]
    assert data.feature("households")[0, 1:4] == pytest.approx(np.log([4, 1, 4]))
    assert data.feature("repeat_rate")[0, 1:4] == pytest.approx([1 / (9 + 3), 1 / 3, 1 / (12 + 3)])


def test_own_history_by_hand():
    """Weeks 1, 3, 5 (product 0, 1, 0; paid 2.00, 3.00 and 1.50 on discount), asked in week 8."""
    rows = [
        (0, 0, 0, 1, 1, 1 * WEEK, 1, 2.0, 2.0),
        (0, 0, 1, 2, 3, 3 * WEEK, 2, 3.0, 3.0),
        (0, 0, 0, 3, 5, 5 * WEEK, 4, 1.5, 2.0),
    ]
    catalogue = catalogue_of(rows, [(0, 5, False, 0, 1.0), (0, 6, True, 1, 2.0), (0, 5, False, 1, 1.0)])
    asked = occasions_of([(0, 0, 9, 8, 8 * WEEK, 0, 1)], [0, 1, 2], [3.0, 3.0, 3.0])
    data = build_features(catalogue, asked)
    get = lambda name: data.feature(name)[0, 1:4]  # noqa: E731
    assert get("own_lines") == pytest.approx([math.log(3), math.log(2), 0])
    assert get("own_share") == pytest.approx([2 / 3, 1 / 3, 0])
    d = [2 ** (-7 / 8) + 2 ** (-3 / 8), 2 ** (-5 / 8)]
    assert get("own_decay8") == pytest.approx([d[0] / (sum(d) + 0.2), d[1] / (sum(d) + 0.2), 0], rel=1e-5)
    assert get("own_trip_decay6") == pytest.approx([1.36 / 1.96, 0.6 / 1.96, 0])
    assert get("own_last").tolist() == [1, 0, 0]
    assert get("own_second").tolist() == [0, 1, 0]
    assert get("own_lag") == pytest.approx([1, 1 / 2, 0])
    assert get("own_weeks_since") == pytest.approx([math.log(4), math.log(6), math.log(61)])
    assert get("own_streak") == pytest.approx([math.log(2), 0, 0])
    assert get("own_gap") == pytest.approx([math.log(5), 0, 0])  # one gap of four weeks
    assert get("own_due") == pytest.approx([3 / 4, 0, 0])
    assert get("own_units_share") == pytest.approx([5 / 7, 2 / 7, 0])
    assert get("price_to_last_paid") == pytest.approx([math.log(2), 0, 0])
    assert get("price_to_mean_paid") == pytest.approx([math.log(3 / 1.75), 0, 0])
    assert get("own_discounted") == pytest.approx([0.5, 0, 0])
    assert get("own_mean_units") == pytest.approx([math.log(2.5), math.log(2), 0], abs=1e-3)
    w = [2 ** (-7 / 20) + 2 ** (-3 / 20), 2 ** (-5 / 20)]
    assert get("maker_share") == pytest.approx([w[0] / sum(w), w[1] / sum(w), w[0] / sum(w)], rel=1e-5)
    assert get("size_share") == pytest.approx([w[0] / sum(w), w[1] / sum(w), w[1] / sum(w)], rel=1e-5)
    context = dict(zip(data.context_names, data.context[0], strict=True))
    assert context["category_lines"] == pytest.approx(math.log(4))
    assert context["category_weeks_since"] == pytest.approx(math.log(4))
    assert context["category_repeat"] == pytest.approx(1 / 4)  # no repeat in two steps: (0 + 1) / (2 + 2)


def test_popularity_counts_others_by_weeks():
    """Three other households buy product 0 in week 7, one buys product 1 in week 2; asked in week 8."""
    rows = [(k, 0, 0, k, 7, 7 * WEEK, 1, 1.0, 1.0) for k in (1, 2, 3)]
    rows += [(4, 0, 1, 10, 2, 2 * WEEK, 1, 1.0, 1.0), (0, 0, 1, 11, 7, 7 * WEEK, 1, 1.0, 1.0)]
    catalogue = catalogue_of(rows, [(0, 0, False, 0, 1.0)] * 2)
    data = build_features(catalogue, occasions_of([(0, 0, 99, 8, 8 * WEEK, 0, 1)], [0, 1]), Regime.NOHIST)
    assert data.feature("chain_2")[0, 1:3] == pytest.approx([math.log(4), 0])
    assert data.feature("chain_8")[0, 1:3] == pytest.approx([math.log(4), math.log(2)])
    assert data.feature("store_26")[0, 1:3] == pytest.approx([math.log(4), math.log(2)])
    assert data.feature("chain_silence")[0, 1:3] == pytest.approx([math.log(2), math.log(7)])
    assert data.feature("store_share")[0, 1:3] == pytest.approx([3 / 4, 1 / 4])


def test_announced_promotions_are_shares_of_stores():
    rows = [(0, s, 0, s, 1, WEEK, 1, 1.0, 1.0) for s in range(2)]
    catalogue = catalogue_of(
        rows,
        [(0, 0, False, 0, 1.0)] * 2,
        stores=2,
        promotions=[(3, 0, 0, 1), (3, 0, 1, 2), (3, 1, 1, 2), (2, 0, 0, 1)],
    )
    asked = occasions_of([(0, 0, 9, 3, 3 * WEEK, 0, 1)], [0, 1], promotion=[1, 2])
    data = build_features(catalogue, asked)
    assert data.feature("chain_display")[0, 1:3] == pytest.approx([0.5, 0])
    assert data.feature("chain_mailer")[0, 1:3] == pytest.approx([0, 1])
    assert data.feature("chain_display_before")[0, 1:3] == pytest.approx([1, 0])
    assert data.feature("display")[0, 1:3].tolist() == [1, 0]
    assert data.feature("mailer")[0, 1:3].tolist() == [0, 1]


def test_a_batch_of_one_is_a_batch_of_many_in_any_order(market):
    catalogue, occasions = market
    everything = build_features(catalogue, occasions)
    store = FeatureStore(catalogue)
    for i in (len(occasions) - 1, 0, len(occasions) // 2):
        same(everything.take(np.array([i])), store.build(occasions.take(np.array([i]))))
    order = np.random.default_rng(1).permutation(len(occasions))
    same(everything.take(order), store.build(occasions.take(order)))


def test_a_reordered_slate_reorders_the_features(market):
    catalogue, occasions = market
    order = np.concatenate([[0], 1 + np.random.default_rng(2).permutation(occasions.shape[1] - 1)])
    turned = replace(
        occasions,
        **{name: getattr(occasions, name)[:, order]
           for name in ("product", "price", "list_price", "promotion", "available", "rank")},
    )  # fmt: skip
    a, b = build_features(catalogue, occasions), build_features(catalogue, turned)
    np.testing.assert_allclose(a.features[:, order], b.features, rtol=1e-4, atol=1e-4)


def test_columns_without_a_product_are_zero_and_nothing_is_nan(market):
    catalogue, occasions = market
    data = build_features(catalogue, occasions)
    assert np.isfinite(data.features).all()
    assert np.isfinite(data.context).all()
    assert not data.features[:, 0].any()
    other = occasions.product == OTHER
    assert (data.feature("is_other")[other] == 1).all()
    assert (data.feature("is_other")[~other] == 0).all()
    assert data.feature_names == OTHERS_NAMES + OWN_NAMES


def test_a_customer_and_a_store_nobody_knows_have_features_too(market):
    catalogue, occasions = market
    some = occasions.take(np.arange(5))
    stranger = replace(some, customer=np.full(5, -1, np.int32), store=np.full(5, 77, np.int32))
    data = build_features(catalogue, stranger)
    assert np.isfinite(data.features).all()
    assert not data.feature("own_lines").any()
    assert not data.feature("store_26").any()
    assert data.feature("chain_8").any()


def test_a_week_long_after_the_last_line_sees_an_empty_recent_past(market):
    catalogue, occasions = market
    later = occasions.take(np.arange(3))
    later = replace(later, week=later.week + 40, timestamp=later.timestamp + 40 * WEEK)
    store = FeatureStore(catalogue)
    first = store.build(occasions)
    data = store.build(later)
    assert not data.feature("chain_8").any()
    assert (data.feature("chain_all")[later.product >= 0] > -6).all()
    same(store.build(occasions), first)


def test_an_unknown_product_code_is_one_clear_sentence(market):
    catalogue, occasions = market
    wrong = replace(occasions, product=np.where(occasions.product >= 0, 10_000, occasions.product))
    with pytest.raises(OccasionError, match="build the occasions from the same catalogue"):
        build_features(catalogue, wrong)


@pytest.mark.parametrize("regime", [Regime.FULL, Regime.NOHIST])
def test_other_prices_give_what_building_anew_gives(market, regime):
    catalogue, occasions = market
    data = build_features(catalogue, occasions, regime)
    rng = np.random.default_rng(3)
    cheaper = replace(
        occasions,
        price=(occasions.price * rng.uniform(0.6, 1, occasions.shape)).astype(np.float32),
        promotion=rng.integers(0, 16, occasions.shape).astype(np.uint8),
    )
    quick, slow = with_prices(data, catalogue, cheaper), build_features(catalogue, cheaper, regime)
    np.testing.assert_allclose(quick.features, slow.features, atol=2e-5)
    np.testing.assert_array_equal(quick.context, slow.context)
    same(with_prices(data, catalogue, occasions), data)


def test_no_feature_of_the_present_price_ties_more_often_for_the_choice():
    """Prices carried forward must not show: with every price carried forward or not at random, a column that
    equals exactly zero as often for fresh as for stale prices cannot tell them apart."""
    catalogue, occasions = random_market(5, occasions=400)
    rng = np.random.default_rng(4)
    stale = rng.random(occasions.shape) < 0.5
    moved = np.where(stale, occasions.price, occasions.price * 1.003).astype(np.float32)
    data = build_features(catalogue, replace(occasions, price=moved), Regime.NOHIST)
    real = occasions.product >= 0
    checked = 0
    for name in OTHERS_NAMES:
        zero = data.feature(name) == 0
        if not zero[real].any():
            continue
        gap = zero[real & stale].mean() - zero[real & ~stale].mean()
        assert abs(gap) < 0.05, name
        checked += 1
    assert checked > 10
