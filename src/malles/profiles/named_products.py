"""Features of occasions of named products: numbers, co-purchase, and likeness by name.

    num      prices, and what is known of sales: hidden in the cold mode
    cf       co-purchase cosines with history and basket: hidden in the cold mode
    others   likeness by name with history and basket (`text.py`): the way of cold starts

Everything is taken from days before the occasion's day; the occasion itself adds only the rest of its basket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from malles.data.named_lines import NamedLines
from malles.errors import UsageError, did_you_mean
from malles.occasions.named_products import build_pasts, build_sales
from malles.occasions.named_table import NamedOccasions
from malles.profiles.copurchase import build_copurchase, carried, monthly
from malles.profiles.similarity_kernels import own_statistics
from malles.profiles.text import DECAY, similarity_features

PRICE_FEATURES = (
    "price",
    "price_gap",
    "price_distance",
    "price_gap_squared",
    "price_gap_scaled",
    "price_x_quantity",
)
SALES_FEATURES = (*("sales_56", "sales_14", "trend", "age", "own_count", "own_recency", "quantity_match"),)
"""Zero in the cold mode, and so is everything of co-purchase."""

NEW_DAYS = 28
"""A product lends its co-purchase once it is no longer new."""

SUMMARIES = ("mean", "max", "top5")


@dataclass(frozen=True)
class NamedFeatures:
    """Numbers about each alternative of each occasion."""

    values: Float32[ndarray, "occasion alternative feature"]
    """Finite."""
    names: tuple[str, ...]
    """`group/feature`, or `group/context_summary`."""

    def column(self, name: str) -> Float32[ndarray, "occasion alternative"]:
        """One feature by name."""
        if name not in self.names:
            raise UsageError(f"there is no feature {name!r}. {did_you_mean(name, self.names)}".rstrip())
        return self.values[:, :, self.names.index(name)]

    def take(self, rows: ndarray) -> NamedFeatures:
        """The features of some occasions."""
        return replace(self, values=self.values[rows])

    def select(self, groups: tuple[str, ...], *, basket: bool = True) -> NamedFeatures:
        """The features of some groups, with or without those of the basket."""
        known = {n.partition("/")[0] for n in self.names}
        for group in groups:
            if group not in known:
                raise UsageError(f"there is no group {group!r}. {did_you_mean(group, known)}".rstrip())
        kept = [
            i
            for i, n in enumerate(self.names)
            if n.partition("/")[0] in groups and (basket or not n.partition("/")[2].startswith("basket_"))
        ]
        return NamedFeatures(self.values[:, :, kept], tuple(self.names[i] for i in kept))

    def cold(self) -> NamedFeatures:
        """The same with everything hidden that needs sales of the products."""
        hidden = [i for i, n in enumerate(self.names) if n.startswith("cf/") or n in _SALES]
        values = self.values.copy()
        values[:, :, hidden] = 0
        return replace(self, values=values)


_SALES = frozenset(f"num/{n}" for n in SALES_FEATURES)


def join_features(*parts: NamedFeatures) -> NamedFeatures:
    """Features beside each other."""
    return NamedFeatures(
        np.concatenate([p.values for p in parts], axis=2), tuple(n for p in parts for n in p.names)
    )


def build_number_features(lines: NamedLines, occasions: NamedOccasions) -> NamedFeatures:
    """Prices, prices against what the customer pays, sales, age, and the customer's own purchases."""
    sales, pasts = build_sales(lines), build_pasts(lines)
    mine, product, day = pasts.lines, occasions.product, occasions.day
    log_quantity = np.log(mine.quantity.astype(np.float64))
    level, count, latest = own_statistics(
        mine.product,
        mine.day,
        np.log(mine.price.astype(np.float64)),
        log_quantity,
        *pasts.span(occasions.customer, day),
        product,
    )
    price = np.log(np.maximum(occasions.price.astype(np.float64), 0.01))
    gap = price - level[:, :1]
    usual = level[:, 2:]
    row = np.minimum(day - sales.first, len(sales.invoices) - 1)
    sold = [
        np.take_along_axis(sales.invoices[row] - sales.invoices[np.maximum(row - d, 0)], product, 1)
        for d in (56, 14)
    ]
    units = _mean_log_quantity(lines, sales.first, len(sales.invoices), product, row)
    since = np.where(latest >= 0, day[:, None] - latest, 0)
    columns = {
        "price": price,
        "price_gap": gap,
        "price_distance": np.abs(gap),
        "price_gap_squared": np.minimum(gap**2, 9),
        "price_gap_scaled": np.clip(gap / (level[:, 1:2] + 0.2), -5, 5),
        "price_x_quantity": price * usual,
        "sales_56": np.log1p(sold[0]),
        "sales_14": np.log1p(sold[1]),
        "trend": np.log((4 * sold[1] + 2) / (sold[0] + 2)),
        "age": np.log1p(np.clip(day[:, None] - sales.first_day[product], 0, 200)),
        "own_count": np.log1p(count),
        "own_recency": np.where(latest >= 0, np.exp(-since / 30), 0),
        "quantity_match": np.where(np.isnan(units), 0, -np.abs(units - usual)),
    }
    values = np.stack([c.astype(np.float32) for c in columns.values()], axis=2)
    return NamedFeatures(values, tuple(f"num/{n}" for n in columns))


