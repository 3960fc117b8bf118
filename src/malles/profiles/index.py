"""Lines of a catalogue in the three orders in which features look them up.

Everything that a feature knows about the past is found by bisection in one of these orders, so that an
occasion needs no walk through time: (customer, category, time), (store, category, week), (customer,
manufacturer, time).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16, Int32, Int64, UInt8
from numpy import ndarray

from malles.profiles import state_kernels as kernels
from malles.vocabulary import Catalogue, Lines

SAME_PRICE = 0.98
"""A line counts as bought on discount below this part of its list price; prices are exact to about 1 %."""

DENSE_CELLS = 40_000_000
"""Upper bound of cells in the product-by-product matrices (160 MB each); larger categories are left out."""


@dataclass(frozen=True)
class HistoryIndex:
    """Eligible lines sorted by (customer, category, time, product), and where each segment begins."""

    segment: Int64[ndarray, " segment"]
    """customer * categories + category, ascending."""
    start: Int64[ndarray, " bound"]
    """First line of each segment; one longer than `segment`."""
    product: Int32[ndarray, " line"]
    timestamp: Int64[ndarray, " line"]
    """Time at which the line's basket ended: no line of an occasion's own basket lies before the occasion."""
    week: Int16[ndarray, " line"]
    quantity: Int32[ndarray, " line"]
    price: Float32[ndarray, " line"]
    discounted: Bool[ndarray, " line"]
    promotion: UInt8[ndarray, " line"]
    """What was announced for the product in the line's store and week."""
    first: Bool[ndarray, " line"]
    """Whether the customer had never bought the product before."""
    trip: Int64[ndarray, " line"]
    """Index of the first line of the same trip (segment and time)."""
    longest: int
    """Most lines in one segment."""


@dataclass(frozen=True)
class StoreIndex:
    """Eligible lines sorted by (store, category, week)."""

    segment: Int64[ndarray, " segment"]
    start: Int64[ndarray, " bound"]
    product: Int32[ndarray, " line"]
    customer: Int32[ndarray, " line"]
    week: Int16[ndarray, " line"]


@dataclass(frozen=True)
class CustomerIndex:
    """All lines, eligible or not, sorted by (customer, time), with running totals; and by manufacturer."""

    start: Int64[ndarray, " customer_bound"]
    timestamp: Int64[ndarray, " line"]
    total: Float64[ndarray, "line_bound 4"]
    """Running totals of private-label lines, discounted lines, baskets and spend, before each line."""
    manufacturer: Int32[ndarray, " line"]
    """Sorted by (customer, manufacturer, time), as is the next array."""
    manufacturer_time: Int64[ndarray, " line"]


@dataclass(frozen=True)
class Calendar:
    """Announced promotions by product and week: parts of the stores, in [0, 1]."""

    display: Float32[ndarray, "product week"]
    mailer: Float32[ndarray, "product week"]
    display_stores: Int32[ndarray, "product week"]
    mailer_stores: Int32[ndarray, "product week"]
    stores: Int32[ndarray, " week"]


def _ends_of_baskets(lines: Lines) -> Int64[ndarray, " line"]:
    """The last timestamp of every line's basket (nearly always the line's own)."""
    changed = np.flatnonzero((np.diff(lines.basket) != 0) | (np.diff(lines.timestamp) != 0)) + 1
    runs = lines.basket[np.concatenate([[0], changed])] if len(lines) else lines.basket
    if len(np.unique(runs)) == len(runs):
        return lines.timestamp
    _, code = np.unique(lines.basket, return_inverse=True)
    end = np.full(int(code.max()) + 1, np.iinfo(np.int64).min, np.int64)
    np.maximum.at(end, code, lines.timestamp)
    return end[code]


def _bounds(key: ndarray) -> tuple[ndarray, ndarray]:
    if not len(key):
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    start = np.concatenate([[0], np.flatnonzero(np.diff(key)) + 1, [len(key)]]).astype(np.int64)
    return key[start[:-1]], start


