"""Figures of scores, prices and decisions as inline SVG; those of the market stand in `market_figures`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from malles.report.drawing import COLOURS, FAINT, INK, MARKERS, RULE, as_svg, percent_axis, points_axis, short


def draw_scores(scores: pl.DataFrame, metric: str, label: str) -> str:
    """One metric of every model with its interval, models from top to bottom in the order given."""
    rows = scores.filter(pl.col("metric") == metric).to_dicts()

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for i, row in enumerate(rows):
            y = len(rows) - 1 - i
            axes.plot(
                [row["low"], row["high"]],
                [y, y],
                color=COLOURS[0],
                solid_capstyle="round",
                linewidth=3,
                alpha=0.35,
            )
            axes.plot([row["value"]], [y], "o", color=COLOURS[0], markersize=6)
            axes.annotate(
                f"{row['value']:.3f}",
                (row["high"], y),
                (8, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axes.set_yticks(range(len(rows)), [short(r["model"]) for r in reversed(rows)])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.14)
        axes.set_xlabel(label)

    return as_svg("scores", draw, height=0.9 + 0.34 * max(len(rows), 2))


def draw_calibration(curves: Mapping[str, pl.DataFrame]) -> str:
    """Reliability curves on one square, with intervals; the diagonal is perfect calibration."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(
            [0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label="perfect calibration"
        )
        top = 0.0
        for i, (name, curve) in enumerate(list(curves.items())[: len(COLOURS)]):
            x, y = curve["predicted"].to_numpy(), curve["observed"].to_numpy()
            low, high = (_column(curve, c, y) for c in ("low", "high"))
            axes.vlines(x, low, high, color=COLOURS[i], linewidth=1.2, alpha=0.5)
            axes.plot(x, y, MARKERS[i] + "-", color=COLOURS[i], markersize=4.5, label=short(name))
            top = max(top, float(x.max()), float(high.max()))
        top = min(1.0, top * 1.05)
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        axes.set_aspect("equal")
        percent_axis(axes.xaxis)
        percent_axis(axes.yaxis)
        axes.set_xlabel("predicted probability of the top choice")
        axes.set_ylabel("how often it was chosen")
        axes.legend(loc="upper left")

    return as_svg("calibration", draw, width=5.4, height=4.8)


