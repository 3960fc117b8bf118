"""Purchase events: what a basket took of a choice category."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16, Int32, Int64
from numpy import ndarray

from malles.vocabulary import Catalogue


@dataclass(frozen=True)
class Events:
    """One row per (basket, product) of a choice category, by (customer, timestamp, basket, product)."""

    customer: Int32[ndarray, " event"]
    store: Int32[ndarray, " event"]
    basket: Int64[ndarray, " event"]
    week: Int16[ndarray, " event"]
    timestamp: Int64[ndarray, " event"]
    category: Int32[ndarray, " event"]
    product: Int32[ndarray, " event"]
    units: Int32[ndarray, " event"]
    distinct: Int32[ndarray, " event"]
    """Distinct products of the category in the basket."""

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, rows: ndarray) -> Events:
        """The events selected by an index or a mask, in that order."""
        return Events(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def build_events(catalogue: Catalogue) -> Events:
    """Add up the lines of choice categories to one row per (customer, basket, product)."""
    lines = catalogue.lines
    category = catalogue.products.category[lines.product]
    rows = np.flatnonzero(category >= 0)
    # products of one category have neighbouring codes, so sorting by product sorts by category
    by = (lines.product[rows], lines.basket[rows], lines.timestamp[rows], lines.customer[rows])
    rows = rows[np.lexsort(by)]
    customer, basket, product = lines.customer[rows], lines.basket[rows], lines.product[rows]
    fresh = _changes(customer, basket, product)
    first = np.flatnonzero(fresh)
    units = np.add.reduceat(lines.quantity[rows], first) if len(rows) else np.zeros(0, np.int64)
    rows = rows[first]
    group = np.cumsum(_changes(lines.customer[rows], lines.basket[rows], category[rows])) - 1
    distinct = np.bincount(group)[group] if len(rows) else group
    return Events(
        customer=lines.customer[rows],
        store=lines.store[rows],
        basket=lines.basket[rows],
        week=lines.week[rows],
        timestamp=lines.timestamp[rows],
        category=category[rows],
        product=lines.product[rows],
        units=units.astype(np.int32),
        distinct=distinct.astype(np.int32),
    )


def _changes(*columns: ndarray) -> ndarray:
    """True at the first row of every run of equal rows."""
    fresh = np.zeros(len(columns[0]), bool)
    fresh[:1] = True
    for column in columns:
        fresh[1:] |= column[1:] != column[:-1]
    return fresh
