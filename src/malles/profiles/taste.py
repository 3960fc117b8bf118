"""Tastes that reach across categories: products that the same households buy lie close to each other.

A[h, i] = log(households / buyers of i) / sqrt(products of h) where h has bought i, else 0. The leading
right singular vectors of A give every product a position; a customer stands at the weighted sum of what
it bought.

Source: latent semantic analysis, Deerwester et al. (1990); randomised range finder, Halko et al. (2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from malles.profiles.index import HistoryIndex

DIMENSIONS = 32
"""Length of a position; 64 gave no better choices than 32 on weeks 41-44."""

EVERY = 4
"""Weeks between two decompositions: week w uses the lines of weeks before EVERY * floor(w / EVERY)."""

FEWEST = 5
"""Products with fewer buyers have no position: their vectors would be noise."""

MOST_CUSTOMERS = 20_000
"""Customers that a decomposition reads, at equal steps of their codes: its cost stays bounded."""


@dataclass(frozen=True)
class Tastes:
    """Positions of products at one time."""

    position: Float32[ndarray, "product dimension"]
    """Zero for products with fewer than `FEWEST` buyers."""
    weight: Float32[ndarray, " product"]
    """log(households / buyers), the weight of a product in its buyers' positions."""


def build_tastes(
    history: HistoryIndex, *, week: int, categories: int, customers: int, products: int
) -> Tastes:
    """Positions of products from the lines of weeks before `week`.

    The customers' codes, not their number of lines, decide who is read: the answer depends on the past only.
    """
    from scipy.sparse import csr_matrix

    every = max(-(-customers // MOST_CUSTOMERS), 1)
    customer = np.repeat(history.segment // categories, np.diff(history.start))
    use = history.first & (history.week < week) & (customer % every == 0)
    customer, product = customer[use] // every, history.product[use]
    buyers = np.bincount(product, minlength=products)
    households = max(len(np.unique(customer)), 1)
    weight = np.where(buyers >= FEWEST, np.log(households / np.maximum(buyers, 1)), 0).astype(np.float32)
    weight = np.maximum(weight, 0)
    kept = weight[product] > 0
    customer, product = customer[kept], product[kept]
    position = np.zeros((products, DIMENSIONS), np.float32)
    if len(product) < 10 * DIMENSIONS:
        return Tastes(position, weight)
    columns, product = np.unique(product, return_inverse=True)
    rows, customer = np.unique(customer, return_inverse=True)
    count = np.bincount(customer)
    value = weight[columns[product]] / np.sqrt(count[customer]).astype(np.float32)
    matrix = csr_matrix((value, (customer, product)), shape=(len(rows), len(columns)), dtype=np.float32)
    turned = matrix.T.tocsr()
    # a fixed hash of the product code starts the search: no random numbers
    start = np.sin(np.outer(columns + 1.0, np.arange(1, DIMENSIONS + 9) * 12.9898)) * 43758.5453
    sample = matrix @ (start - np.floor(start) - 0.5).astype(np.float32)
    for _ in range(3):
        basis, _ = np.linalg.qr(sample)
        basis, _ = np.linalg.qr(turned @ basis)
        sample = matrix @ basis
    basis, _ = np.linalg.qr(sample)
    _, _, right = np.linalg.svd((turned @ basis).T, full_matrices=False)
    size = min(DIMENSIONS, len(right))
    position[columns, :size] = right[:size].T
    return Tastes(position, weight)
