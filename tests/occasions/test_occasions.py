"""Occasions: built by hand, blind for the future and for the deciding customer."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from malles.errors import OccasionError
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.prices import build_price_index
from malles.occasions.rules import OccasionRules
from malles.occasions.shelves import build_shelves
from malles.occasions.trips import build_trip_categories, build_trips
from malles.vocabulary import OTHER, OUTSIDE, Catalogue, Occasions, PromotionTable

RULES = OccasionRules(alternatives=7, min_alternatives=3, first_week=5)


@pytest.fixture(scope="module")
def catalogue(random_market) -> Catalogue:
    return build_catalogue(random_market)


def assert_same(a: Occasions, b: Occasions) -> None:
    for field in fields(Occasions):
        left, right = getattr(a, field.name), getattr(b, field.name)
        assert left.dtype == right.dtype
        assert left.tobytes() == right.tobytes(), field.name


def test_occasions_of_the_tiny_market_by_hand(tiny, tiny_rules, tiny_occasion_rules):
    """Week 4 has five purchases with a slate of A and B; C in week 5 was never sold before."""
    catalogue = build_catalogue(tiny, tiny_rules)
    built = build_occasions(catalogue, tiny_occasion_rules, weeks=(4, 5))
    found = built.occasions
    assert len(found) == 5
    assert built.dropped["choice outside the slate"] == 1
    assert built.dropped["other weeks"] == 7
    assert (found.product[:, 0] == OUTSIDE).all()
    assert not found.available[:, 0].any()
    row = int(np.flatnonzero((found.customer == 0) & (found.store == 0))[0])
    at = int(found.chosen[row])
    assert found.product[row, at] == 0
    assert found.units[row] == 3
    assert found.price[row, at] == pytest.approx(4.0)
    assert found.promotion[row, at] == 3


def test_events_are_occasions_or_counted_as_dropped(catalogue):
    built = build_occasions(catalogue, RULES)
    everything = build_occasions(
        catalogue, replace(RULES, multi=True, other=True, min_alternatives=0), (1, 16)
    )
    assert len(built.occasions) + sum(built.dropped.values()) == len(everything.occasions)
    assert (
        np.take_along_axis(built.occasions.available, built.occasions.chosen[:, None].astype(int), 1)
    ).all()


def test_deleting_everything_from_a_week_on_leaves_earlier_occasions_byte_equal(catalogue):
    table = catalogue.promotions
    kept = table.week < 11
    past = replace(
        catalogue,
        lines=catalogue.lines.before(11),
        promotions=PromotionTable(*(getattr(table, f.name)[kept] for f in fields(table))),
    )
    for rules in (RULES, replace(RULES, multi=True, other=True)):
        assert_same(
            build_occasions(catalogue, rules, (5, 10)).occasions,
            build_occasions(past, rules, (5, 10)).occasions,
        )
    whole, part = build_shelves(catalogue, (5, 10), RULES), build_shelves(past, (5, 10), RULES)
    for name in ("product", "price", "list_price", "promotion"):
        assert getattr(whole, name).tobytes() == getattr(part, name).tobytes()


def test_slates_do_not_look_at_their_own_week(catalogue):
    """Deleting a week's lines (and asking for its shelves all the same) leaves the products on them."""
    past = replace(catalogue, lines=catalogue.lines.before(9))
    whole, part = build_shelves(catalogue, (9, 9), RULES), build_shelves(past, (9, 9), RULES)
    np.testing.assert_array_equal(whole.product, part.product)


def test_what_a_customer_pays_in_a_week_never_reaches_the_prices_of_its_own_occasions(catalogue):
    """All prices of week 12 of its busiest customer times 50: the occasions stay byte-equal."""
    lines = catalogue.lines
    busiest = int(np.bincount(lines.customer[lines.week == 12]).argmax())
    own = (lines.customer == busiest) & (lines.week == 12)
    assert own.sum() > 3
    dear = replace(
        catalogue,
        lines=replace(
            lines,
            price=np.where(own, lines.price * 50, lines.price).astype(np.float32),
            list_price=np.where(own, lines.list_price * 50, lines.list_price).astype(np.float32),
        ),
    )
    customers = np.arange(len(catalogue.customer_key)) == busiest
    before = build_occasions(catalogue, RULES, (12, 12), customers)
    after = build_occasions(dear, RULES, (12, 12), customers)
    assert len(before.occasions) > 0
    assert_same(before.occasions, after.occasions)


def test_prices_are_the_same_whether_or_not_the_customer_bought(catalogue):
    """Without the week's lines of the deciding customer, chosen and other prices stay byte-equal."""
    lines = catalogue.lines
    busiest = int(np.bincount(lines.customer[lines.week == 12]).argmax())
    customers = np.arange(len(catalogue.customer_key)) == busiest
    found = build_occasions(catalogue, RULES, (12, 12), customers).occasions
    stayed_home = replace(catalogue, lines=lines.take((lines.customer != busiest) | (lines.week != 12)))
    price, list_price = build_price_index(stayed_home).infer(
        found.product, found.store, found.week, found.customer
    )
    assert price.tobytes() == found.price.tobytes()
    assert list_price.tobytes() == found.list_price.tobytes()


