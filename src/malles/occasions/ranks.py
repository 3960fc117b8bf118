"""Popularity ranks of listed alternatives, where a table does not give them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int32, Int64
from numpy import ndarray

from malles.occasions.choice_sets import build_slate_index
from malles.occasions.rules import OccasionRules
from malles.vocabulary import Catalogue, Occasions


def build_ranks(occasions: Occasions, catalogue: Catalogue, rules: OccasionRules | None = None) -> ndarray:
    """Popularity ranks of the listed products by the slate rule on earlier weeks; products never sold come
    last.
    """
    rules = rules or OccasionRules()
    index = build_slate_index(catalogue)
    out = np.full(occasions.product.shape, -1, np.int16)
    widest = int(np.diff(index.category_start).max(initial=1))
    whole = replace(rules, alternatives=widest)
    rows = np.arange(len(occasions))
    for part in np.array_split(rows, max(1, len(rows) * widest // 2_000_000)):
        category = occasions.category[part]
        known = category >= 0
        product = occasions.product[part]
        place = np.where(product >= 0, widest, widest + 1)
        if known.any():
            slate = index.rank(
                occasions.store[part][known], category[known], occasions.week[part][known], whole
            )
            place[known] = _places(slate.product, product[known], widest)
        order = np.lexsort((product, place), axis=-1)
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(order.shape[1])[None, :], axis=1)
        out[part] = np.where(product >= 0, ranks, -1)
    return out


def _places(
    slate: Int32[ndarray, "row slot"], product: Int32[ndarray, "row alternative"], last: int
) -> Int64[ndarray, "row alternative"]:
    """Position of every product in the full ranking of its row; `last` if it is not live, later still if
    none.
    """
    place = np.where(product >= 0, last, last + 1).astype(np.int64)
    for j in range(product.shape[1]):
        hit = (slate == product[:, j : j + 1]) & (product[:, j : j + 1] >= 0)
        found = hit.any(axis=1)
        place[found, j] = hit[found].argmax(axis=1)
    return place
