"""Families of products: those of one category and one size, whose popularity tends to drift together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from malles.vocabulary import Catalogue


def product_families(catalogue: Catalogue) -> Int64[ndarray, " product"]:
    """Family of every product code; -1 for products outside the choice categories or without a known size.

    On Complete Journey sizes helped calibration more than manufacturers or private labels did (log-loss one
    week ahead -.0022, -.0019, -.0018 against -.0017 without families, weeks 38 to 40).
    """
    category, size = catalogue.products.category.astype(np.int64), catalogue.products.size.astype(np.int64)
    known = (category >= 0) & (size >= 0)
    label = category * (int(size.max(initial=0)) + 1) + size
    family = np.full(len(label), -1, np.int64)
    family[known] = np.unique(label[known], return_inverse=True)[1].reshape(-1)
    return family
