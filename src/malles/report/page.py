"""The report: one HTML file without outside references, that opens offline and prints well.

Sections appear in the order of `SECTIONS` when the content has them. All text is escaped by the template
engine; only figures drawn in this room are inserted as markup.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import polars as pl
from jinja2 import Environment, StrictUndefined

from malles.errors import StorageError
from malles.evaluation.metrics import BINARY_METRICS, CHOICE_METRICS, METRICS, UNIT_METRICS
from malles.report import figures
from malles.report.blocks import Block, Bullets, Facts, Figure, Fold, Section, Text
from malles.report.content import STANDARD_LIMITS, ReportContent
from malles.report.market_page import market_section, price_section, what_if_section
from malles.report.tables import difference_table, number, plain_table, score_table

_KEY_METRICS = (
    "log_loss",
    "hit_rate_score",
    "top_calibration_error",
    "binary_log_loss",
    "units_deviance_loss",
    "units_absolute_error",
)
"""Differences shown at once; the others stand behind a fold."""


def render_page(content: ReportContent) -> str:
    """The report as one HTML document.

    >>> page = render_page(ReportContent("A <b>bold</b> report", run={"seed": "1"}))
    >>> "<b>" in page, "A &lt;b&gt;bold" in page
    (False, True)
    """
    return render_sections(content, [s for build in SECTIONS.values() if (s := build(content)) is not None])


def render_sections(content: ReportContent, sections: Sequence[Section]) -> str:
    """Sections of any origin as one HTML document, below title, subtitle and headline of the content."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests["block"] = lambda block, kind: type(block).__name__ == kind
    template = environment.from_string((files("malles.report") / "page.html.j2").read_text("utf-8"))
    return template.render(content=content, sections=sections)


def write_page(content: ReportContent, path: Path, sections: Sequence[Section] | None = None) -> Path:
    """Render and write the report; an earlier one is replaced only when the new one is complete.

    Args:
        content: what the report shows.
        path: the file.
        sections: other ones than those of the content.
    """
    page = render_page(content) if sections is None else render_sections(content, sections)
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StorageError(
            f"the report {path} could not be written ({error.strerror}); free some space."
        ) from error
    return path


def _run(c: ReportContent) -> Section | None:
    blocks: list[Block] = []
    if c.run:
        blocks.append(Facts(tuple((str(k), str(v)) for k, v in c.run.items())))
    if c.durations is not None:
        names = {"step": "Step", "seconds": "Seconds"}
        blocks.append(plain_table(c.durations, "Time of every step", names, digits={"seconds": 1}))
    return Section("run", "The run", "", tuple(blocks)) if blocks else None


def _import(c: ReportContent) -> Section | None:
    if c.imports is None:
        return None
    i = c.imports
    lead = (
        f"{number(i.read)} rows read = {number(i.accepted)} accepted + {number(i.quarantined)} quarantined. "
        "Every quarantined row is kept with its line, cause and text."
    )
    blocks: tuple[Block, ...] = ()
    if i.rules is not None:
        names = {"rule": "Rule", "rows": "Rows touched", "treatment": "Treatment"}
        blocks = (plain_table(i.rules, "What the cleaning rules touched", names),)
    return Section("import", "Data import", lead, blocks)


def _coverage(c: ReportContent) -> Section | None:
    if c.coverage is None:
        return None
    names = {"step": "Step", "occasions": "Occasions", "share": "Share of all"}
    table = plain_table(
        c.coverage, "From purchases to scored occasions", names, percentages=["share"], bars=["share"]
    )
    lead = "Which purchases became choice occasions, and where the others went. Scores hold for the former."
    return Section("coverage", "Coverage of the choice occasions", lead, (table,))


def _scores(c: ReportContent) -> Section | None:
    if c.scores is None:
        return None
    blocks: list[Block] = []
    present = set(c.scores["metric"].to_list())
    if "log_loss" in present:
        svg = figures.draw_scores(c.scores, "log_loss", "log-loss, nats per choice (lower is better)")
        rows = c.scores.filter(pl.col("metric") == "log_loss").iter_rows(named=True)
        spoken = "; ".join(f"{r['model']} {number(r['value'])}" for r in rows)
        blocks.append(
            Figure(svg, "Log-loss of held-out choices, with 95 % intervals.", f"Log-loss: {spoken}.")
        )
    others = present - set(METRICS)
    for metrics, caption in (
        (set(CHOICE_METRICS), "Choices: value and 95 % interval; the best of each column is marked ★"),
        (set(UNIT_METRICS), "Units, given the product bought"),
        (set(BINARY_METRICS), "Whether a trip buys in the category at all"),
        (others, "Further scores"),
    ):
        part = c.scores.filter(pl.col("metric").is_in(sorted(metrics)))
        if len(part):
            blocks.append(score_table(part, caption))
    if c.differences is not None and len(c.differences):
        reference = str(c.differences["reference"][0])
        caption = f"Differences to {reference}, paired by customer"
        blocks.append(difference_table(c.differences, caption, _KEY_METRICS))
        if set(c.differences["metric"].to_list()) - set(_KEY_METRICS):
            blocks.append(Fold("All paired differences", difference_table(c.differences, caption)))
    lead = "How well each model foretells choices it never saw. " + c.score_note
    return Section("scores", "Scores", lead, tuple(blocks))


