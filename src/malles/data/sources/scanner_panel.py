"""Household scanner panels with true choice sets, in long form: one row per alternative per purchase."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int32
from numpy import ndarray

from malles.data.files import read_file
from malles.data.sources.source import Source
from malles.errors import DataError, SchemaError

COLUMNS = ("household", "occasion", "alternative", "chosen", "price")


@dataclass(frozen=True)
class ScannerPanel:
    """Purchases in which the price of every alternative was recorded; there is no outside option."""

    name: str
    alternatives: tuple[str, ...]
    """Names, in the order of the columns."""
    household: Int32[ndarray, " occasion"]
    """Dense household code."""
    household_key: tuple[str, ...]
    chosen: Int32[ndarray, " occasion"]
    """Column of the choice."""
    price: Float64[ndarray, "occasion alternative"]
    """In the panel's own unit."""
    display: Float64[ndarray, "occasion alternative"]
    """0 or 1; all zero where not recorded."""
    feature: Float64[ndarray, "occasion alternative"]
    """Newspaper feature, 0 or 1; all zero where not recorded."""
    available: Bool[ndarray, "occasion alternative"]

    def __len__(self) -> int:
        return len(self.chosen)


def load_scanner_panel(path: Path) -> ScannerPanel:
    """Read a panel in long form: household, occasion, alternative, chosen, price, and display, feature where
    recorded.

    Occasions keep the order of the file within a household. Alternatives are ordered by first appearance.

    Raises:
        SchemaError: a column is missing. DataError: an occasion has not exactly one choice, or names an
            alternative twice.
    """
    rows = read_file(path).rows
    absent = [c for c in COLUMNS if c not in rows.columns]
    if absent:
        raise SchemaError(
            f"{path.name} lacks {', '.join(map(repr, absent))}. A scanner panel has household, occasion, "
            "alternative, chosen, price."
        )
    for column in ("display", "feature"):
        if column not in rows.columns:
            rows = rows.with_columns(pl.lit(0.0).alias(column))
    try:
        rows = rows.with_columns(
            pl.col("chosen").cast(pl.Float64),
            pl.col("price", "display", "feature").cast(pl.Float64).fill_null(np.nan),
            pl.col("alternative").cast(pl.String),
        )
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"{path.name}: a number cannot be read: {str(error).splitlines()[0]}.") from None
    key = pl.struct("household", "occasion")
    rows = rows.with_columns(_n=key.rank("dense").cast(pl.Int64) - 1)
    names = tuple(rows["alternative"].unique(maintain_order=True).to_list())
    n, j = (
        rows["_n"].to_numpy(),
        rows["alternative"]
        .replace_strict(list(names), list(range(len(names))), return_dtype=pl.Int64)
        .to_numpy(),
    )
    count = int(n.max()) + 1 if len(n) else 0
    available = np.zeros((count, len(names)), bool)
    available[n, j] = True
    chosen = np.zeros((count, len(names)))
    chosen[n, j] = rows["chosen"].to_numpy()
    if int(available.sum()) != len(rows):
        raise DataError(
            f"{path.name}: {len(rows) - int(available.sum()):,} rows repeat an alternative of the same "
            "occasion. Keep one row each."
        )
    if not bool(np.all(chosen.sum(axis=1) == 1)):
        raise DataError(
            f"{path.name}: {int((chosen.sum(axis=1) != 1).sum()):,} occasions do not have exactly one choice."
        )
    values = {}
    for column in ("price", "display", "feature"):
        values[column] = np.zeros((count, len(names)))
        values[column][n, j] = rows[column].to_numpy()
    if not np.isfinite(values["price"][available]).all():
        raise DataError(f"{path.name}: a price is missing or not finite. Remove that occasion.")
    first = rows.unique("_n", keep="first").sort("_n")["household"]
    keys = first.unique(maintain_order=True)
    household = (
        first.replace_strict(keys, pl.Series(range(len(keys)), dtype=pl.Int32)).to_numpy().astype(np.int32)
    )
    return ScannerPanel(
        path.stem, names, household, tuple(map(str, keys)), chosen.argmax(axis=1).astype(np.int32),
        values["price"], values["display"], values["feature"], available,
    )  # fmt: skip


SOURCE = Source(
    name="scanner_panel",
    origin="brand-choice panels of the R packages Ecdat and bayesm (catsup, ketchup, tuna, margarine)",
    licence="GPL >= 2 (the R packages); never shipped",
    how="export from R in long form, then: malles data add scanner_panel PATH",
    rows="2,798 to 13,705 purchases each",
    needs_path=True,
    load=None,
)
