"""What a recorded table is: its file, what one row stands for, and every column with its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from malles.errors import SchemaError

KINDS = {
    "key": "whole number or text, as in your data",
    "text": "text",
    "integer": "whole number",
    "number": "number",
    "flag": "true or false",
    "moment": "timestamp",
}
"""Kinds of columns, and how a person reads them."""

_TYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "flag": pl.Boolean(),
    "moment": pl.Datetime("us"),
}


@dataclass(frozen=True)
class Column:
    """One column of a recorded table."""

    name: str
    kind: str
    """One of `KINDS`."""
    meaning: str
    """What it says, its unit, and when it is null."""


@dataclass(frozen=True)
class Table:
    """One recorded table: a Parquet file of the run folder."""

    name: str
    folder: str
    """The folder of the run it lies in, for example '06-tables'."""
    row: str
    """What one row stands for."""
    columns: tuple[Column, ...]

    @property
    def file(self) -> str:
        """Where it lies in the run folder."""
        return f"{self.folder}/{self.name}.parquet"

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The documented columns in the documented order and types; further ones are an error.

        >>> t = Table("prices", "x", "one price", (Column("price", "number", "in currency"),))
        >>> t.conform(pl.DataFrame({"price": [1, 2]}))["price"].to_list()
        [1.0, 2.0]
        """
        names = [column.name for column in self.columns]
        if set(names) != set(frame.columns):
            raise SchemaError(
                f"the table {self.name!r} has columns {sorted(frame.columns)} but is documented with "
                f"{sorted(names)}; mend malles.records."
            )
        return frame.select(
            pl.col(column.name).cast(_TYPES[column.kind]) if column.kind in _TYPES else pl.col(column.name)
            for column in self.columns
        )


def columns(*described: tuple[str, str, str]) -> tuple[Column, ...]:
    """Columns from (name, kind, meaning)."""
    return tuple(Column(*each) for each in described)


def write_tables(frames: Mapping[str, pl.DataFrame], folder: Path, tables: Mapping[str, Table]) -> None:
    """One Parquet file per table in a new folder; the same frames give the same bytes."""
    folder.mkdir()
    for name, frame in frames.items():
        path = folder / f"{name}.parquet"
        tables[name].conform(frame).write_parquet(path, compression="zstd", statistics=True)


def read_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """What `write_tables` wrote."""
    return {path.stem: pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
