"""Embedding columns of a product table: lists of numbers of one length, null where there is none."""

from __future__ import annotations

import polars as pl

from malles.errors import SchemaError

OTHER_LENGTH = "vector of another length"
NOT_FINITE = "vector not finite"


def is_vector(kind: pl.DataType) -> bool:
    """Whether a column holds vectors.

    >>> is_vector(pl.List(pl.Float64)), is_vector(pl.Array(pl.Float32, 3)), is_vector(pl.List(pl.String))
    (True, True, False)
    """
    return isinstance(kind, pl.List | pl.Array) and (kind.inner.is_numeric() or kind.inner == pl.Null)


def vector_columns(table: pl.DataFrame) -> list[str]:
    """Embedding columns of a table, in its order."""
    return [name for name, kind in table.schema.items() if is_vector(kind)]


def as_vectors(raw: pl.Series) -> pl.Series:
    """A column of vectors as lists of float32."""
    kind = pl.List(pl.Float32)
    return raw.arr.to_list().cast(kind) if isinstance(raw.dtype, pl.Array) else raw.cast(kind)


def vector_length(column: pl.Series) -> int:
    """The length that most vectors of a column have; 0 if all are missing.

    Raises:
        SchemaError: no length is that of at least half of the vectors.

    >>> vector_length(pl.Series("image", [[1.0, 2.0], None, [3.0, 4.0], [5.0]]))
    2
    """
    counted = as_vectors(column).drop_nulls().list.len().value_counts(name="n")
    if not counted.height:
        return 0
    best = counted.sort("n", counted.columns[0], descending=[True, False]).row(0)
    if 2 * best[1] < counted["n"].sum():
        shown = ", ".join(map(str, sorted(counted.to_series(0).to_list())[:4]))
        raise SchemaError(
            f"Column {column.name!r} holds vectors of {counted.height} lengths ({shown}, …), but an "
            "embedding has one; give all products vectors of the same model."
        )
    return int(best[0])


def vector_faults(name: str, length: int) -> dict[str, pl.Expr]:
    """What makes a vector unusable, by cause; a missing vector is no fault."""
    finite = pl.element().is_finite().fill_null(value=False)
    return {
        OTHER_LENGTH: pl.col(name).list.len() != length,
        NOT_FINITE: pl.col(name).list.eval(~finite).list.any(),
    }
