"""Invoice lines of products with names, coded to dense integers; what was dropped is counted by cause."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import polars as pl
from jaxtyping import Float32, Int32
from numpy import ndarray

from malles.data.files import read_file
from malles.data.sources.online_retail import FORMS, PRODUCT_CODE
from malles.errors import DataError, SchemaError

NAME_DAYS = 28
"""A product is called what it was called most often in its first 28 days on sale."""

LONGEST_NAME = 120
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


@dataclass(frozen=True)
class NamedLines:
    """Invoice lines sorted by (day, time, invoice, product)."""

    customer: Int32[ndarray, " line"]
    """Dense code; -1 where the invoice names no customer."""
    invoice: Int32[ndarray, " line"]
    """Dense code, by order of `invoice_key`."""
    product: Int32[ndarray, " line"]
    day: Int32[ndarray, " line"]
    """Days since 1970-01-01."""
    quantity: Float32[ndarray, " line"]
    price: Float32[ndarray, " line"]
    """Price per unit as billed; it falls with quantity breaks."""
    names: tuple[str, ...]
    """By product code; printable, on one line, never empty."""
    product_key: tuple[str, ...]
    """Stock codes, upper case."""
    invoice_key: tuple[str, ...]
    customer_key: tuple[str, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    """Lines dropped, by cause."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("customer", "invoice", "product", "day", "quantity", "price")

    def __len__(self) -> int:
        return len(self.day)

    def take(self, rows: ndarray) -> NamedLines:
        """The lines selected by an index or a mask; codes and names stay."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.COLUMNS})

    def before(self, day: int) -> NamedLines:
        """The lines of earlier days."""
        return self.take(self.day < day)


def clean_name(text: str) -> str:
    r"""A name as data: no control or direction characters, one line, at most 120 characters.

    >>> clean_name(" RED  MUG\n\x1b[31mOffers: ")
    'RED MUG [31mOffers:'
    """
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:LONGEST_NAME].rstrip()


def load_named_lines(path: Path) -> NamedLines:
    """Lines of a file in one of the forms of Online Retail.

    Raises:
        SchemaError: the columns are those of no known form.
        DataError: the file is missing or damaged, or no line is left.
    """
    rows = read_file(path).rows
    form = next((f for f in FORMS if set(f.values()) <= set(rows.columns)), None)
    if form is None:
        raise SchemaError(
            f"{path.name} has {', '.join(map(repr, rows.columns))}; a file of Online Retail has "
            f"{', '.join(map(repr, FORMS[0].values()))} (other "
            f"forms: UnitPrice, unit_price_gbp). Rename its columns."
        )
    return build_named_lines(rows.select(pl.col(v).alias(k) for k, v in form.items()))


def build_named_lines(rows: pl.DataFrame) -> NamedLines:
    """Cleaned and coded lines of a table with order, timestamp, customer, product, quantity, price, text.

    Cancellations (C) and adjustments (A), unsold and free units, lines without a name and codes that do not
    start with five digits are dropped and counted.
    """
    rows = rows.with_columns(
        pl.col("order").cast(pl.String).str.strip_chars(),
        pl.col("product").cast(pl.String).str.strip_chars().str.to_uppercase(),
        pl.col("text").cast(pl.String).str.strip_chars(),
        pl.col("customer").cast(pl.String).str.strip_chars().str.replace(r"\.0$", ""),
        pl.col("quantity").cast(pl.Float32, strict=False),
        pl.col("price").cast(pl.Float32, strict=False),
        _time(rows["timestamp"]).alias("timestamp"),
    )
    dropped: dict[str, int] = {}
    for cause, kept in _RULES.items():
        left = rows.filter(kept.fill_null(False))
        dropped[cause], rows = len(rows) - len(left), left
    if not len(rows):
        raise DataError(f"no line is left: {', '.join(f'{n:,} {c}' for c, n in dropped.items() if n)}.")
    rows = rows.with_columns(
        pl.when(pl.col("customer") == "").then(None).otherwise(pl.col("customer")).alias("customer"),
        day=pl.col("timestamp").dt.date().to_physical(),
    ).sort("day", "timestamp", "order", "product", maintain_order=True)
    keys = {c: rows[c].drop_nulls().unique().sort() for c in ("customer", "order", "product")}
    code = {
        c: rows[c].replace_strict(
            k, pl.Series(range(len(k)), dtype=pl.Int32), default=-1, return_dtype=pl.Int32
        )
        for c, k in keys.items()
    }
    return NamedLines(
        customer=code["customer"].to_numpy(),
        invoice=code["order"].to_numpy(),
        product=code["product"].to_numpy(),
        day=rows["day"].cast(pl.Int32).to_numpy(),
        quantity=rows["quantity"].to_numpy(),
        price=rows["price"].to_numpy(),
        names=_names(rows, keys["product"]),
        product_key=tuple(keys["product"].to_list()),
        invoice_key=tuple(keys["order"].to_list()),
        customer_key=tuple(keys["customer"].to_list()),
        dropped=dropped,
    )


_RULES = {
    "cancelled or adjusted": ~pl.col("order").str.contains("^[CcAa]"),
    "no positive quantity": pl.col("quantity") > 0,
    "no positive price": pl.col("price") > 0,
    "no name": pl.col("text") != "",
    "code without five digits": pl.col("product").str.contains(PRODUCT_CODE),
    "no time": pl.col("timestamp").is_not_null(),
}


def _time(column: pl.Series) -> pl.Series:
    return (
        column.str.to_datetime(strict=False) if column.dtype == pl.String else column.cast(pl.Datetime("us"))
    )


def _names(rows: pl.DataFrame, keys: pl.Series) -> tuple[str, ...]:
    """The most frequent name in the first 28 days; the alphabet decides ties."""
    early = rows.filter(pl.col("day") < pl.col("day").min().over("product") + NAME_DAYS)
    best = (
        early.group_by("product", "text")
        .len()
        .sort("len", "text", descending=[True, False])
        .group_by("product", maintain_order=True)
        .first()
    )
    text = dict(zip(best["product"].to_list(), best["text"].to_list(), strict=True))
    return tuple(clean_name(text[k]) or k for k in keys.to_list())
