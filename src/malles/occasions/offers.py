"""Coupons sent to single customers, coded; a campaign for many customers and products stays one bundle."""

from __future__ import annotations

import numpy as np
import polars as pl

from malles.vocabulary import Offers, Products

DAY = 86_400


def build_offers(offers: pl.DataFrame, products: Products, customer_key: pl.Series) -> Offers:
    """Offers for products of choice categories to known customers, sorted by (customer, start).

    `start` and `end` are dates, both inclusive; the coded end is the first second after the last day. A row
    of `offers` may hold lists of customers and of products; every row becomes a bundle of products.
    """
    people = pl.DataFrame({"customer": customer_key, "c": np.arange(len(customer_key), dtype=np.int32)})
    eligible = int((products.category >= 0).sum())
    codes = pl.DataFrame({"product": products.key[:eligible], "p": np.arange(eligible, dtype=np.int32)})
    if not offers.height:
        none = np.zeros(0, np.int32)
        return Offers(none, none.copy(), none.astype(np.int64), none.astype(np.int64))
    if not isinstance(offers.schema["product"], pl.List):
        offers = offers.group_by("start", "end", "customer", maintain_order=True).agg(pl.col("product"))
    offers = offers.with_row_index("bundle")
    members = (
        _flat(offers, "product")
        .with_columns(pl.col("product").cast(products.key.dtype))
        .join(codes, on="product", how="inner")
        .select("bundle", "p")
        .unique()
        .sort("bundle", "p")
    )
    day = pl.Datetime("us")
    rows = (
        _flat(offers, "customer", "start", "end")
        .with_columns(pl.col("customer").cast(customer_key.dtype))
        .join(people, on="customer", how="inner")
        .select(
            pl.col("c", "bundle").cast(pl.Int32),
            start=pl.col("start").cast(pl.Date).cast(day).dt.epoch("s"),
            end=pl.col("end").cast(pl.Date).cast(day).dt.epoch("s") + DAY,
        )
        .sort("c", "start", "bundle")
    )
    edges = np.searchsorted(members["bundle"].to_numpy(), np.arange(offers.height + 1)).astype(np.int64)
    return Offers(
        customer=np.ascontiguousarray(rows["c"].to_numpy()),
        product=np.ascontiguousarray(rows["bundle"].to_numpy()),
        start=np.ascontiguousarray(rows["start"].to_numpy()),
        end=np.ascontiguousarray(rows["end"].to_numpy()),
        bundle_start=edges,
        bundle_product=np.ascontiguousarray(members["p"].to_numpy()),
    )


def _flat(offers: pl.DataFrame, name: str, *others: str) -> pl.DataFrame:
    """One row per offer and member of the (possibly listed) column."""
    part = offers.select("bundle", name, *others)
    if isinstance(offers.schema[name], pl.List):
        part = part.explode(name, empty_as_null=True).drop_nulls()
    return part
