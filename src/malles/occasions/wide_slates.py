"""Long shelves: the slate of an occasion widened from its choice category to the coarser group of products.

A catalogue whose choice categories are the groups goes through the same rules: slates from past weeks only,
the chosen product never appended. Slates are nested: the best 20 of a slate of 300 are the slate of 20.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from malles.errors import OccasionError
from malles.vocabulary import OUTSIDE, PADDING, Catalogue, Occasions


def widen_to_groups(catalogue: Catalogue) -> Catalogue:
    """The same catalogue with its groups as choice categories.

    Products outside every choice category stay outside: their prices cannot be inferred.

    Raises:
        OccasionError: the products of a group do not stand together, so they cannot be ranked as one shelf.
    """
    products = catalogue.products
    inside = products.category >= 0
    category = np.where(inside, products.group, -1).astype(np.int32)
    if (category[inside] < 0).any() or (np.diff(category[inside]) < 0).any():
        raise OccasionError(
            "Products of choice categories are not sorted by group, so groups cannot serve as shelves; "
            "build the catalogue with `build_catalogue`."
        )
    return replace(
        catalogue,
        products=replace(products, category=category),
        category_name=catalogue.group_name,
    )


def narrow_slates(occasions: Occasions, size: int) -> Occasions:
    """The occasions with the `size` best alternatives of each slate, in the order of the columns.

    Args:
        occasions: without the column OTHER; `rank` says which alternatives are best.
        size: alternatives that stay; shorter slates stay as they are.

    Returns:
        Occasions of the same choices with size + 1 columns. A choice that is not among the best is unknown
        (-1): it is not appended.
    """
    rank = occasions.rank[:, 1:]
    stays = (rank >= 0) & (rank < size)
    order = np.argsort(~stays, axis=1, kind="stable")[:, :size]
    kept = np.take_along_axis(stays, order, axis=1)

    def cut(values: np.ndarray, first: int, empty: int) -> np.ndarray:
        inner = np.where(kept, np.take_along_axis(values[:, 1:], order, axis=1), empty)
        out: np.ndarray = np.concatenate(
            [np.full((len(inner), 1), first, values.dtype), inner.astype(values.dtype)], axis=1
        )
        return out

    found = kept & (order + 1 == occasions.chosen[:, None])
    return replace(
        occasions,
        product=cut(occasions.product, OUTSIDE, PADDING),
        price=cut(occasions.price, 0, 0),
        list_price=cut(occasions.list_price, 0, 0),
        promotion=cut(occasions.promotion, 0, 0),
        available=np.concatenate([occasions.available[:, :1], kept], axis=1),
        rank=cut(occasions.rank, -1, -1),
        chosen=np.where(found.any(axis=1), found.argmax(axis=1) + 1, -1).astype(np.int16),
    )
