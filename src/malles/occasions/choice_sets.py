"""Slates: which products a shopper could have taken, judged from past weeks only.

    live  = products of the category with at least one chain sale in the 8 weeks before week w
    score = lines in this store in the 26 weeks before w + 5 x chain / total,
            where chain (total) counts the chain's lines of the product (the category) in the 8 weeks before w
    slate = the 20 best live products

The choice, the customer and the current week are not looked at, and a chosen product is never appended.
The score is computed in double precision in the order written; ties go to the smaller product code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int16, Int32, Int64
from numpy import ndarray

from malles.occasions.rules import OccasionRules
from malles.occasions.slate_kernels import count_weeks, hash_order, rank_slates
from malles.vocabulary import PADDING, Catalogue


@dataclass(frozen=True)
class Slates:
    """Slates in order of rank, one per asked (store, category, week)."""

    product: Int32[ndarray, "key alternative"]
    """Product codes, most popular first; PADDING behind the last."""
    store_lines: Int32[ndarray, "key alternative"]
    """Lines of the store (of the chain for a chain-wide slate) in its window."""
    chain_lines: Int32[ndarray, "key alternative"]
    """Lines of the chain in the weeks that decide whether a product is live."""

    @property
    def length(self) -> Int64[ndarray, " key"]:
        """Number of products in each slate."""
        count: ndarray = (self.product >= 0).sum(axis=1)
        return count


@dataclass(frozen=True)
class SlateIndex:
    """Lines of choice categories by store and week, and the chain's lines by week."""

    line_start: Int64[ndarray, " store_edge"]
    line_week: Int16[ndarray, " line"]
    line_product: Int32[ndarray, " line"]
    cumulative: Int32[ndarray, "week_edge product"]
    """Chain lines of each product in weeks < w."""
    category_start: Int64[ndarray, " category_edge"]
    """Products of choice category c are category_start[c] .. category_start[c + 1]."""
    chain: int
    """Store code that stands for the whole chain."""
    choice_store: Bool[ndarray, " store"]

    def rank(
        self,
        store: Int[ndarray, " key"],
        category: Int[ndarray, " key"],
        week: Int[ndarray, " key"],
        rules: OccasionRules,
    ) -> Slates:
        """The slate of every key; a store that is not a choice store gets the chain's slate."""
        return self.rank_codes(np.where(self.choice_store[store], store, self.chain), category, week, rules)

    def rank_codes(
        self,
        store: Int[ndarray, " key"],
        category: Int[ndarray, " key"],
        week: Int[ndarray, " key"],
        rules: OccasionRules,
    ) -> Slates:
        """The slate of every key, where `store` is a choice store or `chain`."""
        order = np.lexsort((week, store))
        shape = (len(order), rules.alternatives)
        product = np.full(shape, PADDING, np.int32)
        store_lines, chain_lines = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        rank_slates(
            store[order].astype(np.int32), category[order].astype(np.int32), week[order].astype(np.int32),
            self.line_start, self.line_week, self.line_product, self.cumulative, self.category_start,
            rules.live_weeks, rules.store_weeks, rules.chain_weight, product, store_lines, chain_lines,
        )  # fmt: skip
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return Slates(product[back], store_lines[back], chain_lines[back])


def build_slate_index(catalogue: Catalogue) -> SlateIndex:
    """Sort the lines of choice categories by (store, week); the chain is kept as one more store."""
    lines, category = catalogue.lines, catalogue.products.category
    eligible = int((category >= 0).sum())
    if (category[:eligible] < 0).any() or (np.diff(category[:eligible]) < 0).any():
        raise ValueError("products of choice categories must come first, sorted by category")
    rows = np.flatnonzero(category[lines.product] >= 0)
    stores = len(catalogue.store_key)
    kept = rows[catalogue.choice_store[lines.store[rows]]]
    kept = kept[np.lexsort((lines.week[kept], lines.store[kept]))]
    everywhere = rows[np.argsort(lines.week[rows], kind="stable")]
    store = np.concatenate([lines.store[kept], np.full(len(everywhere), stores, np.int32)])
    rows = np.concatenate([kept, everywhere])
    last = int(lines.week.max(initial=0))
    weekly = count_weeks(lines.week[everywhere], lines.product[everywhere], last + 1, eligible)
    cumulative = np.zeros((last + 2, eligible), np.int32)
    np.cumsum(weekly, axis=0, out=cumulative[1:])
    return SlateIndex(
        line_start=np.searchsorted(store, np.arange(stores + 2)).astype(np.int64),
        line_week=lines.week[rows],
        line_product=lines.product[rows],
        cumulative=cumulative,
        category_start=np.searchsorted(
            category[:eligible], np.arange(len(catalogue.category_name) + 1)
        ).astype(np.int64),
        chain=stores,
        choice_store=catalogue.choice_store,
    )


def build_hash_order(
    basket: Int64[ndarray, " occasion"],
    category: Int32[ndarray, " occasion"],
    product: Int32[ndarray, "occasion alternative"],
) -> Int64[ndarray, "occasion alternative"]:
    """An arrangement of the columns that carries no information: by a hash of (basket, category, product).

    Columns without a product (negative codes) must stand last and stay there.
    """
    order = np.empty(product.shape, np.int64)
    hash_order(basket, category.astype(np.int64), product, order)
    return order
