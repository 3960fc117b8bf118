"""What an alternative cost on a trip, inferred from other customers only.

    1. median of the same store and week, the deciding customer's lines left out
    2. else median of the whole chain in that week, the deciding customer's lines left out
    3. else the last earlier chain-week median, carried forward

The rule is the same whether or not the alternative was bought, and the source of a price is never handed on.
The list price follows the same rule on the same lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int, Int16, Int32, Int64
from numpy import ndarray

from malles.occasions.price_kernels import cell_medians, infer
from malles.vocabulary import Catalogue

DECIMALS = 4
"""Unit prices are cents divided by units; four decimals undo the rounding to single precision."""


@dataclass(frozen=True)
class PriceIndex:
    """Lines of choice categories by (product, week, store), and the bounds of (product, week) cells."""

    product_cell: Int64[ndarray, " product_edge"]
    cell_week: Int16[ndarray, " cell"]
    cell_start: Int64[ndarray, " cell_edge"]
    cell_price: Float64[ndarray, " cell"]
    """Median net unit price over all customers, in currency."""
    cell_list_price: Float64[ndarray, " cell"]
    line_store: Int32[ndarray, " line"]
    line_customer: Int32[ndarray, " line"]
    line_price: Float64[ndarray, " line"]
    """To four decimals in double precision, so that the middle of two prices is exact to the cent."""
    line_list_price: Float64[ndarray, " line"]

    def infer(
        self,
        product: Int32[ndarray, "row alternative"],
        store: Int[ndarray, " row"],
        week: Int[ndarray, " row"],
        customer: Int[ndarray, " row"],
    ) -> tuple[Float32[ndarray, "row alternative"], Float32[ndarray, "row alternative"]]:
        """Price and list price of every alternative, without the deciding customer.

        Args:
            product: product codes; negative where there is none.
            store: store of the trip, or -1 for the chain's price.
            week: week of the trip.
            customer: whose lines of that week are left out; -1 leaves nobody out.

        Returns:
            price and list price in currency; 0 where there is no product or no sale up to that week.
        """
        price = np.zeros(product.shape, np.float32)
        list_price = np.zeros(product.shape, np.float32)
        infer(
            product, store, week, customer, self.product_cell, self.cell_week, self.cell_start,
            self.line_store, self.line_customer, self.line_price, self.line_list_price,
            self.cell_price, self.cell_list_price, price, list_price,
        )  # fmt: skip
        return price, list_price


def build_price_index(catalogue: Catalogue) -> PriceIndex:
    """Sort the lines of choice categories so that any inferred price is a short look-up."""
    lines = catalogue.lines
    rows = np.flatnonzero(catalogue.products.category[lines.product] >= 0)
    rows = rows[np.lexsort((lines.store[rows], lines.week[rows], lines.product[rows]))]
    product, week = lines.product[rows], lines.week[rows]
    new = np.ones(len(rows), bool)
    new[1:] = (product[1:] != product[:-1]) | (week[1:] != week[:-1])
    first = np.flatnonzero(new)
    start = np.append(first, len(rows)).astype(np.int64)
    price = np.round(lines.price[rows].astype(np.float64), DECIMALS)
    list_price = np.round(lines.list_price[rows].astype(np.float64), DECIMALS)
    cell_price, cell_list = np.empty(len(first)), np.empty(len(first))
    cell_medians(start, price, list_price, cell_price, cell_list)
    edges = np.searchsorted(product[first], np.arange(len(catalogue.products) + 1))
    return PriceIndex(
        product_cell=edges.astype(np.int64),
        cell_week=week[first],
        cell_start=start,
        cell_price=cell_price,
        cell_list_price=cell_list,
        line_store=lines.store[rows],
        line_customer=lines.customer[rows],
        line_price=price,
        line_list_price=list_price,
    )


def build_cents(price: Float32[ndarray, "*shape"]) -> Int32[ndarray, "*shape"]:
    """Prices in whole hundredths of the currency, rounded in single precision (half to even).

    >>> build_cents(np.array([2.49, 1.245], np.float32)).tolist()
    [249, 124]
    """
    return np.rint(price * np.float32(100)).astype(np.int32)