def build_history_index(catalogue: Catalogue) -> HistoryIndex:
    """Sort the eligible lines by (customer, category, time)."""
    lines, products = catalogue.lines, catalogue.products
    categories = max(len(catalogue.category_name), 1)
    end = _ends_of_baskets(lines)
    rows = np.flatnonzero(products.category[lines.product] >= 0)
    key = lines.customer[rows].astype(np.int64) * categories + products.category[lines.product[rows]]
    order = np.lexsort((lines.product[rows], end[rows], key))
    rows, key = rows[order], key[order]
    segment, start = _bounds(key)
    product, timestamp, week = lines.product[rows], end[rows], lines.week[rows]
    table = catalogue.promotions
    promotion = kernels.promotion_of_lines(
        week, lines.store[rows], product, table.week, table.store, table.product, table.kind
    )
    trip, first, longest = kernels.trips(start, product, timestamp, len(products))
    return HistoryIndex(
        segment=segment,
        start=start,
        product=product,
        timestamp=timestamp,
        week=week,
        quantity=lines.quantity[rows],
        price=lines.price[rows],
        discounted=lines.price[rows] < SAME_PRICE * lines.list_price[rows],
        promotion=promotion,
        first=first,
        trip=trip,
        longest=int(longest),
    )


def build_store_index(catalogue: Catalogue) -> StoreIndex:
    """Sort the eligible lines by (store, category, week)."""
    lines, products = catalogue.lines, catalogue.products
    categories = max(len(catalogue.category_name), 1)
    rows = np.flatnonzero(products.category[lines.product] >= 0)
    key = lines.store[rows].astype(np.int64) * categories + products.category[lines.product[rows]]
    order = np.lexsort((lines.week[rows], key))
    rows = rows[order]
    segment, start = _bounds(key[order])
    return StoreIndex(segment, start, lines.product[rows], lines.customer[rows], lines.week[rows])


def build_customer_index(catalogue: Catalogue) -> CustomerIndex:
    """Sort all lines by (customer, time) and by (customer, manufacturer, time)."""
    lines, products = catalogue.lines, catalogue.products
    customers = max(len(catalogue.customer_key), int(lines.customer.max(initial=-1)) + 1)
    end = _ends_of_baskets(lines)
    order = np.lexsort((lines.basket, end, lines.customer))
    customer, product, time = lines.customer[order], lines.product[order], end[order]
    new_basket = np.ones(len(order), bool)
    new_basket[1:] = (np.diff(lines.basket[order]) != 0) | (np.diff(customer) != 0)
    each = np.stack(
        [
            products.private_label[product],
            lines.price[order] < SAME_PRICE * lines.list_price[order],
            new_basket,
            lines.price[order].astype(np.float64) * lines.quantity[order],
        ],
        axis=1,
    ).astype(np.float64)
    total = np.zeros((len(order) + 1, 4))
    np.cumsum(each, axis=0, out=total[1:])
    manufacturer = products.manufacturer[product]
    by_maker = np.lexsort((time, manufacturer, customer))
    start = np.searchsorted(customer, np.arange(customers + 1)).astype(np.int64)
    return CustomerIndex(start, time, total, manufacturer[by_maker], time[by_maker])


def build_calendar(catalogue: Catalogue, weeks: int) -> Calendar:
    """Count the stores that announced each product in each week.

    Only rows of the promotion table are read, so that what is known is what was announced.
    """
    table, n = catalogue.promotions, len(catalogue.products)
    display, mailer, stores = kernels.count_promotions(
        table.week, table.store, table.product, table.kind, n, weeks, len(catalogue.store_key)
    )
    part = np.maximum(stores, 1).astype(np.float32)
    return Calendar(
        display=(display / part).astype(np.float32),
        mailer=(mailer / part).astype(np.float32),
        display_stores=display,
        mailer_stores=mailer,
        stores=stores,
    )
