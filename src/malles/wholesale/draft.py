"""An order file from a table of past orders: what one buyer bought, at what cost, with the breaks it met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from malles.data.named_lines import clean_name
from malles.errors import DataError, SchemaError, did_you_mean

LEAST_LINES = 4
"""Lines on each side that a quantity break needs."""
CHEAPER = 0.98
"""Large orders must cost less than this part of small ones to count as a break."""
PERIODS = {"day": "1d", "week": "1w", "month": "1mo"}


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table of orders; None = it has none."""

    buyer: str
    product: str
    """Several columns, parted by commas, make up one name: "description,volume"."""
    units: str
    cost: str
    """Currency per unit that the buyer paid."""
    price: str | None = None
    """Currency per unit that the buyer sells at."""
    date: str | None = None
    pack: str | None = None


@dataclass(frozen=True)
class Drafted:
    """One product of a drafted order."""

    name: str
    cost: tuple[tuple[int, float], ...]
    """(Units from which it holds, cost)."""
    price: float
    sold: tuple[float, ...]
    """Units by period, oldest first."""
    pack: int
    stock: int = 0
    """At hand, guessed; 0 where nothing was."""
    markup: float | None = None
    """The price is (1 + markup) times the first cost; None: it is the table's."""


def draft_order(
    rows: pl.DataFrame, columns: Columns, buyer: str, *, products: int = 8, periods: int = 12,
    period: str = "week", markup: float = 0.5, case: int = 1,
) -> tuple[Drafted, ...]:  # fmt: skip
    """What a buyer could reorder: its most ordered products.

    What it ordered in a period stands for what it sold in it; costs and quantity breaks are those of all
    buyers of the table.

    Args:
        rows: lines of past orders.
        columns: which column means what.
        buyer: whose order it is.
        products: most products.
        periods: most periods looked back, from the last in the table.
        period: "day", "week" or "month"; without dates everything is one period.
        markup: selling price = cost x (1 + markup) where the table has none.
        case: units that are counted as one, for orders of tens of thousands; costs are then per case.

    Raises:
        SchemaError: a column is missing.
        DataError: an unknown buyer or period, or nothing that could be reordered.
    """
    if period not in PERIODS:
        raise DataError(f"the period should be one of {', '.join(PERIODS)}, got {period!r}")
    lines = order_lines(rows, columns, case)
    mine = lines.filter(pl.col("buyer") == buyer)
    if not mine.height:
        known = lines["buyer"].unique().sort().to_list()
        hint = did_you_mean(buyer, known) or f"Some of its {len(known)} buyers: {', '.join(known[:5])}."
        raise DataError(f"no order of the buyer {buyer!r}. {hint}")
    when = pl.col("date").dt.truncate(PERIODS[period])
    slots: Sequence[object] = (None,)
    if columns.date is not None:
        lines, mine = (t.with_columns(slot=when) for t in (lines, mine))
        every = pl.select(
            pl.date_range(pl.lit(mine["slot"].min()), pl.lit(lines["slot"].max()), PERIODS[period])
        )
        slots = every.to_series().to_list()[-periods:]
    top = mine.group_by("product").agg(pl.col("units").sum(), pl.len()).sort(
        ["len", "units", "product"], descending=[True, True, False]
    )["product"][:products]  # fmt: skip
    return tuple(_draft(name, lines, mine, slots, columns, markup) for name in top.to_list())


def order_lines(rows: pl.DataFrame, columns: Columns, case: int = 1) -> pl.DataFrame:
    """The lines that can be used: buyer, product, units and cost of a case, and what else is named.

    Raises:
        SchemaError: a column is missing.
        DataError: no line has all four.
    """
    lines = _lines(rows, columns).with_columns(pl.col("units") / case, pl.col("cost") * case)
    if columns.price is not None:
        lines = lines.with_columns(pl.col("price").cast(pl.Float64, strict=False) * case)
    return lines


