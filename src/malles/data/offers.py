"""Coupons sent to customers, kept compact: one row may hold many customers and many products."""

from __future__ import annotations

import polars as pl


def explode_offers(
    offers: pl.DataFrame, *, products: pl.Series | None = None, customers: pl.Series | None = None
) -> pl.DataFrame:
    """Offers with one row per customer, product and period, restricted to the products and customers given.

    A campaign mailed to a thousand customers for thirty thousand products is one row of lists in
    `DataSet.offers`
    and thirty million rows here, so restrict it first.

    >>> offers = pl.DataFrame({"customer": [[1, 2]], "product": [[7, 8]], "start": ["a"], "end": ["b"]})
    >>> len(explode_offers(offers)), len(explode_offers(offers, products=pl.Series([7])))
    (4, 2)
    """
    flat = offers.select("customer", "product", "start", "end")
    for name, kept in (("product", products), ("customer", customers)):
        if isinstance(flat.schema[name], pl.List):
            flat = flat.with_row_index("offer")
            items = flat.select("offer", name).explode(name, empty_as_null=True).drop_nulls()
            if kept is not None:
                items = items.filter(pl.col(name).is_in(kept.unique().implode()))
            flat = flat.drop(name).join(items, on="offer", how="inner", maintain_order="left").drop("offer")
        elif kept is not None:
            flat = flat.filter(pl.col(name).is_in(kept.unique().implode()))
    return flat.select("customer", "product", "start", "end")
