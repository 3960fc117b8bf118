"""The tables of what a run was given: order lines, products and customers as they were coded."""

from __future__ import annotations

import numpy as np
import polars as pl

from malles.records.keys import categories_of, keys_of, moments
from malles.vocabulary import Catalogue


def record_given(catalogue: Catalogue) -> dict[str, pl.DataFrame]:
    """transactions, products and customers of a catalogue, in the data set's own keys."""
    return {
        "transactions": _transactions(catalogue),
        "products": _products(catalogue),
        "customers": _customers(catalogue),
    }


def _transactions(catalogue: Catalogue) -> pl.DataFrame:
    lines, products = catalogue.lines, catalogue.products
    return pl.DataFrame(
        {
            "basket": lines.basket,
            "timestamp": moments(lines.timestamp),
            "week": lines.week,
            "customer": keys_of(catalogue.customer_key, lines.customer),
            "store": keys_of(catalogue.store_key, lines.store),
            "product": keys_of(products.key, lines.product),
            "category": categories_of(catalogue, products.category[lines.product]),
            "units": lines.quantity,
            "price": np.round(lines.price.astype(float), 6),
            "list_price": np.round(lines.list_price.astype(float), 6),
        }
    )


def _products(catalogue: Catalogue) -> pl.DataFrame:
    products = catalogue.products
    return pl.DataFrame(
        {
            "product": products.key,
            "category": categories_of(catalogue, products.category),
            "label": products.text,
            "private_label": products.private_label,
            "amount": pl.Series(products.amount.astype(float)).fill_nan(None),
        }
    )


def _customers(catalogue: Catalogue) -> pl.DataFrame:
    lines = catalogue.lines
    known = pl.DataFrame({"code": np.arange(len(catalogue.customer_key), dtype=np.int32)})
    table = (
        pl.DataFrame(
            {
                "code": lines.customer,
                "basket": lines.basket,
                "week": lines.week,
                "spend": lines.price.astype(float) * lines.quantity,
            }
        )
        .group_by("code")
        .agg(
            baskets=pl.col("basket").n_unique(),
            spend=pl.col("spend").sum().round(2),
            first_week=pl.col("week").min(),
            last_week=pl.col("week").max(),
        )
    )
    joined = known.join(table, on="code", how="left", maintain_order="left")
    return joined.select(
        catalogue.customer_key.alias("customer"),
        pl.col("baskets").fill_null(0),
        pl.col("spend").fill_null(0.0),
        "first_week",
        "last_week",
    )
