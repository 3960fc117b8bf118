"""Product attributes of the catalogue: dense codes, sizes as numbers, and the text a person would read."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float32, Int32
from numpy import ndarray

from malles.data.sizes import read_amount
from malles.occasions.embeddings import build_embeddings
from malles.vocabulary import Products

PRIVATE = ("private", "private label", "own brand", "own label", "store brand")
"""Words for a shop's own brand, in lower case."""


def build_products(
    lines: pl.DataFrame, named: pl.DataFrame, category_name: tuple[str, ...]
) -> tuple[Products, tuple[str, ...]]:
    """Code every product that occurs in `lines`; those of choice categories first, by (category, key).

    Args:
        lines: usable lines.
        named: the product table with `name` and `group`.
        category_name: choice categories by code.

    Returns:
        The products and the names of their groups.
    """
    codes = pl.DataFrame({"name": list(category_name), "code": np.arange(len(category_name), dtype=np.int32)})
    sold = pl.DataFrame({"product": lines["product"].unique().sort()})
    table = (
        sold.join(named.with_columns(pl.col("product").cast(sold["product"].dtype)), on="product", how="left")
        .join(codes, on="name", how="left")
        .sort(pl.col("code").fill_null(len(category_name)), "product")
    )
    group, group_name = _dense(table, "group")
    brand = _text(table, "brand").str.to_lowercase().str.strip_chars()
    words = ("subcategory", "category", "department")
    label = _text(table, "text").str.strip_chars()
    for word in words:
        label = label.zip_with(label != "", _text(table, word).str.strip_chars())
    label = label.zip_with(label != "", ("product " + table["product"].cast(pl.String)).rename("text"))
    return Products(
        key=table["product"],
        category=table["code"].fill_null(-1).to_numpy().astype(np.int32),
        group=group,
        department=_dense(table, "department")[0],
        manufacturer=_dense(table, "manufacturer")[0],
        private_label=brand.is_in(PRIVATE).to_numpy(),
        size=_dense(table, "size")[0],
        amount=build_amounts(_text(table, "size")),
        text=label.rename("text"),
        embeddings=build_embeddings(table),
    ), group_name


def build_amounts(size: pl.Series) -> Float32[ndarray, " product"]:
    """The amount of a size text in its base unit (ounces, pieces, ...); NaN where it says nothing.

    >>> build_amounts(pl.Series(["16 OZ", "2 LB", "6 CT", ""])).tolist()
    [16.0, 32.0, 6.0, nan]
    """
    amount = {text: read_amount(text).value for text in size.unique().to_list()}
    return np.array([amount[text] for text in size.to_list()], np.float32)


def _text(table: pl.DataFrame, column: str) -> pl.Series:
    if column not in table.columns:
        return pl.Series(column, [""] * table.height, dtype=pl.String)
    return table[column].cast(pl.String).fill_null("")


def _dense(table: pl.DataFrame, column: str) -> tuple[Int32[ndarray, " product"], tuple[str, ...]]:
    """Codes by sorted name and the names; -1 where unknown."""
    if column not in table.columns:
        return np.full(table.height, -1, np.int32), ()
    names = table[column].drop_nulls().unique().sort()
    codes = pl.DataFrame({column: names, "dense": np.arange(len(names), dtype=np.int32)})
    coded = table.select(column).join(codes, on=column, how="left", maintain_order="left")["dense"]
    return coded.fill_null(-1).to_numpy().astype(np.int32), tuple(names.cast(pl.String).to_list())
