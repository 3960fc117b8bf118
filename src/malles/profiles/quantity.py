"""Features of how many units are bought of an alternative, given that it is bought.

Means of past quantities by item, price, discount state, category and customer, each shrunk to the next
wider one.
Strictly causal: the shop's sums are over earlier weeks, the customer's over earlier seconds. Nothing
depends on the
other alternatives, so one column can be asked alone (`chosen_only`). See `docs/method/quantity.md`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int64, Shaped
from numpy import ndarray

from malles.profiles.launch_history import UNIT, Past, find, pair
from malles.profiles.launch_kernels import last_before
from malles.vocabulary import OTHER, OUTSIDE, Catalogue, ChoiceData, Occasions, Promotion, Regime

CAP = 20
"""Histories and fits count at most 20 units of one item in one basket."""

DISCOUNTED = 0.05
Table = Float32[ndarray, "occasion alternative"]


def build_quantity_features(catalogue: Catalogue, occasions: Occasions) -> ChoiceData:
    """Features of the units bought of every alternative, the outside option excepted.

    Args:
        catalogue: the data set whose past is read, strictly before each occasion.
        occasions: occasions of any number of columns; `chosen`, `units` and `rank` are not read.

    Returns:
        ChoiceData of regime FULL. Column 0 and padding hold zero; `OTHER` has the category's and
        customer's numbers.
    """
    return QuantityProfiles(catalogue).build(occasions)


def chosen_only(occasions: Occasions) -> Occasions:
    """The same occasions with two columns: the outside option, and the alternative that was chosen.

    Occasions without a known choice, or whose choice is column 0, must be dropped before.
    """
    rows, column = np.arange(len(occasions)), occasions.chosen.astype(np.int64)

    def narrow(values: ndarray, empty: float) -> ndarray:
        out = np.full((len(rows), 2), empty, values.dtype)
        out[:, 1] = values[rows, column]
        return out

    return replace(
        occasions,
        product=narrow(occasions.product, OUTSIDE),
        price=narrow(occasions.price, 0),
        list_price=narrow(occasions.list_price, 0),
        promotion=narrow(occasions.promotion, 0),
        available=narrow(occasions.available, 0),
        rank=narrow(occasions.rank, -1),
        chosen=np.ones(len(rows), np.int16),
    )


class QuantityProfiles:
    """A catalogue prepared for quantity features, for callers that build many batches."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.products, self.customers = catalogue.products, catalogue.customers
        lines = catalogue.lines
        same = (np.diff(lines.basket) == 0) & (
            np.diff(lines.product) == 0
        )  # one item in two lines of a basket
        first = np.flatnonzero(np.concatenate([[True], ~same])) if len(lines) else np.zeros(0, np.int64)
        self.lines = lines.take(first)
        total = (
            np.add.reduceat(lines.quantity.astype(np.int64), first) if len(lines) else np.zeros(0, np.int64)
        )
        self.units = np.minimum(total, CAP)
        q = self.units
        self.category = self.products.category[self.lines.product].astype(np.int64)
        self.discounted = _is_discounted(self.lines.price, self.lines.list_price).astype(np.int64)
        self.cents = _cents(self.lines.price)
        value = np.stack([np.ones(len(q), np.int64), q, q == 1, q == 2, q >= 4], axis=1)
        self.weekly = Past(self.lines.week, value)
        self.value = value

    @cached_property
    def by_second(self) -> Past:
        """The customers' clock; the last column is the units an average customer would have bought of
        the item (1/1024).
        """
        item = self.weekly.sums(self.lines.product, self.lines.product[:, None], self.lines.week)[:, 0]
        category = self.weekly.sums(self.category, self.category[:, None], self.lines.week)[:, 0]
        overall = (category[:, 1] + 15) / (category[:, 0] + 12)  # 1.25 units where nothing is known
        expected = (item[:, 1] + 5 * overall) / (item[:, 0] + 5)
        value = np.concatenate([self.value, np.rint(UNIT * expected)[:, None].astype(np.int64)], axis=1)
        return Past(self.lines.timestamp, value)

    def build(self, occasions: Occasions) -> ChoiceData:
        """Features of one batch (`build_quantity_features`)."""
        present = (occasions.available & ((occasions.product >= 0) | (occasions.product == OTHER))).copy()
        present[:, 0] = False
        product = np.where(present & (occasions.product >= 0), occasions.product, -1).astype(np.int64)
        features = self._offer(occasions, product) | self._past(occasions, product)
        stacked = np.stack([np.where(present, f, 0) for f in features.values()], axis=2).astype(np.float32)
        context = self._household_context(occasions)
        regime = Regime.FULL
        return ChoiceData(
            occasions, stacked, tuple(features), np.stack(list(context.values()), 1), tuple(context), regime
        )

    def _offer(self, o: Occasions, product: Int64[ndarray, "occasion alternative"]) -> dict[str, ndarray]:
        known = product >= 0
        safe = np.maximum(product, 0)
        price, listed = np.maximum(o.price, 0.01), np.maximum(o.list_price, 0.01)
        amount = self.products.amount[safe]
        has_amount = known & np.isfinite(amount) & (amount > 0)
        log_amount = np.where(has_amount, np.log(np.where(has_amount, amount, 1.0)), 0)
        cents = _cents(price).astype(np.float64)
        # "3 for 5" leaves a unit price of 1.67: is price x k a round half of the currency's unit?
        deals = [np.abs(k * cents - 50 * np.rint(k * cents / 50)) <= k / 2 for k in (1, 2, 3, 4, 5)]
        features = {
            "is_other": (o.product == OTHER).astype(np.float32),
            "log_price": np.log(price),
            "log_list_price": np.log(listed),
            "discount": np.clip(1 - price / listed, 0, 0.9),
            "discounted": _is_discounted(o.price, o.list_price).astype(np.float32),
            "display": (o.promotion & Promotion.DISPLAY) > 0,
            "mailer": (o.promotion & Promotion.MAILER) > 0,
            "mailer_page": (o.promotion & Promotion.MAILER_PAGE) > 0,
            "coupon": (o.promotion & Promotion.COUPON) > 0,
            "log_amount": log_amount,
            "amount_known": has_amount,
            "private_label": self.products.private_label[safe],
        }
        features |= {f"round_times_{k}": deal for k, deal in zip((1, 2, 3, 4, 5), deals, strict=True)}
        return {
            name: np.where(known | (name == "is_other"), f, 0).astype(np.float32)
            for name, f in features.items()
        }

    def _past(self, o: Occasions, product: Int64[ndarray, "occasion alternative"]) -> dict[str, ndarray]:
        out: dict[str, ndarray] = {}
        lines, P = self.lines, len(self.products)
        category = np.broadcast_to(o.category.astype(np.int64)[:, None], product.shape)
        customer = np.broadcast_to(o.customer.astype(np.int64)[:, None], product.shape)
        store = np.broadcast_to(o.store.astype(np.int64)[:, None], product.shape)
        discounted = np.where(product >= 0, _is_discounted(o.price, o.list_price), -1).astype(np.int64)
        cents = np.where(product >= 0, _cents(o.price), -1).astype(np.int64)
        width = int(max(self.cents.max(initial=0), cents.max(initial=0))) + 1
        C = len(self.products) + 1  # wider than any category code

        def shop(name: str, of_line: ndarray, of_query: ndarray, parent: Table, weight: float) -> Table:
            return _add(out, name, self.weekly.sums(of_line, of_query, o.week), parent, weight)

        def own(name: str, of_line: ndarray, of_query: ndarray, parent: Table, weight: float) -> Table:
            line_key, query_key = pair(lines.customer, of_line, width_of), pair(customer, of_query, width_of)
            sums = self.by_second.sums(line_key, query_key, o.timestamp)
            return _add(out, name, sums[:, :, :5], parent, weight)

        overall = np.full(product.shape, 1.25, np.float32)
        of_category = shop("category", self.category, category, overall, 10)
        key, query = pair(self.category, self.discounted, 2), pair(category, discounted, 2)
        of_category_state = shop("category_state", key, query, of_category, 10)
        stores = int(max(lines.store.max(initial=0), o.store.max(initial=0))) + 1
        key, query = pair(self.category, lines.store, stores), pair(category, store, stores)
        shop("category_store", key, query, of_category, 50)
        sizes = int(self.products.size.max(initial=0)) + 1
        size = np.where(product >= 0, self.products.size[np.maximum(product, 0)], -1)
        key = pair(self.category, self.products.size[lines.product], sizes)
        of_size = shop("category_size", key, pair(category, size, sizes), of_category, 10)
        of_item = shop("item", lines.product, product, of_size, 8)
        key, query = pair(lines.product, self.discounted, 2), pair(product, discounted, 2)
        of_item_state = shop("item_state", key, query, of_item * of_category_state / of_category, 8)
        key, query = pair(lines.product, self.cents, width), pair(product, cents, width)
        of_item_price = shop("item_price", key, query, of_item_state, 5)

        width_of = 2 * max(C, P + 1)
        ratio: dict[str, ndarray] = {}
        nothing, zero = np.zeros(len(lines), np.int64), np.zeros_like(product)
        for name, of_line, of_query, weight in (
            ("customer", nothing, zero, 20.0),
            ("customer_category", self.category, category, 5.0),
        ):
            line_key, query_key = pair(lines.customer, of_line, width_of), pair(customer, of_query, width_of)
            sums = self.by_second.sums(line_key, query_key, o.timestamp)
            parent = ratio.get("customer", np.ones(product.shape, np.float32))
            expected = sums[:, :, 5] / UNIT
            ratio[name] = ((sums[:, :, 1] + weight * parent) / (expected + weight)).astype(np.float32)
            out[f"{name}_ratio"] = np.log(ratio[name])
        start = of_item_price * ratio["customer_category"]
        of_mine = own("own_category", self.category, category, of_category * ratio["customer"], 3)
        own(
            "own_category_state",
            pair(self.category, self.discounted, 2),
            pair(category, discounted, 2),
            of_mine,
            3,
        )
        of_my_item = own("own_item", lines.product, product, start, 2)
        key, query = pair(lines.product, self.discounted, 2), pair(product, discounted, 2)
        own("own_item_state", key, query, of_my_item, 2)
        for name, of_line, of_query in (
            ("own_item", lines.product, product),
            ("own_category", self.category, category),
        ):
            line_key, query_key = pair(lines.customer, of_line, width_of), pair(customer, of_query, width_of)
            last = self._last(line_key, query_key, o)
            out[f"{name}_last"] = np.log(np.maximum(last, 1)).astype(np.float32)
        return out

    def _last(
        self,
        line_key: Shaped[ndarray, " line"],
        query_key: Shaped[ndarray, "occasion alternative"],
        o: Occasions,
    ) -> Int64[ndarray, "occasion alternative"]:
        known, code = np.unique(line_key, return_inverse=True)
        code = np.where(line_key < 0, -1, code)
        query = np.where(query_key < 0, -1, find(known, query_key))
        order = np.argsort(o.timestamp, kind="stable")
        return np.asarray(
            last_before(code, self.units, self.lines.timestamp, query, o.timestamp, order, len(known))
        )

    def _household_context(self, o: Occasions) -> dict[str, ndarray]:
        """Household size and its known flag; zero where the data set or the customer says nothing."""
        size = np.zeros(len(o), np.float32)
        if "household_size" in self.customers.columns:
            text = self.customers["household_size"].cast(pl.String).str.extract(r"(\d+)")
            number = text.cast(pl.Float32).fill_null(0).to_numpy()
            size = np.where(o.customer >= 0, number[np.maximum(o.customer, 0)], 0).astype(np.float32)
        return {"household_size": size, "household_size_known": (size > 0).astype(np.float32)}


