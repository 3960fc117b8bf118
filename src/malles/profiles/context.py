"""Numbers that describe an occasion without its customer's purchases: calendar, demographics, slate."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
from jaxtyping import Float32
from numpy import ndarray

from malles.vocabulary import Catalogue, Occasions

MOST_LEVELS = 8
"""A text attribute with more levels and no numbers in them is left out."""


def calendar_context(occasions: Occasions) -> tuple[Float32[ndarray, "occasion context"], tuple[str, ...]]:
    """Size of the slate, part of it on discount, display and mailer, season and weekday."""
    real = occasions.product >= 0
    count = np.maximum(real.sum(axis=1), 1)
    cut = real & (occasions.price < 0.98 * occasions.list_price)
    year = occasions.timestamp / (365.25 * 86400) * 2 * np.pi
    day = (occasions.timestamp // 86400 + 3) % 7
    hour = occasions.timestamp % 86400 / 3600
    columns = {
        "slate_size": np.log(count),
        "slate_discounted": cut.sum(axis=1) / count,
        "slate_display": (real & (occasions.promotion & 1 > 0)).sum(axis=1) / count,
        "slate_mailer": (real & (occasions.promotion & 6 > 0)).sum(axis=1) / count,
        "season_sine": np.sin(year),
        "season_cosine": np.cos(year),
        "weekend": (day >= 5).astype(float),
        "evening": (hour >= 17).astype(float),
    }
    return np.stack(list(columns.values()), axis=1).astype(np.float32), tuple(columns)


def level_number(level: str) -> float | None:
    """The number that an ordered level such as '35-49K', 'Under 15K' or '65+' stands for, or None.

    >>> level_number("35-49K"), level_number("Under 15K"), level_number("65+"), level_number("Homeowner")
    (42.0, 7.5, 65.0, None)
    """
    found = [float(x) for x in re.findall(r"\d+(?:\.\d+)?", level)]
    if not found:
        return None
    if level.lower().startswith(("under", "below", "less")):
        return found[0] / 2
    return sum(found[:2]) / len(found[:2])


def demographic_table(catalogue: Catalogue) -> tuple[Float32[ndarray, "customer attribute"], tuple[str, ...]]:
    """Customers' attributes as numbers in [-1, 1]: ranks of ordered levels, else one column a level.

    Missing is 0, with a column of its own that says so.
    """
    columns: dict[str, ndarray] = {}
    n = len(catalogue.customer_key)
    for name in catalogue.customers.columns:
        series = catalogue.customers[name]
        if name == "customer" or series.len() != n:
            continue
        known = series.is_not_null().to_numpy()
        if series.dtype.is_numeric():
            rank = series.cast(pl.Float64).rank("dense").fill_null(1).to_numpy()
        else:
            levels = series.cast(pl.String).drop_nulls().unique().sort().to_list()
            numbers = {level: level_number(level) for level in levels}
            if any(number is None for number in numbers.values()):
                if len(levels) <= MOST_LEVELS:
                    text = series.cast(pl.String).to_numpy()
                    columns |= {f"{name}={level}": (text == level).astype(float) for level in levels}
                continue
            value = series.cast(pl.String).replace_strict(numbers, default=None, return_dtype=pl.Float64)
            rank = value.rank("dense").fill_null(1).to_numpy()
        top = max(float(rank[known].max(initial=1)) - 1, 1)
        columns[name] = np.where(known, 2 * (rank - 1) / top - 1, 0)
        columns[f"{name}_known"] = known.astype(float)
    if not columns:
        return np.zeros((n, 0), np.float32), ()
    return np.stack(list(columns.values()), axis=1).astype(np.float32), tuple(columns)


def demographic_context(
    catalogue: Catalogue, occasions: Occasions
) -> tuple[Float32[ndarray, "occasion attribute"], tuple[str, ...]]:
    """`demographic_table` by occasion; zeros for a customer the catalogue does not know."""
    table, names = demographic_table(catalogue)
    table = np.concatenate([table, np.zeros((1, table.shape[1]), np.float32)])
    return table[np.where(occasions.customer >= 0, occasions.customer, len(table) - 1)], names
