"""Figures of the simulated market as inline SVG: convergence, fit, effects, response surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy import ndarray

from malles.report.drawing import COLOURS, FAINT, INK, as_svg, percent_axis, short

CELLS_WITH_NUMBERS = 120
"""A surface with at most so many cells has its values written in them."""


def draw_convergence(frame: pl.DataFrame) -> str:
    """Gap between the mean field and its response per evaluation, one line a week; the slowest stands out.

    Args:
        frame: week, iteration, gap; rows without a positive gap are not drawn.
    """
    weeks = frame.filter(pl.col("gap") > 0).sort("week", "iteration").partition_by("week")
    slowest = max(range(len(weeks)), key=lambda i: weeks[i].height, default=-1)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for i, part in enumerate(weeks):
            if i != slowest:
                axes.plot(
                    part["iteration"],
                    part["gap"],
                    "o-",
                    color=COLOURS[0],
                    alpha=0.35,
                    markersize=3,
                    linewidth=1,
                )
        if weeks:
            part = weeks[slowest]
            label = f"week {part['week'][0]}, the slowest of {len(weeks)}"
            axes.plot(part["iteration"], part["gap"], "s-", color=COLOURS[1], markersize=4, label=label)
            axes.legend(loc="upper right")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_power))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("evaluation of the response")
        axes.set_ylabel("largest gap of any share")

    return as_svg("convergence", draw, width=6.2, height=3.2)


def draw_market_fit(cells: pl.DataFrame, totals: pl.DataFrame) -> str:
    """Simulated against actual units: every category and week, and the total by week with its band.

    Args:
        cells: actual, simulated; one row per category and week.
        totals: week, actual, simulated; optional low, high.
    """

    def draw(figure: Figure) -> None:
        engine: Any = figure.get_layout_engine()
        engine.set(w_pad=0.1)
        left, right = figure.subplots(1, 2)
        x, y = cells["actual"].to_numpy(), cells["simulated"].to_numpy()
        top = 1.15 * max(float(x.max(initial=1.0)), float(y.max(initial=1.0)))
        left.plot([0, top], [0, top], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        left.plot(x, y, "o", color=COLOURS[0], markersize=3.5, alpha=0.45, markeredgewidth=0)
        for scale in (left.set_xscale, left.set_yscale):
            scale("symlog", linthresh=10)  # small counts stand evenly, large ones by their ratio
        for axis in (left.xaxis, left.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
        left.set_xlim(0, top)
        left.set_ylim(0, top)
        left.set_aspect("equal")
        left.set_xlabel("actual units, a category and week")
        left.set_ylabel("simulated units")
        part = totals.sort("week")
        if {"low", "high"} <= set(part.columns):
            right.fill_between(
                part["week"], part["low"], part["high"], color=COLOURS[1], alpha=0.15, linewidth=0
            )
        right.plot(part["week"], part["actual"], "o-", color=INK, markersize=4, linewidth=1.4, label="actual")
        right.plot(part["week"], part["simulated"], "s--", color=COLOURS[1], markersize=4, label="simulated")
        right.set_ylim(0, 1.15 * max(right.get_ylim()[1], 1.0))
        right.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        right.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
        right.set_xlabel("week")
        right.set_ylabel("units of all categories")
        right.legend(loc="lower left", ncols=2)

    return as_svg("market-fit", draw, height=3.4)


def draw_tornado(effects: pl.DataFrame, label: str, *, percent: bool = False) -> str:
    """Effects with their intervals, the largest on top; what lowers is drawn in another colour.

    Args:
        effects: name, value, low, high; null bounds are not drawn. At most 20, the largest by size.
        label: what the axis measures, with its unit.
        percent: whether values are parts of one, to be shown in percent.
    """
    known = effects.filter(pl.col("value").is_not_null())
    rows = known.sort(pl.col("value").abs(), descending=True, maintain_order=True).head(20).to_dicts()

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        place = [len(rows) - 1 - i for i in range(len(rows))]
        colours = [COLOURS[0] if row["value"] >= 0 else COLOURS[1] for row in rows]
        axes.barh(place, [r["value"] for r in rows], height=0.62, color=colours, alpha=0.85, linewidth=0)
        for y, row in zip(place, rows, strict=True):
            bounds = [row["low"], row["high"]] if None not in (row["low"], row["high"]) else []
            if bounds:
                axes.plot(bounds, [y, y], color=INK, linewidth=1.3)
            up = row["value"] >= 0
            end = max([row["value"], *bounds]) if up else min([row["value"], *bounds])
            text = f"{100 * row['value']:+.1f} %" if percent else f"{row['value']:+,.4g}"
            axes.annotate(
                text.replace("-", "−"),
                (end, y),
                (6 if up else -6, 0),
                textcoords="offset points",
                va="center",
                ha="left" if up else "right",
                fontsize=9,
            )
        axes.set_yticks(place, [short(str(r["name"]), 40) for r in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.axvline(0, color=FAINT, linewidth=1)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.18)
        if percent:
            percent_axis(axes.xaxis)
        axes.set_xlabel(label)

    return as_svg("tornado", draw, height=0.9 + 0.34 * max(len(rows), 2))


def draw_response_surface(
    x: Sequence[float | str],
    y: Sequence[float | str],
    value: Float[ndarray, "row column"],
    *,
    labels: tuple[str, str, str],
    today: tuple[int, int] | None = None,
) -> str:
    """A quantity over a grid of two decisions, for example two prices, or a price and a display.

    Args:
        x: decision across, one per column.
        y: decision upwards, one per row.
        value: the quantity; not-a-number stays empty.
        labels: what x, y and the quantity are, with their units.
        today: (row, column) of the present decision, framed.
    """
    grid = np.ma.masked_invalid(np.asarray(value, float))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        mesh = axes.pcolormesh(grid, cmap="viridis", linewidth=0)
        axes.set_xticks(np.arange(len(x)) + 0.5, [_tick(v) for v in x])
        axes.set_yticks(np.arange(len(y)) + 0.5, [_tick(v) for v in y])
        axes.grid(visible=False)
        axes.tick_params(length=0)
        if grid.size <= CELLS_WITH_NUMBERS and grid.count():
            middle = (float(grid.min()) + float(grid.max())) / 2
            for row, column in np.argwhere(~np.ma.getmaskarray(grid)):
                here = float(grid[row, column])
                axes.text(
                    column + 0.5, row + 0.5, f"{here:,.4g}", ha="center", va="center", fontsize=8,
                    color="black" if here > middle else "white",
                )  # fmt: skip
        if today is not None:
            row, column = today
            across = [column, column + 1, column + 1, column, column]
            up = [row, row, row + 1, row + 1, row]
            axes.plot(across, up, color=COLOURS[1], linewidth=2.5, label="today")
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if grid.count():
            bar: Any = figure.colorbar(mesh, ax=axes, label=labels[2])
            bar.solids.set_rasterized(False)  # an image inside the drawing would not scale

    return as_svg("response-surface", draw, width=6.6, height=1.4 + 0.34 * max(len(y), 4))


def _power(value: float, _: object) -> str:
    """A number on a logarithmic axis; not as mathematics, which the drawings do not read."""
    digits, _, power = f"{value:.0e}".partition("e")
    return f"{digits}e{int(power)}".replace("-", "−")


def _tick(value: float | str) -> str:
    return short(value, 16) if isinstance(value, str) else f"{value:.4g}"
