"""What stands in every store in a week: slates by the rule of the occasions, with inferred prices and
promotions.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from malles.occasions.choice_sets import build_slate_index
from malles.occasions.prices import build_price_index
from malles.occasions.promotions import build_promotion_index
from malles.occasions.rules import OccasionRules
from malles.profiles.incidence import Shelf
from malles.vocabulary import Catalogue


def build_shelves(
    catalogue: Catalogue, weeks: Iterable[int], rules: OccasionRules | None = None
) -> dict[int, Shelf]:
    """The shelves of every week: slates from earlier weeks, this week's prices and announced promotions.

    A store with too few lines for a slate of its own gets the chain's, at the chain's prices and without
    promotions. Prices leave nobody out (an occasion of one customer does); coupons of single customers are
    not on a shelf.

    Args:
        catalogue: coded data.
        weeks: weeks to build; slates need a few weeks of history before.
        rules: how slates are formed; benchmark v1 if not given.
    """
    rules = rules or OccasionRules()
    slates, prices = build_slate_index(catalogue), build_price_index(catalogue)
    promotions = build_promotion_index(catalogue)
    own = np.flatnonzero(catalogue.choice_store)
    C = len(catalogue.category_name)
    # one more "store" -1 stands for the chain
    store = np.repeat(np.append(own, -1), C)
    category = np.tile(np.arange(C), len(own) + 1)
    elsewhere = np.flatnonzero(~catalogue.choice_store)
    shelves = {}
    for week in weeks:
        when = np.full(len(store), week)
        asked = np.where(store >= 0, store, elsewhere[0] if len(elsewhere) else own[0])
        table = slates.rank(asked, category, when, rules)
        kept = np.flatnonzero(table.length >= rules.min_alternatives)
        product = table.product[kept]
        price, full = prices.infer(product, store[kept], when[kept], np.full(len(kept), -1))
        promotion = promotions.announced(product, np.maximum(store[kept], 0), when[kept])
        promotion[store[kept] < 0] = 0
        row = np.full((len(catalogue.store_key) + 1, C), -1, np.int32)
        row[store[kept], category[kept]] = np.arange(len(kept))
        row[elsewhere] = row[-1]
        rank = np.where(product >= 0, np.arange(product.shape[1]), -1).astype(np.int32)
        shelves[int(week)] = Shelf(row[:-1].copy(), product, price, full, promotion, rank)
    return shelves