def _is_discounted(price: Shaped[ndarray, "..."], list_price: Shaped[ndarray, "..."]) -> Bool[ndarray, "..."]:
    return np.asarray(price < (1 - DISCOUNTED) * list_price)


def _cents(price: Shaped[ndarray, "..."]) -> Int64[ndarray, "..."]:
    return np.minimum(np.rint(100 * price.astype(np.float64)), 1_000_000).astype(np.int64)


def _add(
    out: dict[str, ndarray],
    name: str,
    sums: Int64[ndarray, "occasion alternative 5"],
    parent: Table,
    weight: float,
) -> Table:
    """Enter count, shrunk mean and shares of one level; hand back the mean for the next narrower level.

    mean = (units + weight x parent) / (count + weight)
    """
    count = sums[:, :, 0].astype(np.float32)
    mean = ((sums[:, :, 1] + weight * parent) / (count + weight)).astype(np.float32)
    out[f"{name}_count"] = np.log1p(count)
    out[f"{name}_mean"] = np.log(mean)
    # shares shrink to the zero-truncated-geometric guess of the mean: P(1) = 1 / mean
    one = 1 / np.maximum(mean, 1)
    for column, label, guess in ((2, "one", one), (3, "two", one * (1 - one)), (4, "four", (1 - one) ** 3)):
        out[f"{name}_{label}"] = ((sums[:, :, column] + weight * guess) / (count + weight)).astype(np.float32)
    return mean
