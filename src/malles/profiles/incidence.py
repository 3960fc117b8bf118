"""What a household's past says of each category on a trip: the features of the incidence model.

    Lines → Purchases (trips x categories bought) → Memory → features [trip, category, feature]

Every feature of a trip comes from the customer's trips with a strictly earlier time, from chain aggregates
of earlier weeks, and from what the shelves announce for the week (price, discount, display, mailer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt8
from numpy import ndarray

from malles.errors import DataError
from malles.profiles.incidence_kernels import (
    FEATURE_NAMES,
    N_DAYPARTS,
    N_OFFER,
    Market,
    Memory,
    describe,
    describe_shelves,
    replay,
)
from malles.profiles.offer_kernels import offers
from malles.vocabulary import Lines

__all__ = [
    "FEATURE_NAMES",
    "History",
    "Purchases",
    "Shelf",
    "build_market",
    "build_purchases",
    "describe_trips",
]


@dataclass(frozen=True)
class Purchases:
    """Trips in order of (customer, time), and the categories bought on each (compressed rows)."""

    customer: Int32[ndarray, " trip"]
    store: Int32[ndarray, " trip"]
    basket: Int64[ndarray, " trip"]
    week: Int32[ndarray, " trip"]
    timestamp: Int64[ndarray, " trip"]
    start: Int64[ndarray, " trip_plus_one"]
    """Purchases of trip i are rows start[i] to start[i + 1]."""
    category: Int32[ndarray, " purchase"]
    item_start: Int64[ndarray, " purchase_plus_one"]
    """Items of purchase k are rows item_start[k] to item_start[k + 1]; at least one each."""
    item: Int32[ndarray, " item"]
    """Product code, the one with the most units first; negative = another product of the category."""
    item_units: Int32[ndarray, " item"]

    def __len__(self) -> int:
        return len(self.customer)

    @cached_property
    def trip(self) -> Int64[ndarray, " purchase"]:
        """The trip of each purchase."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.start))

    @cached_property
    def units(self) -> Int32[ndarray, " purchase"]:
        """Units of all products of the category."""
        if not len(self.item):
            return np.zeros(0, np.int32)
        return np.add.reduceat(self.item_units, self.item_start[:-1]).astype(np.int32)

    @cached_property
    def distinct(self) -> Int32[ndarray, " purchase"]:
        """Distinct products of the category."""
        return np.diff(self.item_start).astype(np.int32)

    @cached_property
    def product(self) -> Int32[ndarray, " purchase"]:
        """The product with the most units."""
        return self.item[self.item_start[:-1]] if len(self.item) else np.zeros(0, np.int32)

    @cached_property
    def purchase_of_item(self) -> Int64[ndarray, " item"]:
        """The purchase of each item."""
        return np.repeat(np.arange(len(self.category), dtype=np.int64), np.diff(self.item_start))

    def take(self, mask: ndarray) -> Purchases:
        """The trips where `mask` is true, in the same order."""
        rows = np.repeat(mask, np.diff(self.start))
        items = np.repeat(rows, np.diff(self.item_start))
        return Purchases(
            self.customer[mask], self.store[mask], self.basket[mask], self.week[mask], self.timestamp[mask],
            _starts(np.diff(self.start)[mask]), self.category[rows], _starts(np.diff(self.item_start)[rows]),
            self.item[items], self.item_units[items],
        )  # fmt: skip

    def before(self, week: int) -> Purchases:
        """The trips of earlier weeks."""
        return self.take(self.week < week)

    def units_by_week(self, weeks: ndarray, n_categories: int) -> Float64[ndarray, "category week"]:
        """Units of every category in each of `weeks`: all products, in the slate or not."""
        table = np.zeros((n_categories, len(weeks)))
        week = self.week[self.trip]
        for i, w in enumerate(weeks):
            rows = week == w
            table[:, i] = np.bincount(self.category[rows], self.units[rows], minlength=n_categories)
        return table