def draw_promotion(products: pl.DataFrame) -> str:
    """Realised against predicted promotion response, one point per product."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        x, y = products["predicted"].to_numpy(), products["realised"].to_numpy()
        low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
        pad = 0.06 * (high - low or 1.0)
        axes.plot(
            [low - pad, high + pad], [low - pad, high + pad], color=FAINT, linewidth=1, linestyle=(0, (4, 3))
        )
        axes.axhline(0, color=RULE, linewidth=1)
        axes.axvline(0, color=RULE, linewidth=1)
        axes.plot(x, y, "o", color=COLOURS[0], markersize=4.5, alpha=0.45, markeredgewidth=0)
        axes.set_xlim(low - pad, high + pad)
        axes.set_ylim(low - pad, high + pad)
        axes.set_aspect("equal")
        points_axis(axes.xaxis)
        points_axis(axes.yaxis)
        axes.set_xlabel("predicted change of win rate on discount, points")
        axes.set_ylabel("realised change, points")

    return as_svg("promotion", draw, width=5.4, height=4.8)


def draw_weekly_units(frame: pl.DataFrame) -> str:
    """Actual and simulated units by week, one panel per category (at most six)."""
    categories = list(dict.fromkeys(frame["category"].to_list()))[:6]
    rows = (len(categories) + 1) // 2 if len(categories) > 1 else 1
    columns = 2 if len(categories) > 1 else 1

    def draw(figure: Figure) -> None:
        engine: Any = figure.get_layout_engine()
        engine.set(h_pad=0.11, w_pad=0.08)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for i, axes in enumerate(grid.ravel()):
            if i >= len(categories):
                axes.axis("off")
                continue
            part = frame.filter(pl.col("category") == categories[i]).sort("week")
            week = part["week"].to_numpy()
            if {"low", "high"} <= set(part.columns):
                axes.fill_between(week, part["low"], part["high"], color=COLOURS[1], alpha=0.15, linewidth=0)
            axes.plot(week, part["actual"], "o-", color=INK, markersize=4, linewidth=1.4, label="actual")
            axes.plot(week, part["simulated"], "s--", color=COLOURS[1], markersize=4, label="simulated")
            axes.set_title(short(str(categories[i]), 36), fontsize=10, loc="left", color=INK)
            axes.set_ylim(0, 1.08 * max(axes.get_ylim()[1], 1.0))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
            axes.tick_params(labelbottom=True)
            if i % columns == 0:
                axes.set_ylabel("units a week")
            if i >= len(categories) - columns:
                axes.set_xlabel("week")
            if i == 0:
                axes.legend(loc="lower left", ncols=2)

    return as_svg("weekly-units", draw, height=0.4 + 2.15 * rows)


def draw_price_response(frame: pl.DataFrame, today: float | None, currency: str) -> str:
    """Share by price, one line per product, with interval where given; a rule marks today's price."""
    products = list(dict.fromkeys(frame["product"].to_list())) if "product" in frame.columns else [""]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for i, product in enumerate(products[: len(COLOURS)]):
            part = (frame.filter(pl.col("product") == product) if product else frame).sort("price")
            price = part["price"].to_numpy()
            if {"low", "high"} <= set(part.columns):
                axes.fill_between(price, part["low"], part["high"], color=COLOURS[i], alpha=0.15, linewidth=0)
            label = short(str(product)) if product else None
            axes.plot(price, part["share"], MARKERS[i] + "-", color=COLOURS[i], markersize=4, label=label)
        axes.set_ylim(bottom=0)
        if today is not None:
            axes.axvline(today, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                "today",
                (today, 1),
                (5, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                fontsize=9,
                color=FAINT,
            )
        percent_axis(axes.yaxis)
        axes.set_xlabel(f"price, {currency}" if currency else "price")
        axes.set_ylabel("share of choices")
        if any(products):
            axes.legend(loc="best")

    return as_svg("price-response", draw, width=6.2, height=3.4)


def draw_diversion(frame: pl.DataFrame) -> str:
    """Where additional units came from: one bar per source, with its interval."""
    rows = frame.to_dicts()[:12]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        place = [len(rows) - 1 - i for i in range(len(rows))]
        axes.barh(place, [r["share"] for r in rows], height=0.62, color=COLOURS[0], alpha=0.85, linewidth=0)
        for y, row in zip(place, rows, strict=True):
            end = row["share"]
            if row.get("low") is not None and row.get("high") is not None:
                axes.plot([row["low"], row["high"]], [y, y], color=INK, linewidth=1.3)
                end = max(end, row["high"])
            axes.annotate(
                f"{100 * row['share']:.0f} %".replace("-", "−"),
                (end, y),
                (6, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axes.set_yticks(place, [short(str(r["source"]), 40) for r in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.axvline(0, color=FAINT, linewidth=1)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        percent_axis(axes.xaxis)
        axes.set_xlabel("part of the additional units")

    return as_svg("diversion", draw, height=0.9 + 0.34 * max(len(rows), 2))


def draw_contributions(frame: pl.DataFrame) -> str:
    """What raised and what lowered the utility of one alternative: one bar per term."""
    rows = frame.to_dicts()[:12]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        place = [len(rows) - 1 - i for i in range(len(rows))]
        value = [r["contribution"] for r in rows]
        axes.barh(
            place,
            value,
            height=0.62,
            color=[COLOURS[0] if v >= 0 else COLOURS[1] for v in value],
            linewidth=0,
        )
        for y, v in zip(place, value, strict=True):
            axes.annotate(
                f"{v:+.2f}".replace("-", "−"),
                (v, y),
                (6 if v >= 0 else -6, 0),
                textcoords="offset points",
                va="center",
                ha="left" if v >= 0 else "right",
                fontsize=9,
            )
        axes.set_yticks(place, [short(str(r["term"]), 40) for r in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.axvline(0, color=FAINT, linewidth=1)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.16)
        axes.set_xlabel("contribution to utility")

    return as_svg("contributions", draw, height=0.9 + 0.34 * max(len(rows), 2))


def draw_front(frame: pl.DataFrame, error: str = "held-out deviance") -> str:
    """Error of rules, with interval where given, against their complexity; the chosen one is filled."""
    rows = frame.to_dicts()

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([r["nodes"] for r in rows], [r["error"] for r in rows], color=FAINT, linewidth=1, zorder=1)
        for r in rows:
            if r["low"] is not None and r["high"] is not None:
                axes.plot([r["nodes"]] * 2, [r["low"], r["high"]], color=COLOURS[0], linewidth=1.2)
            fill = COLOURS[0] if r["chosen"] else "white"
            axes.plot(r["nodes"], r["error"], "o", color=COLOURS[0], markerfacecolor=fill)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("complexity, nodes of the formula")
        axes.set_ylabel(short(error, 48))

    return as_svg("front", draw)


def _column(frame: pl.DataFrame, name: str, otherwise: Any) -> Any:
    return frame[name].to_numpy() if name in frame.columns else otherwise
