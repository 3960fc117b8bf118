"""What is known about every candidate of a case on the eve of its day: own orders, the crowd, associates."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Integer
from numpy import ndarray

from malles.cognition.memory import base_level
from malles.data.named_lines import NamedLines
from malles.wholesale.resellers.cases import POOL_WEEKS, OrderBook, ResellerCase

POPULAR = 200
"""Products of the crowd among the candidates: the most sold in the last four weeks."""
ASSOCIATES = 100
"""Products most often bought together with the reseller's own."""
FEATURES = (
    "own_orders", "own_share", "weeks_since", "interval", "activation", "usual_units", "last_units",
    "in_last_order", "sold_1", "sold_4", "sold_26", "trend", "weeks_on_sale", "associates", "product_units",
    "orders", "order_interval", "weeks_since_order", "customer_units", "customer_lines",
)  # fmt: skip


@dataclass
class Market:
    """Sales of all customers by day; every question names the day before which it looks."""

    lines: NamedLines
    first_day: int
    sold: Integer[ndarray, "day product"]
    """Lines sold before the end of each day since `first_day`, cumulated."""
    first_sold: Integer[ndarray, " product"]
    _usual: dict[int, ndarray] = field(default_factory=dict)

    def sold_within(self, day: int, weeks: int) -> Integer[ndarray, " product"]:
        """Lines sold in the `weeks` before a day."""
        last = day - self.first_day
        return np.asarray(self.sold[last] - self.sold[max(last - 7 * weeks, 0)])

    def usual_units(self, day: int) -> Float[ndarray, " product"]:
        """Median line quantity of the 26 weeks before a day, customers all together; nan where none."""
        if day not in self._usual:
            inside = (self.lines.day < day) & (self.lines.day >= day - 7 * POOL_WEEKS)
            part = self.lines.take(inside & (self.lines.customer >= 0))
            found = (
                pl.DataFrame({"product": part.product, "units": part.quantity}).group_by("product").median()
            )
            usual = np.full(self.sold.shape[1], np.nan)
            usual[found["product"].to_numpy()] = found["units"].to_numpy()
            self._usual[day] = usual
        return self._usual[day]


def build_market(lines: NamedLines) -> Market:
    """Cumulated sales by day and product."""
    first = int(lines.day.min())
    days, products = int(lines.day.max()) - first + 2, len(lines.names)
    count = np.zeros((days, products), np.int32)
    np.add.at(count, (lines.day - first + 1, lines.product), 1)  # row d: before day first + d
    start = np.full(products, np.iinfo(np.int32).max)
    np.minimum.at(start, lines.product, lines.day)
    return Market(lines, first, count.cumsum(axis=0), start)


def build_associates(lines: NamedLines, before: int) -> Float[ndarray, "product product"]:
    """Cosine of two products over the customer-days before a day; 0 on the diagonal."""
    from scipy.sparse import csr_matrix

    part = lines.take((lines.day < before) & (lines.customer >= 0))
    pair = np.unique(part.customer.astype(np.int64) * 100_000 + part.day, return_inverse=True)[1]
    size = (int(pair.max(initial=-1)) + 1, len(lines.names))
    x = csr_matrix((np.ones(len(part), np.float32), (pair, part.product)), shape=size)
    x.data[:] = 1.0
    both = (x.T @ x).toarray()
    norm = np.sqrt(np.maximum(both.diagonal(), 1.0))
    both /= norm[:, None] * norm[None, :]
    np.fill_diagonal(both, 0.0)
    return np.asarray(both, np.float32)


@dataclass(frozen=True)
class Evidence:
    """Rows (case, product) of candidates and of what was ordered from the pool."""

    case: Integer[ndarray, " row"]
    product: Integer[ndarray, " row"]
    candidate: Bool[ndarray, " row"]
    """Whether a method may rank it: known without looking at the order."""
    ordered: Bool[ndarray, " row"]
    units: Float[ndarray, " row"]
    """Ordered; 0 where not."""
    value: Float[ndarray, "row feature"]

    def of(self, name: str) -> Float[ndarray, " row"]:
        """One feature."""
        return self.value[:, FEATURES.index(name)]

    @property
    def usual(self) -> Float[ndarray, " row"]:
        """Usual units: the reseller's own median, else that of the product, else of the reseller's lines."""
        own, product, reseller = (self.of(n) for n in ("usual_units", "product_units", "customer_units"))
        fallback = np.where(np.isnan(product), reseller, product)
        return np.maximum(np.where(np.isnan(own), fallback, own), 1.0)

    @property
    def fallback(self) -> Float[ndarray, " row"]:
        """Units where a method has none of its own: the product's median, else that of the reseller."""
        product, reseller = self.of("product_units"), self.of("customer_units")
        return np.maximum(np.where(np.isnan(product), reseller, product), 1.0)


