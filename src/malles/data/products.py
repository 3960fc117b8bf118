"""What a person would read on the label, from whatever columns a product table has."""

from __future__ import annotations

import polars as pl

WORDED = ("brand", "subcategory", "category", "size")


def build_text(products: pl.DataFrame) -> pl.Series:
    """A readable name of every product: its own text, else brand, finest category and size, else its code.

    The result is never empty, and white space is single.

    >>> cola = pl.DataFrame({"product": [7], "subcategory": ["COLA"], "size": ["2 L"], "brand": ["Private"]})
    >>> build_text(cola).to_list()
    ['Private COLA 2 L']
    """
    has = products.columns

    def column(name: str) -> pl.Expr:
        if name not in has:
            return pl.lit(None, dtype=pl.String)
        clean = pl.col(name).cast(pl.String).str.replace_all(r"\s+", " ").str.strip_chars()
        return pl.when(clean != "").then(clean)

    kind = pl.coalesce(column("subcategory"), column("category"), column("department"))
    made = pl.concat_str(column("brand"), kind, column("size"), separator=" ", ignore_nulls=True)
    made = pl.when(kind.is_not_null()).then(made)
    code = pl.concat_str(pl.lit("product "), pl.col("product").cast(pl.String), ignore_nulls=True)
    return products.select(pl.coalesce(column("text"), made, code).alias("text")).to_series()
