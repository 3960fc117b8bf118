"""Catalogue → choice occasions, conditional on a purchase in the category (the form of benchmark v1).

Column 0 is the outside option and unavailable; columns 1 to J hold the slate, arranged by a hash of (basket,
category, product), which carries no information about the choice. A product outside the slate is never
appended:
such a purchase is dropped and counted, or, with `other=True`, is the last column OTHER.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Int32
from numpy import ndarray

from malles.occasions.choice_sets import build_hash_order, build_slate_index
from malles.occasions.events import Events, build_events
from malles.occasions.prices import build_price_index
from malles.occasions.promotions import build_promotion_index
from malles.occasions.rules import OccasionRules
from malles.vocabulary import OTHER, OUTSIDE, Catalogue, Occasions


@dataclass(frozen=True)
class OccasionBuild:
    """Occasions, and what became of every purchase event that is not among them."""

    occasions: Occasions
    coverage: pl.DataFrame
    """category, events, occasions, covered: per choice category the share of purchases inside the slate."""
    dropped: dict[str, int]
    """Purchase events left out, by reason, in the order in which the reasons are asked."""
    store_lines: Int32[ndarray, "occasion alternative"]
    """Lines of the product in the store in the weeks of the slate rule; hidden in the launch regime."""
    chain_lines: Int32[ndarray, "occasion alternative"]
    """Lines of the product in the chain in the weeks of the slate rule; hidden in the launch regime."""


def build_occasions(
    catalogue: Catalogue,
    rules: OccasionRules | None = None,
    weeks: tuple[int, int] | None = None,
    customers: Bool[ndarray, " customer"] | None = None,
    categories: Bool[ndarray, " category"] | None = None,
) -> OccasionBuild:
    """Every purchase event of a choice category as a choice among the slate of its store and week.

    Args:
        catalogue: coded data.
        rules: how slates are formed; benchmark v1 if not given.
        weeks: first and last week, both inclusive; everything from `rules.first_week` on if not given.
        customers: which customers' events to turn into occasions (all lines still inform prices and slates).
        categories: which choice categories.

    Returns:
        Occasions sorted by (customer, timestamp, basket, category), with coverage and dropped counts:
        events = occasions + sum of dropped.
    """
    rules = rules or OccasionRules()
    first, last = weeks or (rules.first_week, int(catalogue.lines.week.max(initial=0)))
    events, dropped = _selected(catalogue, rules, first, last, customers, categories)

    index = build_slate_index(catalogue)
    cell = (events.store.astype(np.int64) * (last + 1) + events.week) * len(
        catalogue.category_name
    ) + events.category
    _, one, key = np.unique(cell, return_index=True, return_inverse=True)
    slates = index.rank(events.store[one], events.category[one], events.week[one], rules)
    promotions = build_promotion_index(catalogue)
    announced = promotions.announced(slates.product, events.store[one], events.week[one])

    long_enough = slates.length[key] >= rules.min_alternatives
    dropped["slate too short"] = int((~long_enough).sum())
    inside = (slates.product[key] == events.product[:, None]).any(axis=1)
    coverage = _coverage(catalogue, events.category[long_enough], inside[long_enough])
    kept = long_enough if rules.other else long_enough & inside
    dropped["choice outside the slate"] = int((long_enough & ~kept).sum())
    events, key = events.take(np.flatnonzero(kept)), key[kept]

    order = build_hash_order(events.basket, events.category, slates.product[key])
    product = np.take_along_axis(slates.product[key], order, axis=1)
    price, list_price = build_price_index(catalogue).infer(
        product, events.store, events.week, events.customer
    )
    promotion = np.take_along_axis(announced[key], order, axis=1)
    promotions.add_coupons(promotion, product, events.customer, events.timestamp)
    rank = np.where(product >= 0, order, -1).astype(np.int16)
    found = product == events.product[:, None]
    chosen = np.where(found.any(axis=1), found.argmax(axis=1) + 1, rules.alternatives + 1).astype(np.int16)
    occasions = Occasions(
        customer=events.customer,
        store=events.store,
        basket=events.basket,
        week=events.week,
        timestamp=events.timestamp,
        category=events.category,
        product=_widen(product, OUTSIDE, OTHER, other=rules.other),
        price=_widen(price, 0, 0, other=rules.other),
        list_price=_widen(list_price, 0, 0, other=rules.other),
        promotion=_widen(promotion, 0, 0, other=rules.other),
        available=_widen(product >= 0, False, True, other=rules.other),
        rank=_widen(rank, -1, -1, other=rules.other),
        chosen=chosen,
        units=events.units,
    )
    lines = (
        np.take_along_axis(part[key], order, axis=1) for part in (slates.store_lines, slates.chain_lines)
    )
    return OccasionBuild(
        occasions, coverage, dropped, *(_widen(part, 0, 0, other=rules.other) for part in lines)
    )


def _selected(
    catalogue: Catalogue,
    rules: OccasionRules,
    first: int,
    last: int,
    customers: Bool[ndarray, " customer"] | None,
    categories: Bool[ndarray, " category"] | None,
) -> tuple[Events, dict[str, int]]:
    """Events in the asked weeks, stores, customers and categories, and the number left out by each reason."""
    events = build_events(catalogue)
    dropped: dict[str, int] = {}

    def keep(mask: ndarray, reason: str) -> None:
        nonlocal events
        dropped[reason] = int((~mask).sum())
        events = events.take(np.flatnonzero(mask))

    keep((events.week >= first) & (events.week <= last), "other weeks")
    if customers is not None:
        keep(customers[events.customer], "other customers")
    if categories is not None:
        keep(categories[events.category], "other categories")
    keep(catalogue.choice_store[events.store], "store with too few lines")
    if not rules.multi:
        keep(events.distinct == 1, "several products of the category in the basket")
    return events, dropped


def _widen(inner: ndarray, before: int, after: int, *, other: bool) -> ndarray:
    """Put column 0 (and, if asked, the column OTHER) around the slate."""
    rows, columns = inner.shape
    wide = np.empty((rows, columns + 1 + other), inner.dtype)
    wide[:, 0] = before
    wide[:, 1 : columns + 1] = inner
    if other:
        wide[:, -1] = after
    return wide


def _coverage(
    catalogue: Catalogue, category: Int32[ndarray, " event"], inside: Bool[ndarray, " event"]
) -> pl.DataFrame:
    """Events with a slate and the share of them whose product is on it, per choice category."""
    count = len(catalogue.category_name)
    events = np.bincount(category, minlength=count)
    covered = np.bincount(category, weights=inside, minlength=count)
    return pl.DataFrame(
        {
            "category": list(catalogue.category_name),
            "events": events,
            "inside": covered.astype(np.int64),
            "covered": np.where(events > 0, covered / np.maximum(events, 1), np.nan),
        }
    )