def build_evidence(
    cases: list[ResellerCase], book: OrderBook, market: Market, associates: ndarray
) -> Evidence:
    """Candidates and features of every case, from strictly earlier days."""
    parts: dict[str, list[ndarray]] = {
        n: [] for n in ("case", "product", "candidate", "ordered", "units", "value")
    }
    for i, case in enumerate(cases):
        pool = market.sold_within(case.day, POOL_WEEKS) > 0
        past = book.of(case.customer, case.day)
        own = np.unique(book.product[past])
        near = associates[own].mean(axis=0)
        crowd = market.sold_within(case.day, 4)
        candidate = np.zeros(len(pool), bool)
        candidate[own] = True
        candidate[np.argsort(-crowd, kind="stable")[:POPULAR]] = True
        candidate[np.argsort(-near, kind="stable")[:ASSOCIATES]] = True
        candidate &= pool
        units = np.zeros(len(pool))
        units[case.product] = case.units
        rows = np.flatnonzero(candidate | ((units > 0) & pool))
        parts["case"].append(np.full(len(rows), i))
        parts["product"].append(rows)
        parts["candidate"].append(candidate[rows])
        parts["ordered"].append(units[rows] > 0)
        parts["units"].append(units[rows])
        parts["value"].append(_features(case, rows, book, past, market, near))
    joined = {name: np.concatenate(part) for name, part in parts.items()}
    return Evidence(**joined)


def _features(
    case: ResellerCase, rows: ndarray, book: OrderBook, past: slice, market: Market, near: ndarray
) -> ndarray:
    day, product, units = book.day[past], book.product[past], book.units[past]
    days = np.unique(day)
    out = np.full((len(rows), len(FEATURES)), np.nan, np.float64)
    at = {name: k for k, name in enumerate(FEATURES)}
    out[:, at["own_orders"]] = 0
    out[:, at["in_last_order"]] = 0
    place = {int(p): k for k, p in enumerate(rows)}
    order = np.lexsort((day, product))
    cuts = np.flatnonzero(np.diff(product[order])) + 1
    for part in np.split(order, cuts):
        k = place.get(int(product[part[0]]))
        if k is None:
            continue
        mine = day[part]
        out[k, at["own_orders"]] = len(mine)
        out[k, at["weeks_since"]] = (case.day - mine[-1]) / 7
        if len(mine) > 1:
            out[k, at["interval"]] = (mine[-1] - mine[0]) / (len(mine) - 1) / 7
        out[k, at["activation"]] = base_level((case.day - mine) / 7)
        out[k, at["usual_units"]] = np.median(units[part])
        out[k, at["last_units"]] = units[part[-1]]
        out[k, at["in_last_order"]] = mine[-1] == days[-1]
    out[:, at["own_share"]] = out[:, at["own_orders"]] / len(days)
    for weeks in (1, 4, 26):
        out[:, at[f"sold_{weeks}"]] = market.sold_within(case.day, weeks)[rows]
    out[:, at["trend"]] = (out[:, at["sold_4"]] + 1) / (out[:, at["sold_26"]] + 6.5)
    out[:, at["weeks_on_sale"]] = (case.day - market.first_sold[rows]) / 7
    out[:, at["associates"]] = near[rows]
    out[:, at["product_units"]] = market.usual_units(case.day)[rows]
    out[:, at["orders"]] = len(days)
    if len(days) > 1:
        out[:, at["order_interval"]] = (days[-1] - days[0]) / (len(days) - 1) / 7
    out[:, at["weeks_since_order"]] = (case.day - days[-1]) / 7
    out[:, at["customer_units"]] = np.median(units)
    out[:, at["customer_lines"]] = len(units) / len(days)
    return out
