"""Sections of the page about the simulated market: how it ran, prices, and the what-if."""

from __future__ import annotations

import polars as pl

from malles.report import figures, market_figures
from malles.report.blocks import Block, Figure, Section, Text
from malles.report.content import ReportContent
from malles.report.tables import distance_label, effect_table, number, percent, plain_table, score_table


def market_section(c: ReportContent) -> Section | None:
    blocks: list[Block] = []
    if c.weekly_units is not None and len(c.weekly_units):
        names = list(dict.fromkeys(c.weekly_units["category"].to_list()))[:6]
        svg = figures.draw_weekly_units(c.weekly_units)
        spoken = "Actual and simulated units by week for " + ", ".join(map(str, names))
        blocks.append(Figure(svg, "Simulated against actual units by week.", spoken))
    if c.market_cells is not None and c.market_total is not None and len(c.market_cells):
        svg = market_figures.draw_market_fit(c.market_cells, c.market_total)
        caption = (
            "Left, every category and week; right, all categories together, with the band that weekly units "
            "kept to before."
        )
        spoken = "; ".join(
            f"week {r['week']}: {number(r['actual'])} actual, {number(r['simulated'])} simulated"
            for r in c.market_total.iter_rows(named=True)
        )
        blocks.append(Figure(svg, caption, f"Units of all categories. {spoken}."))
    if c.convergence is not None and len(c.convergence):
        last = c.convergence.group_by("week").agg(pl.col("iteration").max()).sort("week")
        spoken = ", ".join(f"week {week} {evaluations}" for week, evaluations in last.iter_rows())
        svg = market_figures.draw_convergence(c.convergence)
        caption = "How the mean field of every week was solved."
        blocks.append(Figure(svg, caption, f"{caption} Evaluations: {spoken}."))
    if c.market is not None:
        blocks.append(score_table(c.market, "Units of the market, by category and week"))
    if c.shares is not None:
        columns = {
            "model": "Model",
            "level": "Level",
            "distance": "Distance",
            "value": "Value",
            "floor": "Sampling floor",
            "excess": "Excess",
        }
        labels = [distance_label(d) for d in c.shares["distance"].to_list()]
        readable = c.shares.with_columns(pl.Series("distance", labels, pl.String))
        caption = "Realised against predicted shares; the floor is what true probabilities would show"
        blocks.append(
            plain_table(readable, caption, columns, digits=dict.fromkeys(("value", "floor", "excess"), 4))
        )
    return Section("market", "The simulated market", c.market_note, tuple(blocks)) if blocks else None


def price_section(c: ReportContent) -> Section | None:
    if c.price_response is None or not len(c.price_response):
        return None
    figure = Figure(
        figures.draw_price_response(c.price_response, c.price_today, c.currency),
        "Share of choices by price, everything else as it is.",
        "Price-response curve: share of choices against price",
    )
    return Section(
        "price", "Price response", "What the model expects at other prices, association not cause.", (figure,)
    )


def what_if_section(c: ReportContent) -> Section | None:
    if c.what_if is None:
        return None
    w = c.what_if
    blocks: list[Block] = [effect_table(w.effects, "Scenario against base world")]
    if c.effects is not None and len(c.effects):
        svg = market_figures.draw_tornado(c.effects, "change of the base world", percent=True)
        spoken = "; ".join(f"{r['name']} {percent(r['value'], 1)}" for r in c.effects.iter_rows(named=True))
        caption = "Effects as parts of the base world, with 95 % intervals."
        blocks.append(Figure(svg, caption, f"{caption} {spoken}."))
    if c.surface is not None:
        s = c.surface
        svg = market_figures.draw_response_surface(s.x, s.y, s.value, labels=s.labels, today=s.today)
        caption = f"{s.labels[2]} by {s.labels[0]} and {s.labels[1]}."
        blocks.append(Figure(svg, caption, f"Response surface: {caption}"))
    if w.diversion is not None and len(w.diversion):
        spoken = "; ".join(
            f"{r['source']} {percent(r['share'], 0)}" for r in w.diversion.iter_rows(named=True)
        )
        svg = figures.draw_diversion(w.diversion)
        blocks.append(Figure(svg, "Where the additional units came from.", f"Diversion: {spoken}."))
    if w.note:
        blocks.append(Text(w.note))
    return Section("what-if", "What if", w.question, tuple(blocks))
