"""Frames as tables for reading: numbers formatted, columns named, best values marked. Nothing is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from malles.evaluation.metrics import METRICS

_MORE_DIGITS = {"calibration_error": 4, "units_deviance_loss": 4, "units_absolute_error": 4}


_LABELS = {
    "wape_error": "Weighted absolute error",
    "wape_difference": "Difference of it",
    "rmse_error": "Root mean squared error",
    "poisson_deviance_loss": "Poisson deviance",
    "kl_distance": "Kullback-Leibler",
    "total_variation_distance": "Total variation",
    "price_wasserstein_distance": "Price, Wasserstein-1",
}


@dataclass(frozen=True)
class Cell:
    """One cell: text, alignment, and a second line in small print (an interval)."""

    text: str
    number: bool = False
    small: str = ""
    mark: str = ""
    """'best', 'better', 'worse' or ''; never shown by colour alone."""
    bar: float | None = None
    """Share in [0, 1] drawn as a bar behind the number."""


@dataclass(frozen=True)
class Table:
    """A table ready to print."""

    caption: str
    header: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]


def number(value: object, digits: int = 3) -> str:
    """A number for reading: thousands apart, minus sign, '–' where missing.

    >>> number(1234567), number(-0.5), number(None)
    ('1,234,567', '−0.500', '–')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return f"{value:,.{digits}f}".replace("-", "−")
    return str(value)


def percent(value: object, digits: int = 1) -> str:
    """A share as a percentage, for reading only.

    >>> percent(0.806)
    '80.6 %'
    """
    return f"{number(100 * value, digits)} %" if isinstance(value, float) and math.isfinite(value) else "–"


def interval(low: object, high: object, digits: int = 3) -> str:
    """Bounds in brackets, or nothing when they are missing."""
    if low is None or high is None or number(low, digits) == "–":
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def plain_table(
    frame: pl.DataFrame,
    caption: str,
    names: Mapping[str, str],
    *,
    digits: Mapping[str, int] | None = None,
    percentages: Sequence[str] = (),
    bars: Sequence[str] = (),
) -> Table:
    """The named columns of a frame that are present, in the order of `names`.

    Args:
        frame: rows in reading order.
        caption: what the table shows.
        names: column to heading.
        digits: decimals by column, 3 if not stated.
        percentages: columns that hold shares.
        bars: columns of shares drawn with a bar.
    """
    shown = [c for c in names if c in frame.columns]
    numeric = {c for c in shown if frame.schema[c].is_numeric()}
    rows = []
    for row in frame.select(shown).iter_rows(named=True):
        cells = []
        for column in shown:
            value = row[column]
            text = percent(value) if column in percentages else number(value, (digits or {}).get(column, 3))
            bar = min(max(value, 0.0), 1.0) if column in bars and isinstance(value, float) else None
            cells.append(Cell(text, column in numeric, bar=bar))
        rows.append(tuple(cells))
    return Table(caption, tuple(Cell(names[c], c in numeric) for c in shown), tuple(rows))


def score_table(scores: pl.DataFrame, caption: str) -> Table:
    """Models down, metrics across, intervals in small print, the best value of each metric marked."""
    metrics = list(dict.fromkeys(scores["metric"].to_list()))
    models = list(dict.fromkeys(scores["model"].to_list()))
    by_key = {(r["model"], r["metric"]): r for r in scores.iter_rows(named=True)}
    best: dict[str, str] = {}
    for metric in metrics:
        known = [(m, by_key[m, metric]["value"]) for m in models if (m, metric) in by_key]
        values = [(m, v) for m, v in known if v is not None and math.isfinite(v)]
        if len(values) > 1 and metric in METRICS and metric != "units_bias":
            pick = max if METRICS[metric].higher_is_better else min
            best[metric] = pick(values, key=lambda pair: pair[1])[0]
    header = [Cell("Model")]
    for metric in metrics:
        known_metric = METRICS.get(metric)
        arrow = (
            ""
            if known_metric is None
            else ("higher is better" if known_metric.higher_is_better else "lower is better")
        )
        arrow = "0 is best" if metric == "units_bias" else arrow
        header.append(Cell(metric_label(metric), number=True, small=arrow))
    rows = []
    for model in models:
        cells = [Cell(model)]
        for metric in metrics:
            score = by_key.get((model, metric))
            digits = _MORE_DIGITS.get(metric, 3)
            if score is None:
                cells.append(Cell("–", number=True))
                continue
            cells.append(
                Cell(
                    number(score["value"], digits),
                    number=True,
                    small=interval(score["low"], score["high"], digits),
                    mark="best" if best.get(metric) == model else "",
                )
            )
        rows.append(tuple(cells))
    return Table(caption, tuple(header), tuple(rows))


def difference_table(differences: pl.DataFrame, caption: str, metrics: Sequence[str] = ()) -> Table:
    """Paired differences, one row per model and metric, with the verdict in words."""
    rows = []
    for row in differences.iter_rows(named=True):
        if metrics and row["metric"] not in metrics:
            continue
        verdict = row["verdict"]
        value = row["value"]
        sign = "+" if value is not None and value > 0 else ""
        rows.append(
            (
                Cell(row["model"]),
                Cell(metric_label(row["metric"])),
                Cell(sign + number(value, 4), number=True),
                Cell(interval(row["low"], row["high"], 4), number=True),
                Cell(verdict, mark=verdict if verdict in ("better", "worse") else ""),
            )
        )
    header = (
        Cell("Model"),
        Cell("Metric"),
        Cell("Difference", True),
        Cell("95 % interval", True),
        Cell("Verdict"),
    )
    return Table(caption, header, tuple(rows))


def metric_label(metric: str) -> str:
    """What a reader sees of a metric's name."""
    return METRICS[metric].label if metric in METRICS else _LABELS.get(metric, metric.replace("_", " "))


def distance_label(distance: str) -> str:
    """What a reader sees of a distance's name."""
    return _LABELS.get(distance, distance.replace("_", " "))


def effect_table(effects: pl.DataFrame, caption: str) -> Table:
    """Base world, scenario, difference and its interval; each row with the digits its size deserves."""
    header = (
        Cell("Quantity"),
        Cell("Base world", number=True),
        Cell("Scenario", number=True),
        Cell("Difference", number=True),
        Cell("95 % interval", number=True),
    )
    rows = []
    for row in effects.iter_rows(named=True):
        size = max(abs(row[c] or 0.0) for c in ("base", "scenario"))
        digits = 0 if size >= 100 else 2 if size >= 1 else 3 if size >= 0.1 else 4
        sign = "+" if (row["difference"] or 0.0) > 0 else ""
        rows.append(
            (
                Cell(str(row["quantity"])),
                Cell(number(row["base"], digits), number=True),
                Cell(number(row["scenario"], digits), number=True),
                Cell(sign + number(row["difference"], digits), number=True),
                Cell(interval(row["low"], row["high"], digits), number=True),
            )
        )
    return Table(caption, header, tuple(rows))