def known_price(everyone: pl.DataFrame, columns: Columns) -> float | None:
    """Median selling price of the lines of one product; None where the table has none."""
    if columns.price is None:
        return None
    known = everyone["price"].cast(pl.Float64, strict=False).drop_nulls()
    return float(known.median()) if len(known) else None  # type: ignore[arg-type]


def _lines(rows: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    wanted = {name: column for name, column in vars(columns).items() if column is not None}
    parts = {name: column.split(",") if name == "product" else [column] for name, column in wanted.items()}
    for name, found in parts.items():
        for column in found:
            if column not in rows.columns:
                hint = did_you_mean(column, rows.columns) or f"It has {', '.join(rows.columns)}."
                raise SchemaError(f"the table has no column {column!r} for {name}. {hint}")
    said = pl.concat_str([pl.col(c).cast(pl.String) for c in parts.pop("product")], separator=" ")
    out = rows.select(said.alias("product"), *(pl.col(found[0]).alias(name) for name, found in parts.items()))
    out = out.with_columns(
        pl.col("buyer").cast(pl.String).str.strip_chars(),
        pl.col("product").cast(pl.String).map_elements(clean_name, return_dtype=pl.String),
        pl.col("units").cast(pl.Float64, strict=False),
        pl.col("cost").cast(pl.Float64, strict=False),
    )
    if columns.date is not None and not out["date"].dtype.is_temporal():
        out = out.with_columns(pl.col("date").cast(pl.String).str.slice(0, 10).str.to_date(strict=False))
    elif columns.date is not None:
        out = out.with_columns(pl.col("date").dt.date())
    out = out.filter(
        (pl.col("units") > 0)
        & (pl.col("cost") > 0)
        & (pl.col("product") != "")
        & pl.col("buyer").is_not_null()
    )
    if columns.date is not None:
        out = out.drop_nulls("date")
    if not out.height:
        raise DataError("no line has a buyer, a product, units and a cost above 0; check the columns")
    return out


def _draft(
    name: str,
    lines: pl.DataFrame,
    mine: pl.DataFrame,
    slots: Sequence[object],
    columns: Columns,
    markup: float,
) -> Drafted:
    everyone, own = (t.filter(pl.col("product") == name) for t in (lines, mine))
    cost, price = (
        _breaks(everyone["units"].to_numpy(), everyone["cost"].to_numpy()),
        known_price(everyone, columns),
    )
    if tuple(slots) == (None,):
        sold = [float(own["units"].sum())]
    else:
        by = dict(own.group_by("slot").agg(pl.col("units").sum()).iter_rows())
        sold = [float(by.get(slot, 0.0)) for slot in slots]
    pack = 1
    if columns.pack is not None:
        found = everyone["pack"].cast(pl.Int64, strict=False).drop_nulls()
        pack = max(int(found.mode().sort()[0]), 1) if len(found) else 1
    guessed = None if price is not None else markup
    price = cost[0][1] * (1 + markup) if price is None else price
    return Drafted(name[:80], cost, round(price, 4), tuple(sold), pack, markup=guessed)


def _breaks(units: np.ndarray, cost: np.ndarray) -> tuple[tuple[int, float], ...]:
    """One break, at the median units, if large lines are clearly cheaper.

    >>> _breaks(np.array([1, 2, 3, 1, 24, 24, 36, 48]), np.array([2.0] * 4 + [1.5] * 4))
    ((0, 2.0), (24, 1.5))
    """
    middle = round(float(np.median(cost)), 4)
    at = int(np.ceil(np.quantile(units, 0.5, method="higher")))
    large = units >= at
    if min(large.sum(), (~large).sum()) < LEAST_LINES:
        return ((0, middle),)
    small, cheap = (round(float(np.median(cost[rows])), 4) for rows in (~large, large))
    return ((0, small), (at, cheap)) if cheap < CHEAPER * small else ((0, middle),)
