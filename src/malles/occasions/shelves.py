"""What stood on every shelf: slates, prices and promotions by (week, store, category), ready for simulated
trips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int32, UInt8
from numpy import ndarray

from malles.errors import OccasionError
from malles.occasions.choice_sets import build_hash_order, build_slate_index
from malles.occasions.prices import build_price_index
from malles.occasions.promotions import PromotionIndex, build_promotion_index
from malles.occasions.rules import OccasionRules
from malles.occasions.trips import Trips
from malles.vocabulary import OTHER, OUTSIDE, PADDING, Catalogue, Occasions


@dataclass(frozen=True)
class Shelves:
    """Dense arrays by (week, shelf, category, alternative), in order of rank.

    There is one shelf per choice store and a last one for the whole chain, which every other store gets:
    ranked by chain sales, priced at the chain's price of the week, with the promotions that at least half of
    the stores with announcements in that week carry.
    """

    first_week: int
    shelf_of_store: Int32[ndarray, " store"]
    product: Int32[ndarray, "week shelf category alternative"]
    """PADDING where the slate is shorter; a slate below the rule's least length is empty."""
    price: Float32[ndarray, "week shelf category alternative"]
    """Nobody is left out of it: it is the price of the week, not of one decision."""
    list_price: Float32[ndarray, "week shelf category alternative"]
    promotion: UInt8[ndarray, "week shelf category alternative"]
    promotions: PromotionIndex
    """For the coupons of single customers."""

    @property
    def weeks(self) -> tuple[int, int]:
        """First and last week."""
        return self.first_week, self.first_week + self.product.shape[0] - 1

    def occasions(
        self,
        trips: Trips,
        category: Int[ndarray, " occasion"],
        trip: Int[ndarray, " occasion"],
        *,
        other: bool = False,
    ) -> Occasions:
        """Choice occasions of any trips and categories: a gather from the shelves.

        Column 0, buying nothing, is available; the choice is unknown (-1). Slate columns are arranged by
        the same hash as in `build_occasions`.

        Args:
            trips: real or invented trips.
            category: choice category of each occasion.
            trip: row of `trips` of each occasion.
            other: add the last column OTHER, available.

        Raises:
            OccasionError: a trip lies in a week without shelves.
        """
        week = trips.week[trip].astype(np.int64) - self.first_week
        if len(week) and (week.min() < 0 or week.max() >= self.product.shape[0]):
            first, last = self.weeks
            raise OccasionError(
                f"Trips lie in weeks {trips.week[trip].min()} to {trips.week[trip].max()}, but the shelves "
                f"cover weeks {first} to {last}; build shelves for those weeks."
            )
        at = (week, self.shelf_of_store[trips.store[trip]], category)
        product, customer, basket = self.product[at], trips.customer[trip], trips.basket[trip]
        order = build_hash_order(basket, category.astype(np.int32), product)

        def arrange(values: ndarray, before: int, after: int) -> ndarray:
            wide = np.empty((len(order), order.shape[1] + 1 + other), values.dtype)
            wide[:, 0] = before
            wide[:, 1 : order.shape[1] + 1] = np.take_along_axis(values, order, axis=1)
            if other:
                wide[:, -1] = after
            return wide

        promotion = self.promotion[at]
        self.promotions.add_coupons(promotion, product, customer, trips.timestamp[trip])
        rank = np.where(product >= 0, np.arange(product.shape[1], dtype=np.int16), np.int16(-1))
        return Occasions(
            customer=customer,
            store=trips.store[trip],
            basket=basket,
            week=trips.week[trip],
            timestamp=trips.timestamp[trip],
            category=category.astype(np.int32),
            product=arrange(product, OUTSIDE, OTHER),
            price=arrange(self.price[at], 0, 0),
            list_price=arrange(self.list_price[at], 0, 0),
            promotion=arrange(promotion, 0, 0),
            available=arrange(product >= 0, True, True),
            rank=arrange(rank, -1, -1),
            chosen=np.full(len(order), -1, np.int16),
            units=np.zeros(len(order), np.int32),
        )


def build_shelves(
    catalogue: Catalogue, weeks: tuple[int, int], rules: OccasionRules | None = None
) -> Shelves:
    """The shelf of every (store, category) in the weeks from first to last, both inclusive.

    Slates come from past weeks only; prices and promotions are those of the week itself.
    """
    rules = rules or OccasionRules()
    first, last = weeks
    stores, categories = np.flatnonzero(catalogue.choice_store), len(catalogue.category_name)
    index, prices = build_slate_index(catalogue), build_price_index(catalogue)
    promotions = build_promotion_index(catalogue)
    chain, count = len(stores), last - first + 1
    shape = (count, chain + 1, categories, rules.alternatives)
    week, shelf, category = (grid.ravel() for grid in np.indices(shape[:3]))
    week = week + first
    code = np.append(stores, -1)[shelf]
    slate = index.rank_codes(np.where(code < 0, index.chain, code), category, week, rules).product
    slate[(slate >= 0).sum(axis=1) < rules.min_alternatives] = PADDING
    price, list_price = prices.infer(slate, code, week, np.full(len(code), -1))
    promotion = promotions.announced(slate, code, week)
    at_chain = code < 0
    promotion[at_chain] = promotions.announced_by_most(slate[at_chain], week[at_chain])
    shelf_of_store = np.full(len(catalogue.store_key), chain, np.int32)
    shelf_of_store[stores] = np.arange(chain, dtype=np.int32)
    return Shelves(
        first_week=first,
        shelf_of_store=shelf_of_store,
        product=slate.reshape(shape),
        price=price.reshape(shape),
        list_price=list_price.reshape(shape),
        promotion=promotion.reshape(shape),
        promotions=promotions,
    )
