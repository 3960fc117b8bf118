"""Margins: how the customers of a market are spread over an attribute, from a census or a store's own totals.

A CSV file has the columns `column`, `value` and `share` (or `total`); a TOML file a table per column:

    [age]                       column,value,share
    "25-34" = 0.22              age,25-34,0.22
    "35-44" = 0.78              age,35-44,0.78
"""

from __future__ import annotations

import csv
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

from malles.errors import DataError, SchemaError

SUM_TOLERANCE = 0.002
"""Shares printed with three decimals need not add up to one exactly."""


@dataclass(frozen=True)
class Margin:
    """The share of one value of an attribute."""

    column: str
    """Attribute of the customer table."""
    value: str
    share: float
    """Of the customers whose attribute is known, [0, 1]."""

    def __str__(self) -> str:
        return f"{self.column} = {self.value!r}"


def build_margins(rows: list[tuple[str, str, float]], *, totals: bool = False) -> tuple[Margin, ...]:
    """Check shares, or turn totals into shares.

    A column whose shares add up to less than one leaves its other values free.

    Args:
        rows: column, value, share (or total).
        totals: whether the numbers are counts of each column's whole market.

    Raises:
        DataError: a number is negative or none, a value stands twice, or shares add up to more than one.

    >>> [m.share for m in build_margins([("age", "young", 30), ("age", "old", 90)], totals=True)]
    [0.25, 0.75]
    """
    sums: dict[str, float] = {}
    seen: set[tuple[str, str]] = set()
    for column, value, number in rows:
        if not math.isfinite(number) or number < 0:
            raise DataError(
                f"The margin {column} = {value!r} is {number}; a share or total is never below 0."
            )
        if (column, value) in seen:
            raise DataError(f"The margin {column} = {value!r} is given twice; keep one of them.")
        seen.add((column, value))
        sums[column] = sums.get(column, 0.0) + number
    for column, total in sums.items():
        if totals and total <= 0:
            raise DataError(f"The totals of {column!r} add up to nothing; give the customers of each value.")
        if not totals and total > 1 + SUM_TOLERANCE:
            raise DataError(
                f"The shares of {column!r} add up to {total:.4g}, more than 1; divide by the sum, or name "
                "the third column 'total' if they are counts."
            )
    nearly = {c: t for c, t in sums.items() if totals or abs(t - 1) <= SUM_TOLERANCE}
    return tuple(Margin(c, v, x / nearly.get(c, 1.0)) for c, v, x in rows)


def read_margins(path: Path) -> tuple[Margin, ...]:
    """Margins from a CSV or TOML file.

    Raises:
        SchemaError: the columns are others.
        DataError: the file cannot be read, or its numbers are no shares.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(
            f"The margins {path} cannot be read ({problem}); give a CSV or TOML file."
        ) from problem
    if path.suffix == ".toml":
        return _read_toml(path, text)
    table = csv.DictReader(text.splitlines())
    names = tuple(table.fieldnames or ())
    number = next((n for n in ("share", "total") if n in names), None)
    if number is None or not {"column", "value"} <= set(names):
        raise SchemaError(
            f"{path} has the columns {', '.join(names) or 'none'}; "
            "margins need column, value and share (or total)."
        )
    rows = []
    for line, row in enumerate(table, 2):
        try:
            rows.append((row["column"].strip(), row["value"].strip(), float(row[number])))
        except (TypeError, ValueError, AttributeError) as problem:
            raise DataError(
                f"{path}, line {line}: {row[number]!r} is no {number}; give a number."
            ) from problem
    return build_margins(rows, totals=number == "total")


def _read_toml(path: Path, text: str) -> tuple[Margin, ...]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise DataError(f"{path} is no TOML ({problem}); write a table of shares per column.") from problem
    rows = []
    for column, shares in found.items():
        if not isinstance(shares, dict):
            raise SchemaError(
                f"{path}: {column!r} is no table; write [{column}] and a share per value below it."
            )
        for value, share in shares.items():
            if isinstance(share, bool) or not isinstance(share, int | float):
                raise DataError(f"{path}: the share of {column} = {value!r} is {share!r}; give a number.")
            rows.append((column, value, float(share)))
    return build_margins(rows)
