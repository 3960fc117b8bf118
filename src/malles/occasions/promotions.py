"""Promotion bits of every alternative: display and mailer by store and week, coupons by customer and
moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32, Int64, UInt8
from numpy import ndarray

from malles.occasions.promotion_kernels import mark_offers, mark_promotions
from malles.vocabulary import Catalogue, Offers, Promotion


@dataclass(frozen=True)
class PromotionIndex:
    """Promotion rows by (week, store), coupons by customer."""

    row_start: Int64[ndarray, " week_store_edge"]
    row_product: Int32[ndarray, " row"]
    row_kind: UInt8[ndarray, " row"]
    stores: int
    offers: Offers
    offer_start: Int64[ndarray, " customer_edge"]

    def announced(
        self,
        product: Int32[ndarray, "row alternative"],
        store: Int[ndarray, " row"],
        week: Int[ndarray, " row"],
    ) -> UInt8[ndarray, "row alternative"]:
        """Display and mailer bits of every product in that store and week; 0 for a store without rows."""
        bits = np.zeros(product.shape, np.uint8)
        mark_promotions(
            product, store, week, self.row_start, self.stores, self.row_product, self.row_kind, bits
        )
        return bits

    def announced_by_most(
        self, product: Int32[ndarray, "row alternative"], week: Int[ndarray, " row"]
    ) -> UInt8[ndarray, "row alternative"]:
        """The bits that at least half of the stores with announcements in that week carry."""
        bits = np.zeros(product.shape, np.uint8)
        for w in np.unique(week).tolist():
            if (w + 1) * self.stores >= len(self.row_start):
                continue
            edges = self.row_start[w * self.stores : (w + 1) * self.stores + 1]
            active = int((np.diff(edges) > 0).sum())
            rows, (low, high) = week == w, (edges[0], edges[-1])
            if not active or not rows.any():
                continue
            codes = int(max(product[rows].max(), self.row_product[low:high].max())) + 1
            common = np.zeros(codes, np.uint8)
            for bit in (Promotion.DISPLAY, Promotion.MAILER, Promotion.MAILER_PAGE):
                carried = self.row_product[low:high][(self.row_kind[low:high] & bit) > 0]
                common |= np.where(2 * np.bincount(carried, minlength=codes) >= active, bit, 0).astype(
                    np.uint8
                )
            shown = product[rows]
            bits[rows] = np.where(shown >= 0, common[np.maximum(shown, 0)], 0)
        return bits

    def add_coupons(
        self,
        bits: UInt8[ndarray, "row alternative"],
        product: Int32[ndarray, "row alternative"],
        customer: Int32[ndarray, " row"],
        timestamp: Int64[ndarray, " row"],
    ) -> None:
        """Set the coupon bit, in place, where the customer holds a coupon for the product at that moment."""
        offers = self.offers
        if not len(offers.customer):
            return
        if offers.bundle_start is None or offers.bundle_product is None:
            count = len(offers.product)
            edges, members, code = np.arange(count + 1), offers.product, np.arange(count, dtype=np.int32)
        else:
            edges, members, code = offers.bundle_start, offers.bundle_product, offers.product
        mark_offers(
            product, customer, timestamp, self.offer_start, code, offers.start, offers.end,
            edges, members, np.uint8(Promotion.COUPON), bits,
        )  # fmt: skip


def build_promotion_index(catalogue: Catalogue) -> PromotionIndex:
    """Bounds of every (week, store) in the promotion table and of every customer in the offers."""
    table, stores = catalogue.promotions, len(catalogue.store_key)
    cell = table.week.astype(np.int64) * stores + table.store
    last = int(table.week.max(initial=0))
    return PromotionIndex(
        row_start=np.searchsorted(cell, np.arange((last + 1) * stores + 1)).astype(np.int64),
        row_product=table.product,
        row_kind=table.kind,
        stores=stores,
        offers=catalogue.offers,
        offer_start=np.searchsorted(
            catalogue.offers.customer, np.arange(len(catalogue.customer_key) + 1)
        ).astype(np.int64),
    )
