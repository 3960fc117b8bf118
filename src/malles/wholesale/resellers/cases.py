"""Reorder cases: a reseller on a day on which it orders, and everything it had ordered before that day.

case       (reseller, order day): lines of one day are one order
reseller   median quantity of the lines before that day >= 12, at least one earlier order
pool       products that anybody bought in the 26 weeks before that day
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl
from jaxtyping import Integer
from numpy import ndarray

from malles.data.named_lines import NamedLines
from malles.errors import DataError

T = TypeVar("T")

LEAST_MEDIAN = 12
"""Units: a dozen is the usual inner pack of the gift trade; private buyers take one or two."""
POOL_WEEKS = 26


@dataclass(frozen=True)
class OrderBook:
    """Units by (customer, day, product), sorted in this order; customers that are known only."""

    customer: Integer[ndarray, " line"]
    day: Integer[ndarray, " line"]
    product: Integer[ndarray, " line"]
    units: Integer[ndarray, " line"]
    quantity: Integer[ndarray, " line"]
    """Median quantity of the invoice lines that are summed in `units`, rounded down."""

    def of(self, customer: int, before: int) -> slice:
        """Lines of a customer on days strictly before `before`."""
        first, last = np.searchsorted(self.customer, [customer, customer + 1])
        return slice(int(first), int(first + np.searchsorted(self.day[first:last], before)))

    def on(self, customer: int, day: int) -> slice:
        """Lines of a customer on one day."""
        return slice(self.of(customer, day).stop, self.of(customer, day + 1).stop)


@dataclass(frozen=True)
class ResellerCase:
    """One order to be foreseen."""

    customer: int
    day: int
    """Days since 1970-01-01; nothing of this day or later may be looked at."""
    product: Integer[ndarray, " ordered"]
    """What was ordered, ascending."""
    units: Integer[ndarray, " ordered"]


def build_order_book(lines: NamedLines) -> OrderBook:
    """Sum the lines of known customers by day and product."""
    known = lines.take(lines.customer >= 0)
    rows = (
        pl.DataFrame({name: getattr(known, name) for name in ("customer", "day", "product", "quantity")})
        .group_by("customer", "day", "product")
        .agg(pl.col("quantity").sum().alias("units"), pl.col("quantity").median())
        .sort("customer", "day", "product")
    )
    return OrderBook(
        *(rows[c].cast(pl.Int64).to_numpy() for c in ("customer", "day", "product", "units", "quantity"))
    )


def build_reseller_cases(
    book: OrderBook, first_day: int, end_day: int, *, least_median: float = LEAST_MEDIAN
) -> list[ResellerCase]:
    """Cases of the days `first_day` to `end_day - 1`, by day and customer.

    Args:
        book: all orders; later ones change nothing.
        first_day: days since 1970-01-01.
        end_day: exclusive.
        least_median: units; median quantity of a reseller's earlier lines, at least.

    Raises:
        DataError: there is no such order.
    """
    inside = (book.day >= first_day) & (book.day < end_day)
    pairs = np.unique(np.column_stack([book.day[inside], book.customer[inside]]), axis=0)
    cases = []
    for day, customer in pairs.tolist():
        past = book.of(customer, day)
        if past.stop == past.start or np.median(book.quantity[past]) < least_median:
            continue
        now = book.on(customer, day)
        cases.append(ResellerCase(customer, day, book.product[now], book.units[now]))
    if not cases:
        raise DataError(
            f"no order of a reseller (median of at least {least_median:g} units, one earlier order) lies on "
            f"the days {first_day} to {end_day - 1}; take more weeks."
        )
    return cases


def pick_cases(cases: Sequence[T], count: int, rng: np.random.Generator) -> list[T]:
    """So many cases in random order; the first few of them are a random sample too."""
    return [cases[i] for i in rng.permutation(len(cases))[:count]]
