"""Features from embedding vectors of products: is there one, and how close is it to what the customer bought.

    unit[p]           every known vector of product p at length 1, side by side, divided by √columns
    vector_known      whether product p has a vector in any column
    vector_near_mean  mean over the customer's earlier purchases q in the category of unit[p] · unit[q]
    vector_near_max   the largest of them
    vector_near_other mean over the customer's earlier purchases in other categories

Only purchases strictly before the occasion count. A product nobody has bought yet has a vector all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray

from malles.profiles import vector_kernels
from malles.profiles.index import HistoryIndex
from malles.vocabulary import Embedding, Occasions, Products

KNOWN_NAME = "vector_known"
NEAR_NAMES = ("vector_near_mean", "vector_near_max", "vector_near_other")


@dataclass(frozen=True)
class VectorIndex:
    """Vectors of length 1 by product, and every customer's lines in order of time."""

    unit: Float32[ndarray, "product dimension"]
    known: Bool[ndarray, " product"]
    start: Int64[ndarray, " customer_edge"]
    product: Int32[ndarray, " line"]
    time: Int64[ndarray, " line"]


def build_vector_index(
    products: Products, history: HistoryIndex, customer: ndarray, customers: int
) -> VectorIndex | None:
    """The vectors of all columns side by side; None if the products have none.

    Args:
        products: with their embedding columns.
        history: lines by customer and category.
        customer: of each of these lines.
        customers: how many there are.
    """
    if not products.embeddings:
        return None
    unit, known = unit_vectors(products.embeddings)
    order = np.lexsort((history.timestamp, customer))
    start = np.searchsorted(customer[order], np.arange(customers + 1)).astype(np.int64)
    return VectorIndex(unit, known, start, history.product[order], history.timestamp[order])


def unit_vectors(embeddings: tuple[Embedding, ...]) -> tuple[ndarray, ndarray]:
    """Every column at length 1, divided by √columns; and which products have a vector in any of them.

    >>> side = Embedding("image", np.array([[3.0, 4.0], [0.0, 0.0]], np.float32), np.array([True, False]))
    >>> unit_vectors((side,))[0].round(1).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    parts = []
    for e in embeddings:
        length = np.linalg.norm(e.vector.astype(np.float64), axis=1, keepdims=True)
        parts.append(np.where(e.known[:, None], e.vector / np.maximum(length, 1e-12), 0))
    unit = np.concatenate(parts, axis=1) / np.sqrt(len(parts))
    known = np.any([e.known for e in embeddings], axis=0)
    return unit.astype(np.float32), known


def vector_names(index: VectorIndex | None, *, own: bool) -> tuple[str, ...]:
    """Columns that products with vectors add: those of the customer's past only where it may be seen."""
    if index is None:
        return ()
    return (KNOWN_NAME, *NEAR_NAMES) if own else (KNOWN_NAME,)


def fill_vector_columns(
    index: VectorIndex,
    occasions: Occasions,
    ranges: Int64[ndarray, "occasion bound"],
    history: HistoryIndex,
    out: Float32[ndarray, "occasion alternative column"],
) -> None:
    """Write the columns of `vector_names` into `out`, which holds zeros.

    Args:
        index: of the catalogue.
        occasions: what is asked.
        ranges: lines of the customer in the category before each occasion, from column 0 to column 1.
        history: those lines.
        out: where to.
    """
    product = occasions.product
    out[:, :, 0] = (product >= 0) & index.known[np.maximum(product, 0)]
    if out.shape[2] > 1:
        vector_kernels.near_columns(
            np.lexsort((occasions.timestamp, occasions.customer)), occasions.customer, occasions.timestamp,
            product, ranges, history.product, history.first,
            index.start, index.product, index.time, index.unit, index.known, out[:, :, 1:],
        )  # fmt: skip
