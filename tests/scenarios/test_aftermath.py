"""Shelves of later weeks, and two markets that follow a scenario."""

import numpy as np
import pytest

from malles.errors import ConfigError
from malles.profiles.incidence import Shelf
from malles.scenarios.aftermath import Aftermath, change_shelf, follow_scenario
from malles.scenarios.changes import Delist, Display, PriceChange, Scenario
from malles.scenarios.shelf_changes import Enter
from malles.vocabulary import PADDING
from scenarios.test_category_market import DECIDERS, WORLD

CUT = Scenario("cut", (PriceChange(0, relative=-0.4), Display(0)))


def two_stores() -> Shelf:
    """Category 0 on one row for both stores, category 1 on a row of store 1 alone."""
    return Shelf(
        np.array([[0, -1], [0, 1]], np.int32), np.array([[0, 1], [2, PADDING]], np.int32),
        np.array([[1, 2], [3, 0]], np.float32), np.array([[1, 2], [3, 0]], np.float32),
        np.zeros((2, 2), np.uint8), np.array([[0, 1], [0, -1]], np.int32),
    )  # fmt: skip


def test_a_change_reaches_the_stores_it_names_and_no_other_category():
    shelf = two_stores()
    after = change_shelf(shelf, Scenario("cut", (PriceChange(0, absolute=0.5, stores=(1,)),)), 0, 5)
    assert after.price[after.row[0, 0]].tolist() == [1, 2]
    assert after.price[after.row[1, 0]].tolist() == [0.5, 2]
    assert after.row[:, 1].tolist() == shelf.row[:, 1].tolist()
    assert after.price[after.row[1, 1]].tolist() == [3, 0]


def test_what_leaves_is_gone_and_what_enters_stands_last():
    after = change_shelf(two_stores(), Scenario("swap", (Delist(1), Enter(7, 1.5))), 0, 5)
    assert after.product[after.row[0, 0]].tolist() == [0, PADDING, 7]
    assert after.price[after.row[0, 0]].tolist() == [1, 0, 1.5]
    assert after.product[after.row[1, 1]].tolist() == [2, PADDING, PADDING]


def test_both_markets_are_alike_without_a_change_and_before_they_differ():
    same = follow_scenario(WORLD, DECIDERS, Scenario("same", ()), 0, 0, [4], after=2, seeds=[1])
    np.testing.assert_array_equal(same.product[:, 0], same.product[:, 1])
    assert np.isnan(same.dip()).all()


def test_a_cut_sells_more_while_it_lasts_and_is_followed_past_the_known_weeks():
    found = follow_scenario(WORLD, DECIDERS, CUT, 0, 0, [5], after=3, seeds=[1, 2])
    assert found.weeks == (5, 6, 7, 8)  # the shelves of 7 and 8 are not known
    change = found.product[:, 1] - found.product[:, 0]
    assert (change[:, 0] > 1).all()
    assert np.isfinite(found.product).all()


def test_the_dip_by_hand():
    """+10 and +2 during, -4 and +1 after: a quarter of what was gained is lost."""
    base = np.full(4, 50.0)
    category = np.stack([base, base + np.array([10, 2, -4, 1])])[None]
    assert Aftermath((1, 2, 3, 4), 2, category, category).dip() == pytest.approx([0.25])


def test_nothing_to_follow_is_refused():
    with pytest.raises(ConfigError, match="at least one week"):
        follow_scenario(WORLD, DECIDERS, CUT, 0, 0, [5], after=0, seeds=[1])
