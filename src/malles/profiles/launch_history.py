"""What is known outside one category: integer sums over other categories, strictly before a week or a second.

Every sum is an integer (values are rounded to 1/1024), so that "all categories minus this one" is exact and a
category that is hidden leaves no trace, not even in the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int32, Int64, Shaped
from numpy import ndarray

from malles.profiles.launch_kernels import sums_before
from malles.vocabulary import Catalogue, Lines, Products, Promotion, PromotionTable

UNIT = 1024
"""Integer sums count in 1/1024."""

DISCOUNTED = 0.05
"""A line counts as bought on discount from 5 % below its list price on."""

FIRST_PLACES = 20
CONTEST_WEEKS = 8
"""A contest of a week is among the 20 products of a cell that sold most in the 8 weeks before: the form
of a slate."""


@dataclass(frozen=True)
class Cells:
    """Products cut into cells: the choice categories, then for each group its products outside every
    category.
    """

    of_product: Int32[ndarray, " product"]
    group: Int32[ndarray, " cell"]
    department: Int32[ndarray, " cell"]

    def __len__(self) -> int:
        return len(self.group)


def build_cells(products: Products, categories: int, groups: int) -> Cells:
    """Cells of the product table; a cell's group and department are those of its first product."""
    rest = categories + products.group + (products.group < 0) * (groups + 1)
    of_product = np.where(products.category >= 0, products.category, rest).astype(np.int32)
    cells = categories + groups + 1
    group, department = np.full(cells, -1, np.int32), np.full(cells, -1, np.int32)
    present, first = np.unique(of_product, return_index=True)
    group[present], department[present] = products.group[first], products.department[first]
    return Cells(of_product, group, department)


class Past:
    """Integer values of lines by time, summed by any key strictly before a query's time."""

    def __init__(self, time: Shaped[ndarray, " line"], value: Int64[ndarray, "line value"]) -> None:
        self.time = np.ascontiguousarray(time, np.int64)
        self.value = np.ascontiguousarray(value, np.int64)

    def sums(
        self,
        line_key: Shaped[ndarray, " line"],
        query_key: Shaped[ndarray, "occasion alternative"],
        time: Shaped[ndarray, " occasion"],
    ) -> Int64[ndarray, "occasion alternative value"]:
        """Sums over the lines with the query's key before its time; a negative key has none."""
        known, line_code = np.unique(line_key, return_inverse=True)
        line_code = np.where(line_key < 0, -1, line_code)
        time = np.ascontiguousarray(time, np.int64)
        order = np.argsort(time, kind="stable")
        code = find(known, query_key)
        code[query_key < 0] = -1
        return np.asarray(sums_before(line_code, self.value, self.time, code, time, order, len(known)))


def find(known: Shaped[ndarray, " key"], wanted: Shaped[ndarray, "..."]) -> Int64[ndarray, "..."]:
    """Position of each wanted key among sorted known keys; -1 where it is not among them.

    >>> find(np.array([2, 5, 9]), np.array([5, 6]))
    array([ 1, -1])
    """
    if len(known) == 0:
        return np.full(wanted.shape, -1, np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1).astype(np.int64)
    at[known[at] != wanted] = -1
    return at


def pair(a: Shaped[ndarray, "..."], b: Shaped[ndarray, "..."], width: int) -> Int64[ndarray, "..."]:
    """One integer for two codes, -1 where one of them is unknown."""
    return np.where((a < 0) | (b < 0), -1, a.astype(np.int64) * width + b)


TRAITS = (
    "count",
    "rated",
    "private_label",
    "private_label_expected",
    "discount",
    "discount_expected",
    "display",
    "display_expected",
    "mailer",
    "mailer_expected",
    "price_deviation",
    "unit_price_deviation",
    "amount_deviation",
    "amount_known",
)
"""What each line says of its buyer (in 1/1024): whether it was private label, discounted, displayed, mailed,
with the share of its cell before its week as expectation; and how its list price, list price per amount and
amount deviate from its cell's mean logarithm. Lines whose cell held under 20 lines before are
counted but not rated.
"""


