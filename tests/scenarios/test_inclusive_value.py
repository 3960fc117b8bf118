"""What a changed shelf is worth: anchors, the change of the inclusive value, and its bound on incidence."""

from dataclasses import replace

import numpy as np
import pytest
from tests.scenarios.logit_markets import Logit, shelf_of

from malles.errors import OccasionError
from malles.scenarios.changes import Delist, Display, PriceChange, Scenario
from malles.scenarios.inclusive_value import (
    find_anchors,
    inclusive_change,
    measure_price_response,
    unchanged_cells,
)
from malles.scenarios.shelf_changes import Enter
from malles.vocabulary import Occasions

PRICES = np.array([[1.0, 2.0, 3.0], [2.0, 2.5, 1.0]])
SHELF = shelf_of(PRICES)
ALL = Scenario("all", tuple(PriceChange(p, relative=0.1) for p in range(3)))


def change_of(after: Occasions, response: float = 0.0, base: Occasions = SHELF) -> np.ndarray:
    ask = Logit()
    wide = ((0, 0), (0, after.shape[1] - base.shape[1]))
    anchors = find_anchors(base, after)
    return inclusive_change(
        anchors, np.pad(ask(base).probability, wide), ask(after).probability, response
    )  # fmt: skip


def known_change(after: Occasions, base: Occasions = SHELF) -> np.ndarray:
    """Change of log sum exp V, which the customers of this market follow."""
    return np.log(np.exp(Logit().utility(after)).sum(1) / np.exp(Logit().utility(base)).sum(1))


@pytest.mark.parametrize(
    "change",
    [PriceChange(1, relative=-0.2), Display(2), Delist(0), Enter(9, 1.5), PriceChange(1, relative=0.5)],
)
def test_the_change_is_that_of_the_log_sum(change):
    after = change.apply(SHELF)
    d = change_of(after)
    np.testing.assert_allclose(d, known_change(after), rtol=1e-6)
    assert (np.abs(d) > 0.01).all()


def test_a_row_on_which_nothing_changed_is_worth_what_it_was():
    after = PriceChange(1, relative=-0.2, weeks=(5,)).apply(replace(SHELF, week=np.array([5, 6], np.int16)))
    base = replace(SHELF, week=np.array([5, 6], np.int16))
    anchors = find_anchors(base, after)
    np.testing.assert_array_equal(anchors.touched, [True, False])
    d = change_of(after, base=base)
    assert d[0] > 0
    assert d[1] == 0


def test_all_prices_a_tenth_up_cost_twice_the_log_at_a_coefficient_of_two():
    after = ALL.apply(SHELF)
    np.testing.assert_allclose(change_of(after, 2.0), -2 * np.log(1.1), rtol=1e-6)
    np.testing.assert_allclose(known_change(after), -2 * np.log(1.1), rtol=1e-6)
    assert find_anchors(SHELF, after).by_price.all()


def test_one_product_gone_and_the_others_dearer_are_compared_by_those_that_stayed():
    after = Scenario("both", (Delist(0), *ALL.changes[1:])).apply(SHELF)
    np.testing.assert_allclose(change_of(after, 2.0), known_change(after), rtol=1e-6)


def test_everything_changed_and_not_by_price_alone_is_refused():
    after = Scenario("all", tuple(Display(p) for p in range(3))).apply(SHELF)
    with pytest.raises(OccasionError, match=r"2 of 2 occasions .* leave one product as it is"):
        find_anchors(SHELF, after)
    find_anchors(SHELF, Scenario("two", (Display(0), Display(1))).apply(SHELF))  # one left is enough


def test_added_columns_are_unchanged_where_they_are_empty():
    week = np.array([5, 6], np.int16)
    base = replace(SHELF, week=week)
    same = unchanged_cells(base, Enter(9, 1.5, weeks=(6,)).apply(base))
    np.testing.assert_array_equal(same[:, -1], [True, False])
    assert same[:, :-1].all()


def test_the_price_response_of_a_logit_is_its_coefficient():
    ask, lead = Logit(slope=1.3), Logit(slope=1.3)(SHELF).probability.argmax(1)
    tables = []
    for step in (-0.2, 0.2):
        price = SHELF.price.copy()
        price[np.arange(2), lead] *= 1 + step
        tables.append(ask(replace(SHELF, price=price)).probability)
    found = measure_price_response(ask(SHELF).probability, *tables, np.array([1.0, 5.0]), 0.2)
    assert found == pytest.approx(1.3, rel=1e-5)
    alone = np.array([[0.0, 1.0]])
    assert measure_price_response(alone, alone, alone, np.ones(1), 0.2) == 0.0  # nothing to compare with
