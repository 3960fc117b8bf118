"""The shelves of the occasions room, week by week, as the incidence features and the market read them."""

from __future__ import annotations

import numpy as np

from malles.occasions.shelves import Shelves
from malles.profiles.incidence import Shelf


def shelves_by_week(shelves: Shelves) -> dict[int, Shelf]:
    """One `Shelf` per week over the same memory: a store and category without a slate has row -1.

    Args:
        shelves: `malles.occasions.shelves.build_shelves(catalogue, (first, last))`.
    """
    weeks, n_shelves, C, J = shelves.product.shape
    cell = shelves.shelf_of_store[:, None].astype(np.int64) * C + np.arange(C)
    place = np.arange(J, dtype=np.int32)
    found = {}
    for w in range(weeks):
        product = shelves.product[w].reshape(n_shelves * C, J)
        filled = product >= 0
        found[shelves.first_week + w] = Shelf(
            row=np.where(filled.any(1)[cell], cell, -1).astype(np.int32),
            product=product,
            price=shelves.price[w].reshape(n_shelves * C, J),
            list_price=shelves.list_price[w].reshape(n_shelves * C, J),
            promotion=shelves.promotion[w].reshape(n_shelves * C, J),
            rank=np.where(filled, place, np.int32(-1)),
        )
    return found