def build_copurchase_features(
    lines: NamedLines, occasions: NamedOccasions, alike: Float32[ndarray, "product product"]
) -> NamedFeatures:
    """Co-purchase cosines with history and basket, over customers and over invoices of earlier months.

    Group `cf` is a product's own co-purchase; group `carried` what it borrows from established products of
    seen groups that are called alike, and so is there in the cold mode too.
    """
    values = np.zeros((*occasions.product.shape, 24), np.float32)
    names: tuple[str, ...] = ()
    for first, rows in monthly(occasions.day):
        found = build_copurchase(lines, first)
        part = occasions.take(rows)
        lender = (occasions.first_day < first - NEW_DAYS) & ~occasions.held_out
        blocks = []
        for name, together in (("customers", found.customers), ("invoices", found.invoices)):
            blocks.append(summary_features(together, part, "cf", suffix=f"_{name}"))
            borrowed = carried(together, alike, lender)
            blocks.append(summary_features(borrowed, part, "carried", suffix=f"_{name}"))
        both = join_features(*blocks)
        values[rows], names = both.values, both.names
    return NamedFeatures(values, names)


def summary_features(
    similarity: Float32[ndarray, "product product"],
    occasions: NamedOccasions,
    group: str,
    *,
    suffix: str = "",
) -> NamedFeatures:
    """Six numbers per alternative: mean, max, top five of its likeness with history and basket."""
    values = np.concatenate(
        [
            similarity_features(similarity, occasions.product, occasions.history, decay=DECAY),
            similarity_features(similarity, occasions.product, occasions.basket),
        ],
        axis=2,
    )
    names = tuple(f"{group}/{place}_{s}{suffix}" for place in ("history", "basket") for s in SUMMARIES)
    return NamedFeatures(values, names)


def build_text_features(
    similarities: Mapping[str, Float32[ndarray, "product product"]], occasions: NamedOccasions
) -> NamedFeatures:
    """Likeness by name with history and basket, one group of features per similarity."""
    return join_features(*(summary_features(s, occasions, name) for name, s in similarities.items()))


def _mean_log_quantity(lines: NamedLines, first: int, days: int, product: ndarray, row: ndarray) -> ndarray:
    """Mean logarithm of the units per line of each candidate on earlier days; NaN where none was sold."""
    total = np.zeros((2, days, len(lines.names)))
    place = (lines.day - first + 1, lines.product)
    np.add.at(total[0], place, np.log(lines.quantity.astype(np.float64)))
    np.add.at(total[1], place, 1.0)
    total = total.cumsum(axis=1)
    units, number = (np.take_along_axis(t[row], product, 1) for t in total)
    return np.asarray(np.divide(units, number, out=np.full(units.shape, np.nan), where=number > 0))
