from dataclasses import replace

import numpy as np
import pytest

from malles.errors import ConfigError, OccasionError
from malles.scenarios.changes import Change, Delist, Display, Mailer, PriceChange, Scenario
from malles.scenarios.conflicts import require_consistent, require_shelves
from malles.scenarios.shelf_changes import Discount, Enter, PriceCap, PriceSchedule, RivalsFollow
from malles.vocabulary import OUTSIDE, PADDING, Occasions


def shop() -> Occasions:
    """Weeks 1, 2, 3; stores 0, 1, 0; products 5 (2.00) and 6 (3.00), list prices 2.50 and 3.00."""
    n = 3
    product = np.tile(np.array([OUTSIDE, 5, 6], np.int32), (n, 1))
    return Occasions(
        customer=np.arange(n, dtype=np.int32), store=np.array([0, 1, 0], np.int32),
        basket=np.arange(n, dtype=np.int64), week=np.arange(1, n + 1, dtype=np.int16),
        timestamp=np.arange(n, dtype=np.int64), category=np.zeros(n, np.int32), product=product,
        price=np.tile(np.array([0, 2, 3], np.float32), (n, 1)),
        list_price=np.tile(np.array([0, 2.5, 3], np.float32), (n, 1)),
        promotion=np.zeros((n, 3), np.uint8), available=product >= 0,
        rank=np.tile(np.array([-1, 0, 1], np.int16), (n, 1)), chosen=np.full(n, -1, np.int16),
        units=np.zeros(n, np.int32),
    )  # fmt: skip


def test_a_schedule_sets_the_price_of_each_week_named():
    after = PriceSchedule(5, ((1, 1.0), (3, 4.0))).apply(shop())
    np.testing.assert_allclose(after.price[:, 1], [1.0, 2.0, 4.0])
    np.testing.assert_allclose(after.list_price[:, 1], [2.5, 2.5, 4.0])


def test_a_discount_is_counted_from_the_list_price():
    """2.50 less 40 % is 1.50, whatever the net price was."""
    np.testing.assert_allclose(Discount(5, 0.4).apply(shop()).price[:, 1], 1.5)


def test_a_cap_lowers_what_is_dearer_and_leaves_the_rest():
    after = PriceCap((5, 6), 2.2).apply(shop())
    np.testing.assert_allclose(after.price[0], [0, 2.0, 2.2])
    np.testing.assert_allclose(after.list_price[0], [0, 2.2, 2.2])


@pytest.mark.parametrize("lead", [PriceChange(5, relative=-0.2), PriceChange(5, absolute=1.6)])
def test_rivals_pass_half_of_a_cut_through(lead: PriceChange):
    """The leader falls by 20 %, so the rival falls by 10 %: 3.00 to 2.70."""
    after = RivalsFollow(lead, (6,), 0.5).apply(shop())
    np.testing.assert_allclose(after.price, np.tile([0, 1.6, 2.7], (3, 1)), rtol=1e-6)


def test_rivals_follow_only_where_and_when_the_leader_moves():
    after = RivalsFollow(PriceChange(5, relative=0.5, weeks=(2,)), (6,), 1.0).apply(shop())
    np.testing.assert_allclose(after.price[:, 2], [3.0, 4.5, 3.0])
    np.testing.assert_allclose(after.list_price[:, 2], [3.0, 4.5, 3.0])


def test_a_pass_through_that_ends_below_zero_is_refused():
    with pytest.raises(OccasionError, match="zero or below"):
        RivalsFollow(PriceChange(5, relative=-0.6), (6,), 2.0).apply(shop())


def test_a_product_enters_where_it_is_missing_as_the_least_popular():
    before = Delist(6, stores=(0,)).apply(shop())
    after = Enter(6, 2.8, stores=(0,)).apply(before)
    assert after.product[:, -1].tolist() == [6, PADDING, 6]
    np.testing.assert_allclose(after.price[:, -1], [2.8, 0, 2.8])
    assert after.rank[:, -1].tolist() == [1, -1, 1]
    assert after.available[:, -1].tolist() == [True, False, True]


def test_a_product_that_stands_there_already_does_not_enter_twice():
    assert not Enter(6, 2.8).apply(shop()).available[:, -1].any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: PriceSchedule(5, ()),
        lambda: PriceSchedule(5, ((1, 1.0), (1, 2.0))),
        lambda: PriceSchedule(5, ((1, -1.0),)),
        lambda: Discount(5, 1.0),
        lambda: PriceCap((5,), 0.0),
        lambda: Enter(5, -1.0),
        lambda: RivalsFollow(PriceChange(5, relative=0.1), (5,), 0.5),
    ],
)
def test_impossible_numbers_are_refused(make):
    with pytest.raises(ConfigError):
        make()


CUT = PriceChange(5, relative=-0.1)


@pytest.mark.parametrize(
    "changes",
    [
        (CUT, PriceChange(5, absolute=1.0)),
        (CUT, Discount(5, 0.2)),
        (CUT, Display(5), Delist(5)),
        (Display(5), Display(5, on=False)),
        (Delist(5), Enter(5, 1.0)),
        (RivalsFollow(CUT, (6,), 0.5), PriceChange(6, relative=0.1)),
        (PriceSchedule(5, ((2, 1.0),)), PriceChange(5, relative=0.1, weeks=(2, 3))),
    ],
)
def test_changes_that_contradict_each_other_are_one_sentence(changes: tuple[Change, ...]):
    with pytest.raises(ConfigError, match="contradict each other"):
        require_consistent(changes)


@pytest.mark.parametrize(
    "changes",
    [
        (CUT, Display(5), Mailer(5), PriceChange(6, relative=0.1)),
        (replace(CUT, weeks=(1,)), PriceChange(5, absolute=1.0, weeks=(2,))),
        (replace(CUT, stores=(0,)), Delist(5, stores=(1,))),
        (CUT, PriceCap((5, 6), 2.0)),
        (Enter(7, 1.0), Display(7)),
        (Enter(7, 1.0), Discount(7, 0.1)),
    ],
)
def test_changes_that_go_together_are_accepted(changes: tuple[Change, ...]):
    require_consistent(changes)


def test_an_empty_shelf_is_refused_by_week_and_store():
    after = Scenario("gone", (Delist(5), Delist(6, stores=(1,)))).apply(shop())
    with pytest.raises(OccasionError, match=r"1 of 3 occasions without any product \(first: week 2, store 1"):
        require_shelves(after)


def test_a_price_of_zero_is_refused():
    free = replace(shop(), price=np.zeros((3, 3), np.float32))
    with pytest.raises(OccasionError, match=r"product 5 a price of 0\.00 in week 1"):
        require_shelves(free)
