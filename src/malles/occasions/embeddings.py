"""Embedding columns of the product table, coded by product."""

from __future__ import annotations

import numpy as np
import polars as pl

from malles.data.vectors import as_vectors, vector_columns, vector_faults, vector_length
from malles.errors import DataError
from malles.vocabulary import Embedding


def build_embeddings(table: pl.DataFrame) -> tuple[Embedding, ...]:
    """The vectors of every row; a column without any vector is left out.

    Raises:
        DataError: a vector has another length than the rest of its column, or holds no finite number.

    >>> found = build_embeddings(pl.DataFrame({"product": [1, 2], "image": [[0.5, 1.0], None]}))
    >>> found[0].name, found[0].vector.tolist(), found[0].known.tolist()
    ('image', [[0.5, 1.0], [0.0, 0.0]], [True, False])
    """
    made = []
    for name in vector_columns(table):
        column = as_vectors(table[name])
        length = vector_length(column)
        if not length:
            continue
        for cause, hit in vector_faults(name, length).items():
            wrong = column.to_frame().select(hit.fill_null(value=False).alias("hit"))["hit"]
            if wrong.any():
                first = table["product"].filter(wrong)[0]
                raise DataError(
                    f"products: {int(wrong.sum())} rows have a {cause} in {name!r} (expected {length} finite "
                    f"numbers or null), the first of product {first!r}; `malles import` sets such rows "
                    "aside."
                )
        known = column.is_not_null().to_numpy()
        vector = np.zeros((len(column), length), np.float32)
        if known.any():
            vector[known] = column.drop_nulls().explode().to_numpy().reshape(-1, length)
        made.append(Embedding(name, vector, known))
    return tuple(made)