def build_purchases(lines: Lines, category: Int32[ndarray, " product"]) -> Purchases:
    """Order lines added up to trips and to the categories bought on them.

    Args:
        lines: transactions; lines of products without a choice category still make a trip.
        category: choice category of every product code, -1 for none.
    """
    order = np.lexsort((lines.basket, lines.timestamp, lines.customer))
    basket = lines.basket[order]
    new = np.ones(len(order), bool)
    new[1:] = (
        (basket[1:] != basket[:-1])
        | (np.diff(lines.customer[order]) != 0)
        | (np.diff(lines.timestamp[order]) != 0)
    )
    trip = np.cumsum(new) - 1
    head = order[new]
    code = category[lines.product[order]]
    rows = code >= 0
    t, c, p, q = trip[rows], code[rows], lines.product[order][rows], lines.quantity[order][rows]
    # one row per trip, category and product, the one with the most units first
    by = np.lexsort((p, c, t))
    t, c, p, q = t[by], c[by], p[by], q[by]
    first = np.ones(len(t), bool)
    first[1:] = (np.diff(t) != 0) | (np.diff(c) != 0) | (np.diff(p) != 0)
    at = np.flatnonzero(first)
    q = np.add.reduceat(q, at) if len(at) else q
    t, c, p = t[at], c[at], p[at]
    by = np.lexsort((p, -q, c, t))
    t, c, p, q = t[by], c[by], p[by], q[by]
    first = np.ones(len(t), bool)
    first[1:] = (np.diff(t) != 0) | (np.diff(c) != 0)
    at = np.flatnonzero(first)
    counts = np.bincount(t[at], minlength=len(head)) if len(head) else np.zeros(0, int)
    return Purchases(
        lines.customer[head].astype(np.int32), lines.store[head].astype(np.int32), lines.basket[head],
        lines.week[head].astype(np.int32), lines.timestamp[head], _starts(counts), c[at].astype(np.int32),
        _starts(np.diff(np.append(at, len(t)))), p.astype(np.int32), q.astype(np.int32),
    )  # fmt: skip


def join_purchases(parts: Sequence[Purchases]) -> Purchases:
    """Several tables of trips as one, sorted by (customer, time)."""
    customer = np.concatenate([x.customer for x in parts])
    timestamp = np.concatenate([x.timestamp for x in parts])
    basket = np.concatenate([x.basket for x in parts])
    order = np.lexsort((basket, timestamp, customer))
    start = _starts(np.concatenate([np.diff(x.start) for x in parts]))
    items = _starts(np.concatenate([np.diff(x.item_start) for x in parts]))
    rows, starts = _gather(start, order)
    item_rows, item_starts = _gather(items, rows)
    return Purchases(
        customer[order], np.concatenate([x.store for x in parts])[order], basket[order],
        np.concatenate([x.week for x in parts])[order], timestamp[order], starts,
        np.concatenate([x.category for x in parts])[rows], item_starts,
        np.concatenate([x.item for x in parts])[item_rows],
        np.concatenate([x.item_units for x in parts])[item_rows],
    )  # fmt: skip


def _starts(counts: ndarray) -> ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _gather(start: ndarray, order: ndarray) -> tuple[ndarray, ndarray]:
    """Rows of compressed groups taken in `order`, and where each group then starts."""
    counts = np.diff(start)[order]
    starts = _starts(counts)
    rows = np.arange(starts[-1]) - np.repeat(starts[:-1], counts) + np.repeat(start[:-1][order], counts)
    return rows, starts


@dataclass(frozen=True)
class Shelf:
    """What stands in the stores in one week: for every store and category a row of alternatives (no column
    0).
    """

    row: Int32[ndarray, "store category"]
    """Row of the arrays below; -1 where the store has no slate of the category."""
    product: Int32[ndarray, "shelf alternative"]
    """Product code; negative where there is none."""
    price: Float32[ndarray, "shelf alternative"]
    list_price: Float32[ndarray, "shelf alternative"]
    promotion: UInt8[ndarray, "shelf alternative"]
    rank: Int32[ndarray, "shelf alternative"]
    """0 = most popular."""

    def offer(self) -> Float64[ndarray, "shelf offer"]:
        """Popularity-weighted share on display, in the mailer, mean discount, and the deepest discount."""
        out = np.zeros((len(self.product), N_OFFER))
        offers(self.product, self.price, self.list_price, self.promotion, self.rank, out)
        return out

    def chain_offer(self) -> Float64[ndarray, "category offer"]:
        """The offer of each category averaged over its different shelves (stores sharing one count once)."""
        store, category = np.nonzero(self.row >= 0)
        rows, first = np.unique(self.row[store, category], return_index=True)
        total = np.zeros((self.row.shape[1], N_OFFER))
        np.add.at(total, category[first], self.offer()[rows])
        counts = np.bincount(category[first], minlength=self.row.shape[1])
        return np.asarray(total / np.maximum(counts, 1)[:, None])


