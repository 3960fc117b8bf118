"""A run folder with a few rows that were written by hand."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl

from malles.records.schema import SIMULATED, TABLES
from malles.records.table import write_tables

HOSTILE = "=HYPERLINK(1)"


def decisions() -> pl.DataFrame:
    """Three rows; 6 units in week 21, 4 in week 22; one product outside the slate."""
    return pl.DataFrame(
        {
            "mode": "free_running",
            "trip_source": "simulated",
            "week": [21, 21, 22],
            "trip": [0, 1, 0],
            "customer": ["anna", "bert", "anna"],
            "store": [1, 1, 1],
            "timestamp": [datetime(2024, 5, day, 12) for day in (20, 21, 27)],
            "category": "MILK",
            "product": [HOSTILE, None, "whole"],
            "units": [2, 4, 4],
            "price": [1.5, None, 2.25],
            "list_price": [2.0, None, 2.25],
            "display": [True, None, False],
            "mailer": [False, None, False],
        }
    )


def make_run(root: Path, name: str = "hand-1") -> Path:
    """A folder that looks like a run that stopped after its market."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "secret.parquet").write_bytes(b"")
    pl.DataFrame({"key": ["canary"]}).write_parquet(folder / "secret.parquet")
    total = pl.DataFrame(
        {
            "mode": "free_running", "trip_source": "simulated", "week": [21, 22], "trips": [2, 1],
            "expected_units": [5.5, 4.5], "drawn_units": [6, 4], "actual_units": [7.0, 3.0],
            "low": [2.0, 1.0], "high": [9.0, 8.0],
        }
    )  # fmt: skip
    write_tables({"decisions": decisions(), "week_total": total}, folder / SIMULATED, TABLES)
    return folder
