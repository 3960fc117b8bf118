"""The figure of a plan: its prices by week, and the best value so far by question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from malles.report.drawing import short


def draw_plan(found: dict[str, Any], file: Path) -> None:
    """Draw what `malles plan` answered to an .svg or .png file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = found["plan"]
    for product in dict.fromkeys(row["product"] for row in rows):
        mine = [row for row in rows if row["product"] == product]
        weeks = [row["week"] for row in mine]
        (line,) = left.plot(weeks, [row["price"] for row in mine], marker="o", label=short(product, 40))
        today = [row["price_today"] for row in mine]
        left.plot(weeks, today, linestyle=":", marker="x", color=line.get_color())
        shown = [row for row in mine if row["display"]]
        left.scatter([r["week"] for r in shown], [r["price"] for r in shown], marker="s", s=90,
                     facecolors="none", edgecolors=line.get_color())  # fmt: skip
    left.set_xticks(sorted({row["week"] for row in rows}))
    left.set_xlabel("week (cross: today; square: on display)")
    left.set_ylabel(f"price, {found['currency']}")
    left.legend(fontsize=7)
    best, path = None, []
    for question in found["questions"]:
        if question["holds"] and (best is None or question["value"] > best):
            best = question["value"]
        path.append(best)
    right.step(range(1, len(path) + 1), [float("nan") if v is None else v for v in path], where="post")
    right.axhline(found["search"]["base"], color="grey", linewidth=0.8, label="today")
    if found["regret"] is not None:
        right.axhline(
            found["regret"]["grid_best"], color="tab:orange", linestyle="--", label="best of the grid"
        )
    right.set_xlabel("question")
    right.set_ylabel(f"best {found['quantity']} so far")
    right.legend(fontsize=7)
    figure.suptitle(short(found["question"], 90))
    figure.savefig(file, dpi=144)
