"""Cells to fit the incidence model on, collected week by week from the true history."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int32
from numpy import ndarray

from malles.errors import DataError
from malles.head.incidence import IncidenceData
from malles.profiles.incidence import History, Purchases, Shelf, build_market


def outside_share(purchases: Purchases, shelf: Shelf) -> ndarray:
    """Part of the products of each purchase that was not on the shelf; NaN where the store has none.

    Args:
        purchases: purchases of one week.
        shelf: the shelves of that week.
    """
    purchase = purchases.purchase_of_item
    trip = purchases.trip[purchase]
    row = shelf.row[purchases.store[trip], purchases.category[purchase]]
    found = (shelf.product[np.maximum(row, 0)] == purchases.item[:, None]).any(1)
    outside = np.bincount(purchase, ~found, minlength=len(purchases.category)) / purchases.distinct
    return np.where(shelf.row[purchases.store[purchases.trip], purchases.category] < 0, np.nan, outside)


def collect_cells(
    purchases: Purchases,
    shelves: Mapping[int, Shelf],
    group: Int32[ndarray, " category"],
    n_customers: int,
    first_week: int,
    last_week: int,
    *,
    rate: float = 0.06,
    trips: float = 1.0,
    rng: np.random.Generator,
) -> IncidenceData:
    """All purchases of the weeks and a random part `rate` of the cells without one, with causal features.

    Args:
        purchases: all trips up to `last_week` at least; earlier weeks are history.
        shelves: shelves of the weeks from `first_week` to `last_week`.
        group: coarser group of each category.
        n_customers: number of customers.
        first_week: first week to fit on.
        last_week: last week to fit on.
        rate: part of the cells without a purchase that is kept, (0, 1].
        trips: part of the trips that is looked at, (0, 1]; all of them are remembered.
        rng: draws the trips and the cells kept.
    """
    missing = [w for w in range(first_week, last_week + 1) if w not in shelves]
    if missing:
        raise DataError(f"shelves lack the weeks {missing}; build them for {first_week} to {last_week}")
    C = len(group)
    n_stores = shelves[first_week].row.shape[0]
    history = History.empty(n_customers, n_stores, group)
    history.follow(purchases.take(purchases.week < first_week))
    offers = np.zeros((0, C, 4))
    parts: list[tuple[ndarray, ...]] = []
    for week in range(first_week, last_week + 1):
        now, shelf = purchases.take(purchases.week == week), shelves[week]
        market = build_market(purchases, week, shelf, offers[-8:], n_stores)
        offers = np.concatenate([offers, shelf.chain_offer()[None]])
        looked = rng.random(len(now)) < trips
        wanted = np.where(looked, np.cumsum(looked) - 1, -1).astype(np.int64)
        X = history.follow(now, market, wanted)
        table = np.zeros((3, len(X), C))
        table[2] = np.nan
        rows = looked[now.trip]
        at = wanted[now.trip[rows]], now.category[rows]
        table[0][at], table[1][at] = now.units[rows], now.distinct[rows]
        table[2][at] = outside_share(now, shelf)[rows]
        trip, category = np.nonzero((table[0] > 0) | (rng.random(table[0].shape) < rate))
        cells = table[:, trip, category]
        parts.append((X[trip, category], category, cells[0], cells[1], cells[2]))
    features, category, units, products, other = (np.concatenate(part) for part in zip(*parts, strict=True))
    return IncidenceData(features, category, units, products, other, rate)