def build_market(
    past: Purchases,
    week: int,
    shelf: Shelf,
    earlier_offers: Float64[ndarray, "week category offer"],
    n_stores: int,
) -> Market:
    """Aggregates of the weeks before `week`, and what is announced for it.

    Args:
        past: purchases; only weeks before `week` are looked at.
        week: the week to describe.
        shelf: the shelves of that week.
        earlier_offers: `Shelf.chain_offer` of up to eight earlier weeks; may be empty.
        n_stores: number of stores.
    """
    C = shelf.row.shape[1]
    if shelf.row.shape[0] != n_stores:
        raise DataError(
            f"shelf.row has {shelf.row.shape[0]} stores, expected {n_stores}; build it from the catalogue"
        )
    of_trip = past.trip
    when = past.week[of_trip]

    def rate(window: int) -> ndarray:
        rows = (when < week) & (when >= week - window)
        trips = float(((past.week < week) & (past.week >= week - window)).sum())
        return (np.bincount(past.category[rows], minlength=C) + 0.5) / (trips + 50.0)

    rates = {window: rate(window) for window in (1, 4, 8, 26)}
    rates[1] = (rates[1] + rates[8] * 0.25) / 1.25  # one week of a small category is mostly noise
    rows = (when < week) & (when >= week - 26)
    trips = (past.week < week) & (past.week >= week - 26)
    base = rates[26]
    baskets = np.diff(past.start)[trips].astype(float)
    mean_basket = float(max(baskets.sum() / max(trips.sum(), 1), 0.1))

    def tilt(place_of_trip: ndarray, n: int, strength: float) -> ndarray:
        cells = np.bincount(place_of_trip[of_trip[rows]] * C + past.category[rows], minlength=n * C).reshape(
            n, C
        )
        visits = np.bincount(place_of_trip[trips], minlength=n)[:, None]
        return np.asarray(np.log((cells + strength) / (visits * base + strength)))

    hour = (past.timestamp % 86400) / 3600.0
    weekend = ((past.timestamp // 86400 + 3) % 7 >= 5).astype(np.int64)
    part = np.digitize(hour, [10.0, 14.0, 18.0]) + 4 * weekend
    visits = np.bincount(past.store[trips], minlength=n_stores)
    store_basket = (np.bincount(past.store[trips], baskets, minlength=n_stores) + 20 * mean_basket) / (
        visits + 20
    )
    by_part = np.bincount(part[trips], minlength=N_DAYPARTS)
    part_basket = (np.bincount(part[trips], baskets, minlength=N_DAYPARTS) + 20 * mean_basket) / (
        by_part + 20
    )
    offer = shelf.offer()
    usual = earlier_offers[-8:, :, :3].mean(0) if len(earlier_offers) else shelf.chain_offer()[:, :3]
    return Market(
        rates[1], rates[4], rates[8], rates[26],
        tilt(past.store.astype(np.int64), n_stores, 20.0), tilt(part, N_DAYPARTS, 20.0),
        store_basket, np.log(part_basket / mean_basket), mean_basket,
        shelf.row, offer, usual, shelf.product, shelf.price, shelf.list_price, shelf.promotion,
    )  # fmt: skip


@dataclass(frozen=True)
class History:
    """The memory of every household up to some moment; `follow` moves it on in place."""

    memory: Memory
    group: Int32[ndarray, " category"]
    """Coarser group of each category."""

    @classmethod
    def empty(cls, n_customers: int, n_stores: int, group: Int32[ndarray, " category"]) -> History:
        """Households that have not bought anything yet."""
        H, C, G = n_customers, len(group), int(group.max(initial=0)) + 1
        f = np.float32
        hc = (H, C)
        memory = Memory(
            np.full(hc, np.nan), np.full(hc, np.nan),
            np.zeros(hc, np.int32), np.zeros(hc, f), np.zeros(hc, f),
            np.zeros(hc, f), np.zeros(hc, f), np.zeros(hc, f), np.zeros(hc, f), np.full(hc, -1, np.int32),
            np.zeros(hc, np.int32), np.zeros((H, G), f), np.zeros((H, G)), np.zeros(H, np.int32), np.zeros(H),
            np.zeros(H), np.zeros(H), np.zeros(H), np.zeros(H), np.zeros(H), np.zeros((H, n_stores), f),
            np.zeros((H, n_stores), f), np.zeros((H, N_DAYPARTS), f), np.zeros((H, N_DAYPARTS), f),
        )  # fmt: skip
        return cls(memory, group)

    def copy(self) -> History:
        """An independent copy, for a world of its own."""
        return replace(self, memory=Memory(*(part.copy() for part in self.memory)))

    def follow(
        self, trips: Purchases, market: Market | None = None, wanted: Int64[ndarray, " trip"] | None = None
    ) -> Float32[ndarray, "wanted category feature"]:
        """Remember `trips`, and describe those with wanted[i] >= 0 as they were strictly before they
        happened.

        Args:
            trips: in order of (customer, time), none earlier than what is remembered.
            market: needed when something is wanted.
            wanted: row of the result for each trip, -1 for none.
        """
        if wanted is None or market is None:
            wanted, market = np.full(len(trips), -1, np.int64), _no_market(len(self.group))
        n = int(wanted.max(initial=-1)) + 1
        out = np.zeros((n, len(self.group), len(FEATURE_NAMES)), np.float32)
        replay(
            self.memory, market, trips.customer, trips.store, trips.timestamp, trips.start, trips.category,
            trips.units, trips.product, self.group, wanted, out,
        )  # fmt: skip
        return out


def describe_trips(
    history: History,
    market: Market,
    customer: Int32[ndarray, " trip"],
    store: Int32[ndarray, " trip"],
    timestamp: Int64[ndarray, " trip"],
) -> Float32[ndarray, "trip category feature"]:
    """Features of every category for trips that have not happened yet."""
    out = np.zeros((len(customer), len(history.group), len(FEATURE_NAMES)), np.float32)
    describe(history.memory, market, customer, store, timestamp, history.group, out)
    return out


def redescribe_shelves(
    features: Float32[ndarray, "cell feature"],
    last_product: Int32[ndarray, " cell"],
    offer_past: Float64[ndarray, "cell three"],
    shelf: Shelf,
) -> Float32[ndarray, "cell feature"]:
    """The features with other shelves: row i of `shelf` is what cell i now meets; everything else stays.

    Args:
        features: features under the shelves that really stood there.
        last_product: the product each customer bought last in the category; negative = none.
        offer_past: usual display, mailer and discount of the category.
        shelf: one row per cell.
    """
    out = features.copy()
    describe_shelves(
        shelf.offer(),
        offer_past,
        last_product,
        shelf.product,
        shelf.price,
        shelf.list_price,
        shelf.promotion,
        out,
    )
    return out


def without_offers(features: Float32[ndarray, "cell feature"]) -> Float32[ndarray, "cell feature"]:
    """The features of a week in which nothing is announced or discounted; what is usual stays."""
    out = features.copy()
    at = FEATURE_NAMES.index
    for name in ("display", "mailer", "discount"):
        out[:, at(name + "_change")] -= out[:, at(name)]
        out[:, at(name)] = 0.0
    for name in ("deepest_discount", "last_discount", "last_display", "last_mailer"):
        out[:, at(name)] = 0.0
    return out


def _no_market(n_categories: int) -> Market:
    one, none = np.zeros(n_categories), np.zeros((0, 0))
    return Market(
        one, one, one, one, none, none, one, one, 1.0, np.zeros((0, 0), np.int32), none, none,
        np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32),
        np.zeros((0, 0), np.uint8),
    )  # fmt: skip
