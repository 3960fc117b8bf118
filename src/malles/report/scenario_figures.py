"""Figures of a what-if: a tornado of its effects, a curve or a surface of a sweep, elasticities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from malles.report.drawing import short

MOST = 12
"""Bars of a tornado."""


def draw_answer(found: Any, names: Sequence[str], file: Path) -> None:
    """Draw what `malles simulate` answered to an .svg or .png file.

    Args:
        found: an answer, the rows of a sweep, or the rows of elasticities.
        names: swept settings, empty without a sweep.
        file: where to.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    if isinstance(found, dict):
        _tornado(axes, found)
    elif len(names) == 1:
        _curve(axes, found, names[0])
    elif len(names) > 1:
        _surface(figure, axes, found, names)
    else:
        _bars(
            axes,
            [(row["units_of"], row["elasticity"], row["low"], row["high"]) for row in found if row["own"]],
            "own price elasticity",
        )
    figure.savefig(file, dpi=144)


def _tornado(axes: Any, found: dict[str, Any]) -> None:
    rows = [row for row in found["tables"].get("product", ()) if row["quantity"] == "units"]
    bars = [(r["part"], r["change"]["value"], r["change"]["low"], r["change"]["high"]) for r in rows]
    _bars(axes, sorted(bars, key=lambda bar: -abs(bar[1]))[:MOST], "change of units")
    axes.set_title(short(found["question"], 70))


def _bars(axes: Any, bars: Sequence[tuple[str, float, float, float]], label: str) -> None:
    for place, (_, value, low, high) in enumerate(bars):
        axes.barh(place, value, color="tab:blue" if value >= 0 else "tab:orange", alpha=0.8)
        axes.plot([low, high], [place, place], color="black", linewidth=1)
    axes.set_yticks(range(len(bars)), [_label(name) for name, *_ in bars])
    axes.invert_yaxis()
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_xlabel(label)


def _label(name: str) -> str:
    """A product's name with its middle left out: the key at its end tells it from its neighbours.

    >>> _label("SOFT DRINKS 12/18&15PK CAN CAR 12 OZ (5569230)")
    'SOFT DRINKS 12/18&15PK C… 12 OZ (5569230)'
    """
    return name if len(name) <= 41 else f"{name[:24]}…{name[-16:]}"


def _measure(rows: Sequence[dict[str, Any]]) -> str:
    return "units" if "units" in rows[0] else "category_units"


def _curve(axes: Any, rows: Sequence[dict[str, Any]], name: str) -> None:
    measure = _measure(rows)
    x = [row[name] for row in rows]
    y = [row[measure] for row in rows]
    base = [row[measure] - row[f"{measure}_change"] for row in rows]
    low = [b + row[f"{measure}_low"] for b, row in zip(base, rows, strict=True)]
    high = [b + row[f"{measure}_high"] for b, row in zip(base, rows, strict=True)]
    axes.fill_between(x, low, high, alpha=0.2)
    axes.plot(x, y, marker="o")
    axes.plot(x, base, linestyle=":", color="grey", label="base world")
    axes.set_xlabel(name)
    axes.set_ylabel(measure.replace("_", " "))
    axes.legend(frameon=False)


def _surface(figure: Any, axes: Any, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    import numpy as np

    measure = _measure(rows)
    x, y = (sorted({row[name] for row in rows}) for name in names[:2])
    table = np.full((len(y), len(x)), np.nan)
    for row in rows:  # further axes: the last point counts
        table[y.index(row[names[1]]), x.index(row[names[0]])] = row[f"{measure}_change"]
    shown = axes.imshow(table, origin="lower", aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(x)), [f"{v:g}" for v in x])
    axes.set_yticks(range(len(y)), [f"{v:g}" for v in y])
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    figure.colorbar(shown, label=f"change of {measure.replace('_', ' ')}")
