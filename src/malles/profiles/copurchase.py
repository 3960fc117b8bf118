"""Which products are bought together: cosines of products over customers and over invoices.

    cosine[i, j] = customers (invoices) with both / sqrt(customers with i x customers with j + shrinkage)

Recomputed at the start of every month from the lines of earlier days.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numpy import ndarray
from scipy.sparse import csr_matrix, diags

from malles.data.named_lines import NamedLines

SHRINKAGE = 4.0
"""Products that few bought are alike by accident; this many buyers' worth of doubt is added."""

NEIGHBOURS, SPREAD = 10, 0.1
"""How many products lend their co-purchase, and how fast their weight falls with likeness."""


@dataclass(frozen=True)
class CoPurchase:
    """Cosines by product codes, from the lines before one day; the diagonal is zero."""

    before: int
    """Day, since 1970-01-01, from which on nothing was used."""
    customers: Float32[ndarray, "product product"]
    invoices: Float32[ndarray, "product product"]


def build_copurchase(lines: NamedLines, before: int) -> CoPurchase:
    """Co-purchase cosines from the lines of days before `before`."""
    past = lines.before(before)
    known = past.customer >= 0
    products = len(lines.names)
    return CoPurchase(
        before,
        _cosine(past.customer[known], past.product[known], products),
        _cosine(past.invoice, past.product, products),
    )


def monthly(day: Int32[ndarray, " occasion"]) -> Iterator[tuple[int, ndarray]]:
    """The first day of every month that occurs, and the rows of that month.

    >>> [(first, rows.tolist()) for first, rows in monthly(np.array([0, 40, 3], np.int32))]
    [(0, [0, 2]), (31, [1])]
    """
    months = day.astype("datetime64[D]").astype("datetime64[M]")
    for month in np.unique(months):
        first = (month.astype("datetime64[D]").astype(datetime.date) - datetime.date(1970, 1, 1)).days
        yield first, np.flatnonzero(months == month)


def carried(
    together: Float32[ndarray, "product product"],
    alike: Float32[ndarray, "product product"],
    lender: Bool[ndarray, " product"],
) -> Float32[ndarray, "product product"]:
    """Co-purchase that a product (row) borrows from the ten lenders most like it by name, never from itself.

        out[j, k] = sum over i of K[j, i] together[i, k],  K = softmax over the ten of alike / 0.1

    A context product k that is no lender borrows in the same way; nothing of the sales of a product outside
    `lender` is used, and it needs no past of its own.
    """
    score = np.where(lender, alike, np.float32(-9))
    np.fill_diagonal(score, -9)
    count = min(NEIGHBOURS, int(lender.sum()))
    near = np.argpartition(-score, count - 1, axis=1)[:, :count]
    weight = np.take_along_axis(score, near, 1) / np.float32(SPREAD)
    weight = np.exp(weight - weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    start = np.arange(0, near.size + 1, count)
    borrow = csr_matrix((weight.reshape(-1), near.reshape(-1), start), shape=score.shape)
    itself = diags(lender.astype(np.float32))
    read = (itself + diags((~lender).astype(np.float32)) @ borrow).tocsr()
    return np.ascontiguousarray((read @ (borrow @ together).T).T, np.float32)


def _cosine(bearer: ndarray, product: ndarray, products: int) -> Float32[ndarray, "product product"]:
    pairs = np.unique(bearer.astype(np.int64) * products + product)
    rows, columns = np.unique(pairs // products, return_inverse=True)[1].reshape(-1), pairs % products
    once = csr_matrix(
        (np.ones(len(pairs), np.float32), (rows, columns)), shape=(int(rows.max(initial=-1)) + 1, products)
    )
    together = np.asarray((once.T @ once).toarray(), np.float32)
    number = together.diagonal().copy()
    scale = 1 / np.sqrt(number + np.float32(SHRINKAGE))
    together *= scale[:, None]
    together *= scale
    np.fill_diagonal(together, 0)
    return together