def test_no_price_is_exact_only_because_it_was_chosen(catalogue):
    """Where stores do not differ, every alternative that others bought carries exactly the week's price.

    If the customer's own line were used, the chosen alone would be exact where nobody else bought it.
    """
    found = build_occasions(catalogue, RULES).occasions
    lines = catalogue.lines
    weekly = np.zeros((17, len(catalogue.products)), np.float32)
    weekly[lines.week, lines.product] = lines.price
    row, column = np.nonzero(found.available)
    exact = found.price[row, column] == weekly[found.week[row], found.product[row, column]]
    chosen = column == found.chosen[row]
    # bought by nobody else this week: carried forward. The customer's own purchase must not have helped:
    others = np.zeros(len(row), bool)
    sold = {(w, p, c) for w, p, c in zip(lines.week, lines.product, lines.customer, strict=True)}
    buyers: dict[tuple[int, int], set[int]] = {}
    for w, p, c in sold:
        buyers.setdefault((w, p), set()).add(c)
    for k in range(len(row)):
        cell = buyers.get((found.week[row[k]], found.product[row[k], column[k]]), set())
        others[k] = bool(cell - {found.customer[row[k]]})
    assert exact[others].all()
    assert chosen[others].sum() > 100
    stale = ~others
    assert (chosen & stale).sum() > 0


def test_multi_product_baskets_become_several_choices(catalogue):
    single, multi = build_occasions(catalogue, RULES), build_occasions(catalogue, replace(RULES, multi=True))
    assert single.dropped["several products of the category in the basket"] > 0
    assert len(multi.occasions) > len(single.occasions)
    assert "several products of the category in the basket" not in multi.dropped


def test_other_stands_for_purchases_outside_the_slate(catalogue):
    plain, other = build_occasions(catalogue, RULES), build_occasions(catalogue, replace(RULES, other=True))
    assert other.occasions.shape[1] == plain.occasions.shape[1] + 1
    assert (other.occasions.product[:, -1] == OTHER).all()
    took = other.occasions.chosen == other.occasions.shape[1] - 1
    assert int(took.sum()) == plain.dropped["choice outside the slate"] > 0
    assert other.dropped["choice outside the slate"] == 0


def test_shelves_hold_the_slates_of_occasions_and_gather_any_trip(catalogue):
    found = build_occasions(catalogue, RULES, (6, 9)).occasions
    shelves = build_shelves(catalogue, (6, 9), RULES)
    trips = build_trips(catalogue, (6, 9))
    where = {(b, c): k for k, (b, c) in enumerate(zip(trips.basket, trips.customer, strict=True))}
    trip = np.array([where[b, c] for b, c in zip(found.basket, found.customer, strict=True)])
    gathered = shelves.occasions(trips, found.category, trip, other=True)
    np.testing.assert_array_equal(gathered.product[:, 1:-1], found.product[:, 1:])
    np.testing.assert_array_equal(gathered.rank[:, 1:-1], found.rank[:, 1:])
    np.testing.assert_array_equal(gathered.promotion[:, 1:-1], found.promotion[:, 1:])
    assert gathered.available[:, 0].all()
    assert gathered.available[:, -1].all()
    with pytest.raises(OccasionError, match="weeks 6 to 9"):
        shelves.occasions(build_trips(catalogue, (10, 10)), np.array([0]), np.array([0]))


def test_a_store_that_is_no_choice_store_gets_the_shelf_of_the_chain(catalogue):
    closed = replace(catalogue, choice_store=np.array([True, False, True]))
    shelves = build_shelves(closed, (8, 8), RULES)
    assert shelves.shelf_of_store.tolist() == [0, 2, 1]
    lines = catalogue.lines
    recent = (lines.week < 8) & (catalogue.products.category[lines.product] == 0)
    count = np.bincount(lines.product[recent], minlength=9)[:9]
    assert shelves.product[0, 2, 0, 0] == count.argmax()


def test_trip_categories_add_up_to_the_units_of_the_lines(catalogue):
    table = build_trip_categories(catalogue, (6, 12), RULES)
    lines = catalogue.lines
    rows = (lines.week >= 6) & (lines.week <= 12) & (catalogue.products.category[lines.product] >= 0)
    assert table.units.sum() == lines.quantity[rows].sum()
    assert table.units_outside.sum() > 0
    pair = table.trip.astype(np.int64) * 3 + table.category
    assert (np.diff(pair) > 0).all()
    assert len(table.trips) == len(np.unique(lines.basket[(lines.week >= 6) & (lines.week <= 12)]))
    assert (table.distinct >= 1).all()
