"""The score summary on the terminal. Names are data: square brackets in them are not markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from malles.report.content import LANGUAGE_TITLE, ReportContent
from malles.report.tables import Table, effect_table, number, plain_table, score_table

SUMMARY_METRICS = ("log_loss", "hit_rate_score", "top_calibration_error")
"""What fits into 80 columns."""

_ARROWS = {"higher is better": " ↑", "lower is better": " ↓"}


def print_scores(
    scores: pl.DataFrame,
    *,
    title: str = "Held-out scores",
    metrics: Sequence[str] = SUMMARY_METRICS,
    console: Console | None = None,
) -> None:
    """Print the score table to standard output: models down, metrics across, intervals below each value."""
    wanted = [m for m in metrics if m in set(scores["metric"].to_list())]
    order = {m: i for i, m in enumerate(wanted)}
    part = scores.filter(pl.col("metric").is_in(wanted))
    part = part.with_columns(pl.col("metric").replace_strict(order, return_dtype=pl.Int32).alias("_order"))
    print_table(score_table(part.sort("_order", maintain_order=True), title), console=console)


def print_table(table: Table, *, console: Console | None = None) -> None:
    """Print any table of `tables.py`."""
    drawn = RichTable(
        title=Text(_printable(table.caption)),
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1),
    )
    for head in table.header:
        label = head.text + _ARROWS.get(head.small, "")
        drawn.add_column(Text(_printable(label)), justify="right" if head.number else "left", overflow="fold")
    for row in table.rows:
        cells = []
        for cell in row:
            text = Text(
                _printable(cell.text) + (" *" if cell.mark == "best" else ""),
                style="bold" if cell.mark else "",
            )
            if cell.small:
                text.append("\n" + _printable(cell.small), style="dim")
            cells.append(text)
        drawn.add_row(*cells)
    (console or Console()).print(drawn)


def print_facts(facts: Mapping[str, object], *, console: Console | None = None) -> None:
    """Print names and values in two columns."""
    drawn = RichTable(show_header=False, box=None, pad_edge=False)
    drawn.add_column(style="dim")
    drawn.add_column(overflow="fold")
    for name, value in facts.items():
        drawn.add_row(Text(_printable(name)), Text(_printable(number(value))))
    (console or Console()).print(drawn)


def _printable(text: str) -> str:
    """Text without control characters, so that data cannot move the cursor or colour the screen."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def print_summary(content: ReportContent, *, console: Console | None = None) -> None:
    """Scores, market and what-if of a finished run."""
    if content.scores is not None:
        print_scores(content.scores, title="Held-out scores", console=console)
    if content.score_note:
        (console or Console()).print(Text(_printable(content.score_note), style="dim"))
    for extra in content.extras:
        if extra.title == LANGUAGE_TITLE:
            names = {column: column for column in extra.frame.columns}
            print_table(plain_table(extra.frame, extra.title, names), console=console)
            (console or Console()).print(Text(_printable(extra.note), style="dim"))
    if content.market is not None:
        part = content.market.filter(pl.col("metric") == "wape_error").select("model", "value", "low", "high")
        names = {"model": "Forecast", "value": "Weighted error", "low": "Low", "high": "High"}
        shares = ("value", "low", "high")
        title = "Units by category and week: weighted absolute error"
        print_table(plain_table(part, title, names, percentages=shares), console=console)
    if content.what_if is not None:
        print_table(effect_table(content.what_if.effects, content.what_if.question), console=console)
