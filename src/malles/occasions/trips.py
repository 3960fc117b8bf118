"""Shopping trips, and what each trip took of every choice category: the table that incidence is learnt
from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16, Int32, Int64
from numpy import ndarray

from malles.occasions.choice_sets import build_slate_index
from malles.occasions.events import build_events
from malles.occasions.rules import OccasionRules
from malles.vocabulary import Catalogue


@dataclass(frozen=True)
class Trips:
    """Every basket, whatever it holds, sorted by (timestamp, basket)."""

    customer: Int32[ndarray, " trip"]
    store: Int32[ndarray, " trip"]
    basket: Int64[ndarray, " trip"]
    week: Int16[ndarray, " trip"]
    timestamp: Int64[ndarray, " trip"]

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, rows: ndarray) -> Trips:
        """The trips selected by an index or a mask, in that order."""
        return Trips(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class TripCategories:
    """One row per trip and choice category bought on it, sorted by (trip, category); the rest bought
    nothing of it.
    """

    trips: Trips
    trip: Int32[ndarray, " purchase"]
    """Row of `trips`."""
    category: Int32[ndarray, " purchase"]
    distinct: Int32[ndarray, " purchase"]
    """Distinct products of the category in the basket."""
    units_inside: Int32[ndarray, " purchase"]
    """Units of products on the slate of that store, category and week."""
    units_outside: Int32[ndarray, " purchase"]
    """Units of all other products of the category."""

    @property
    def units(self) -> Int32[ndarray, " purchase"]:
        """Units of the category."""
        total: ndarray = self.units_inside + self.units_outside
        return total


def build_trips(catalogue: Catalogue, weeks: tuple[int, int] | None = None) -> Trips:
    """All baskets of the weeks (first and last, both inclusive), also those without a choice category.

    A basket is one customer's lines of one order at one time.
    """
    lines = catalogue.lines
    rows = np.arange(len(lines))
    if weeks is not None:
        rows = np.flatnonzero((lines.week >= weeks[0]) & (lines.week <= weeks[1]))
    rows = rows[np.lexsort((lines.customer[rows], lines.basket[rows], lines.timestamp[rows]))]
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (
        (np.diff(lines.timestamp[rows]) != 0)
        | (np.diff(lines.basket[rows]) != 0)
        | (np.diff(lines.customer[rows]) != 0)
    )
    one = rows[fresh]
    columns = (lines.customer, lines.store, lines.basket, lines.week, lines.timestamp)
    return Trips(*(column[one] for column in columns))


def build_trip_categories(
    catalogue: Catalogue, weeks: tuple[int, int] | None = None, rules: OccasionRules | None = None
) -> TripCategories:
    """Trips of the weeks and what they took of every choice category, inside and outside the slate."""
    rules = rules or OccasionRules()
    trips = build_trips(catalogue, weeks)
    events = build_events(catalogue)
    if weeks is not None:
        events = events.take(np.flatnonzero((events.week >= weeks[0]) & (events.week <= weeks[1])))
    categories = len(catalogue.category_name)
    cell = (events.store.astype(np.int64) * (int(events.week.max(initial=0)) + 1) + events.week) * categories
    _, one, key = np.unique(cell + events.category, return_index=True, return_inverse=True)
    slates = build_slate_index(catalogue).rank(
        events.store[one], events.category[one], events.week[one], rules
    )
    inside = (slates.product[key] == events.product[:, None]).any(axis=1)

    by_basket = np.lexsort((trips.timestamp, trips.customer, trips.basket))
    known = _identity(trips.basket[by_basket], trips.customer[by_basket], trips.timestamp[by_basket])
    found = np.searchsorted(known, _identity(events.basket, events.customer, events.timestamp))
    trip = by_basket[found] if len(events) else found
    order = np.lexsort((events.category, trip))
    row, category = trip[order], events.category[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(row) != 0) | (np.diff(category) != 0)
    first = np.flatnonzero(fresh)
    units = events.units[order]

    def total(values: ndarray) -> ndarray:
        return np.add.reduceat(values, first).astype(np.int32) if len(first) else values.astype(np.int32)

    return TripCategories(
        trips=trips,
        trip=row[first].astype(np.int32),
        category=category[first],
        distinct=events.distinct[order][first],
        units_inside=total(units * inside[order]),
        units_outside=total(units * ~inside[order]),
    )


def _identity(basket: ndarray, customer: ndarray, timestamp: ndarray) -> ndarray:
    """A record per row that sorts by (basket, customer, timestamp)."""
    out = np.empty(len(basket), np.dtype([("b", np.int64), ("c", np.int64), ("t", np.int64)]))
    out["b"], out["c"], out["t"] = basket, customer, timestamp
    return out