class PastOfShop:
    """A catalogue's past, prepared once and asked many times."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.lines = catalogue.lines
        self.products = catalogue.products
        self.cells = build_cells(self.products, len(catalogue.category_name), len(catalogue.group_name))
        self.cell = self.cells.of_product[self.lines.product]
        self.household_past = Past(self.lines.timestamp, self._traits())
        self.shop_past = Past(self.lines.week, np.full((len(self.lines), 1), UNIT))

    def _traits(self) -> Int64[ndarray, "line trait"]:
        lines, products = self.lines, self.products
        promotion = promotion_of_lines(self.catalogue.promotions, lines, len(products))
        log_list = log_fixed(lines.list_price)
        amount = products.amount[lines.product]
        known = np.isfinite(amount) & (amount > 0)
        log_amount = np.where(known, log_fixed(np.where(known, amount, 1.0)), 0)
        flags = np.stack(
            [
                np.ones(len(lines), bool),
                products.private_label[lines.product],
                lines.price < (1 - DISCOUNTED) * lines.list_price,
                (promotion & Promotion.DISPLAY) > 0,
                (promotion & Promotion.MAILER) > 0,
                known,
            ],
            axis=1,
        ).astype(np.int64)
        seen = np.concatenate(
            [flags, np.stack([log_list, log_amount, np.where(known, log_list, 0)], axis=1)], axis=1
        )
        before = Past(lines.week, seen).sums(self.cell, self.cell[:, None], lines.week)[:, 0].astype(float)
        count, of_known = np.maximum(before[:, 0], 1), np.maximum(before[:, 5], 1)
        enough, enough_known = before[:, 0] >= 20, before[:, 5] >= 20  # a mean of fewer lines says little
        expected = np.rint(UNIT * before[:, 1:5] / count[:, None]) * enough[:, None]
        actual = UNIT * flags[:, 1:5] * enough[:, None]
        price_deviation = (log_list - before[:, 6] / count) * enough
        amount_deviation = (log_amount - before[:, 7] / of_known) * (enough_known & known)
        unit_deviation = (log_list - log_amount - (before[:, 8] - before[:, 7]) / of_known) * (
            enough_known & known
        )
        deviations = np.stack([price_deviation, unit_deviation, amount_deviation], axis=1)
        deviations = np.clip(deviations, -2 * UNIT, 2 * UNIT)
        both = np.stack([actual, expected], axis=2).reshape(len(lines), 8)
        every = np.full((len(lines), 1), UNIT)
        columns = [
            every,
            UNIT * enough[:, None],
            both,
            np.rint(deviations),
            UNIT * (enough_known & known)[:, None],
        ]
        return np.concatenate(columns, axis=1).astype(np.int64)

    @cached_property
    def contests(self) -> tuple[Int64[ndarray, " row"], Int64[ndarray, " row"], Past]:
        """(product, cell, Past of [rows, wins, expected wins, list price deviation, discounted wins]) of
        weekly contests.
        """
        return build_contests(self.lines, self.cells, len(self.products))

    @cached_property
    def chain_promotion(self) -> Float32[ndarray, "week product kind"]:
        """Share of the stores of a week that announce a product by display, by mailer, by mailer page."""
        table, P = self.catalogue.promotions, len(self.products)
        weeks = int(max(self.lines.week.max(initial=0), table.week.max(initial=0))) + 2
        out = np.zeros((weeks, P, 3), np.float32)
        stores = np.zeros(weeks)
        if len(table.week):
            pairs = np.unique(table.week.astype(np.int64) * len(self.catalogue.store_key) + table.store)
            stores += np.bincount(pairs // len(self.catalogue.store_key), minlength=weeks)[:weeks]
        kinds = (Promotion.DISPLAY, Promotion.MAILER, Promotion.MAILER_PAGE)
        for k, bit in enumerate(kinds):
            rows = (table.kind & bit) > 0
            at = table.week[rows].astype(np.int64) * P + table.product[rows]
            out[:, :, k] = (
                np.bincount(at, minlength=weeks * P).reshape(weeks, P) / np.maximum(stores, 1)[:, None]
            )
        return out


def log_fixed(value: Shaped[ndarray, " line"]) -> Int64[ndarray, " line"]:
    """Logarithm in 1/1024."""
    return np.asarray(np.rint(UNIT * np.log(np.maximum(value.astype(np.float64), 1e-3))), np.int64)


def promotion_of_lines(table: PromotionTable, lines: Lines, products: int) -> Int64[ndarray, " line"]:
    """Promotion bits announced for each line's product in its store and week; 0 where none."""
    if len(table.week) == 0:
        return np.zeros(len(lines), np.int64)
    stores = int(max(table.store.max(initial=0), lines.store.max(initial=0))) + 1
    key = (table.week.astype(np.int64) * stores + table.store) * products + table.product
    at = find(key, (lines.week.astype(np.int64) * stores + lines.store) * products + lines.product)
    return np.where(at >= 0, table.kind[at].astype(np.int64), 0)


def build_contests(
    lines: Lines, cells: Cells, products: int
) -> tuple[Int64[ndarray, " row"], Int64[ndarray, " row"], Past]:
    """Weekly contests: who won among the leading products of each cell, and what an equal chance would
    have given.

        expected wins of j in week w = lines of the leaders of its cell in week w / number of leaders

    Leaders are the 20 products of the cell with most lines in the 8 weeks before; cells with under three
    leaders hold none.
    """
    weeks = int(lines.week.max(initial=0)) + 2
    count = np.bincount(lines.product.astype(np.int64) * weeks + lines.week, minlength=products * weeks)
    count = count.reshape(products, weeks)
    cheap = lines.price < (1 - DISCOUNTED) * lines.list_price
    at = lines.product[cheap].astype(np.int64) * weeks + lines.week[cheap]
    count_cheap = np.bincount(at, minlength=products * weeks).reshape(products, weeks)
    to_date = np.cumsum(count, axis=1)
    rows: list[ndarray] = []
    for week in range(2, weeks):
        before = to_date[:, week - 1] - (to_date[:, week - 1 - CONTEST_WEEKS] if week > CONTEST_WEEKS else 0)
        live = np.flatnonzero(before > 0)
        live = live[np.lexsort((live, -before[live], cells.of_product[live]))]
        cell = cells.of_product[live]
        start = np.searchsorted(cell, cell)
        live = live[np.arange(len(live)) - start < FIRST_PLACES]
        cell = cells.of_product[live]
        leaders = np.bincount(cell, minlength=len(cells))
        live, cell = live[leaders[cell] >= 3], cell[leaders[cell] >= 3]
        wins = count[live, week]
        expected = np.bincount(cell, weights=wins, minlength=len(cells)) / np.maximum(leaders, 1)
        rows.append(
            np.stack(
                [np.full(len(live), week), live, cell, wins, UNIT * expected[cell], count_cheap[live, week]]
            )
        )
    table = np.rint(np.concatenate(rows, axis=1)).astype(np.int64) if rows else np.zeros((6, 0), np.int64)
    value = np.stack([np.full(table.shape[1], UNIT), UNIT * table[3], table[4], UNIT * table[5]], axis=1)
    return table[1], table[2], Past(table[0], value)