def _calibration(c: ReportContent) -> Section | None:
    if not c.calibration:
        return None
    figure = Figure(
        figures.draw_calibration(c.calibration),
        "Each point is one fifteenth of the occasions; bars are 95 % intervals. " + c.calibration_note,
        "Calibration curve: observed frequency of the top choice against its predicted probability for "
        + ", ".join(c.calibration),
    )
    lead = "When a model says 60 %, does it happen six times in ten? On the dashed line it does."
    return Section("calibration", "Calibration", lead, (figure,))


def _promotion(c: ReportContent) -> Section | None:
    blocks: list[Block] = []
    if c.promotion is not None and len(c.promotion):
        model = f" by {c.promotion_model}" if c.promotion_model else ""
        caption = (
            f"{len(c.promotion)} products; change of win rate on discount, predicted{model} and realised."
        )
        blocks.append(Figure(figures.draw_promotion(c.promotion), caption, caption))
    if c.promotion_summary is not None:
        names = {
            "model": "Model",
            "products": "Products",
            "correlation": "Correlation",
            "slope": "Slope",
            "slope_low": "from",
            "slope_high": "to",
            "error": "Error",
            "zero_error": "Error of no response",
        }
        digits = {"error": 4, "zero_error": 4}
        blocks.append(plain_table(c.promotion_summary, "Promotion response by model", names, digits=digits))
    lead = (
        "Does a product win more often when it is discounted, and does the model know? "
        "Slope 1 is calibrated; above 1 the model under-reacts."
    )
    return Section("promotion", "Promotion response", lead, tuple(blocks)) if blocks else None


def _decision(c: ReportContent) -> Section | None:
    if c.decision is None:
        return None
    d = c.decision
    blocks: list[Block] = []
    if d.profile:
        blocks.append(Facts(tuple((str(k), str(v)) for k, v in d.profile.items())))
    if d.profile_text:
        blocks.append(Text(d.profile_text, quote=True))
    if d.alternatives is not None:
        names = {
            "alternative": "Alternative",
            "price": "Price",
            "list_price": "List price",
            "promotion": "Promotion",
            "probability": "Probability",
            "chosen": "Chosen",
        }
        digits = {"price": 2, "list_price": 2}
        caption = "The choice set, most likely first"
        blocks.append(
            plain_table(
                d.alternatives,
                caption,
                names,
                digits=digits,
                percentages=["probability"],
                bars=["probability"],
            )
        )
    if d.contributions is not None and len(d.contributions):
        of = f" of {d.contributions_of}" if d.contributions_of else ""
        spoken = "; ".join(
            f"{r['term']} {number(r['contribution'], 2)}" for r in d.contributions.iter_rows(named=True)
        )
        svg = figures.draw_contributions(d.contributions)
        caption = f"What raised (blue, right) and lowered (orange, left) the utility{of}."
        blocks.append(Figure(svg, caption, f"Contributions{of}: {spoken}."))
    return Section("decision", "One customer, one decision", d.heading, tuple(blocks))


def _rules(c: ReportContent) -> Section | None:
    if c.rules is None:
        return None
    units, copies = c.rules["units"], c.rules["utility"]
    front = pl.DataFrame(units["front"])
    spoken = "; ".join(f"{r['nodes']} nodes {number(r['error'])}" for r in units["front"])
    names = {"nodes": "Nodes", "error": "Deviance", "low": "from", "high": "to", "rule": "Rule"}
    digits = dict.fromkeys(("error", "low", "high"), 4)
    blocks: list[Block] = [
        Text(units["sentence"], quote=True),
        Figure(figures.draw_front(front), "Held-out error by complexity; bars are 95 % intervals.", spoken),
        plain_table(front, "The front of rules for units", names, digits=digits),
    ]
    if copies:
        shown = {
            "nodes": "Nodes",
            "variance_share": "Variance",
            "agreement": "Same first choice",
            "rule": "Rule",
        }
        caption = f"Copies of {copies[0]['model']} as a weighted sum"
        blocks.append(plain_table(pl.DataFrame(copies), caption, shown))
    lead = "Formulas short enough to remember, and what their shortness costs."
    return Section("rules", "Short rules", lead, tuple(blocks))


def _extras(c: ReportContent) -> Section | None:
    if not c.extras:
        return None
    blocks: list[Block] = []
    for extra in c.extras:
        blocks.append(
            plain_table(extra.frame, extra.title, {n: n.replace("_", " ") for n in extra.frame.columns})
        )
        if extra.note:
            blocks.append(Text(extra.note))
    return Section("extras", "Further tables", "", tuple(blocks))


def _limits(c: ReportContent) -> Section:
    blocks: list[Block] = [Bullets(tuple(map(str, c.warnings)), warning=True)] if c.warnings else []
    blocks.append(Bullets((*STANDARD_LIMITS, *map(str, c.limits))))
    return Section("limits", "Warnings and limits", "", tuple(blocks))


SECTIONS: dict[str, Callable[[ReportContent], Section | None]] = {
    "run": _run,
    "import": _import,
    "coverage": _coverage,
    "scores": _scores,
    "calibration": _calibration,
    "promotion": _promotion,
    "market": market_section,
    "price": price_section,
    "what-if": what_if_section,
    "decision": _decision,
    "rules": _rules,
    "extras": _extras,
    "limits": _limits,
}
"""Every section, in the order of the page."""
