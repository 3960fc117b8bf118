"""The tables of what a run found: models, scores, and the outcome of its what-if."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from malles.records.schema import TABLES


def record_found(
    models: Sequence[Mapping[str, Any]],
    scores: Mapping[str, Mapping[str, Any]],
    what_if: Mapping[str, Any],
    product: object,
) -> dict[str, pl.DataFrame]:
    """models, scores, differences, scenario_outcomes, scenario_sources and price_response.

    Args:
        models: name, and whether it reads words, chooses in the market, is the best, is the reference.
        scores: by part ('choice', 'units', 'language', 'market'): `scores` and `differences` as kept by the
            run.
        what_if: the run's answer to its what-if.
        product: key of the what-if's product, in the data set's own type.
    """
    about = {"question": what_if["question"], "product": product, "category": what_if["category"]}
    outcomes = [
        {**about, "quantity": name, "base": e["base"], "scenario": e["scenario"],
         "change": e["change"]["value"], "low": e["change"]["low"], "high": e["change"]["high"]}
        for name, e in what_if["effects"].items()
    ]  # fmt: skip
    sources = [
        {"question": what_if["question"], "source": name, "kind": "part", **_interval(part)}
        for name, part in what_if["diversion"].items()
    ] + [
        {"question": what_if["question"], "source": row["product"], "kind": "product", **_interval(row)}
        for row in what_if["sources"]
    ]
    names = ("multiplier", "price", "units", "units_low", "units_high", "share", "revenue", "elasticity")
    curve = [{"product": product, **{name: point[name] for name in names}} for point in what_if["curve"]]
    return {
        "models": _frame("models", models),
        "scores": _frame("scores", [{"part": p, **row} for p, s in scores.items() for row in s["scores"]]),
        "differences": _frame(
            "differences", [{"part": p, **row} for p, s in scores.items() for row in s.get("differences", ())]
        ),
        "scenario_outcomes": _frame("scenario_outcomes", outcomes),
        "scenario_sources": _frame("scenario_sources", sources),
        "price_response": _frame("price_response", curve),
    }  # fmt: skip


def _interval(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part[name] for name in ("value", "low", "high")}


def _frame(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame with the documented columns; further values of a row are left out."""
    table = TABLES[name]
    wanted = [column.name for column in table.columns]
    frame = pl.DataFrame([{key: row.get(key) for key in wanted} for row in rows], infer_schema_length=None)
    if not rows:
        frame = pl.DataFrame({key: [] for key in wanted})
    return table.conform(frame)
