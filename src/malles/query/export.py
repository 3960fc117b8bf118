"""Answers on the disk or on the way to a spreadsheet: CSV and Parquet."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from malles.errors import QueryError, UsageError
from malles.store import write_whole

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How text begins that a spreadsheet would run as a formula."""


def check_output(path: Path) -> None:
    """Let a file name pass that says what is to be written.

    Raises:
        UsageError: it ends in neither .csv nor .parquet.
    """
    if path.suffix not in {".csv", ".parquet"}:
        raise UsageError(f"-o {path} should end in .csv or .parquet.")


def write_answer(frame: pl.DataFrame, path: Path) -> None:
    """Write an answer whole or not at all, as CSV or Parquet by its name.

    Raises:
        UsageError: the name ends in neither .csv nor .parquet.
        QueryError: a column holds lists and the file is CSV.
        StorageError: the disk is full or cannot be written.
    """
    check_output(path)
    text = as_csv(frame) if path.suffix == ".csv" else None
    with write_whole(path) as temporary:
        if text is None:
            frame.write_parquet(temporary, compression="zstd")
        else:
            temporary.write_text(text, encoding="utf-8", newline="")


def as_csv(frame: pl.DataFrame) -> str:
    """An answer as CSV; text that a spreadsheet would run as a formula gets an apostrophe in front.

    >>> print(as_csv(pl.DataFrame({"name": ["=1+1", "MILK"], "units": [-3, 4]})), end="")
    name,units
    '=1+1,-3
    MILK,4
    """
    nested = [name for name, kind in frame.schema.items() if kind.is_nested() or kind == pl.Binary]
    if nested:
        raise QueryError(
            f"The column {nested[0]!r} holds lists or bytes, which CSV cannot; take -o FILE.parquet, "
            "or write it as text with ::varchar."
        )
    safe = frame.with_columns(_defuse(frame[name]) for name in frame.columns)
    heading = {name: f"'{name}" for name in frame.columns if name.startswith(FORMULA)}
    return safe.rename(heading).write_csv()


def _defuse(column: pl.Series) -> pl.Series:
    if not isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum):
        return column
    text = column.cast(pl.String)
    risky = text.str.slice(0, 1).is_in(list(FORMULA)).fill_null(False)
    return ("'" + text).zip_with(risky, text).alias(column.name)
