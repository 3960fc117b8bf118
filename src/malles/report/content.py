"""What a report says, as plain data: frames, dictionaries and text. The pipeline fills it, the page draws it.

Every part may be absent (None or empty); its section is then left out. Frames have the columns stated beneath
each field; further columns are ignored. Nothing here is computed by the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True)
class ImportSummary:
    """What became of the rows of the source."""

    read: int
    accepted: int
    quarantined: int
    rules: pl.DataFrame | None = None
    """rule, rows, treatment: what each cleaning rule touched."""


@dataclass(frozen=True)
class WhatIf:
    """One question to the simulated market, answered as a difference to the base world."""

    question: str
    """For example 'COLA 2 LITER at 20 % off with a display, week 41'."""
    effects: pl.DataFrame
    """quantity, base, scenario, difference, low, high; `low` and `high` bound the difference."""
    diversion: pl.DataFrame | None = None
    """source, share, low, high: where the additional units came from; shares of the gain."""
    note: str = ""


@dataclass(frozen=True)
class Decision:
    """One decision of one customer, explained."""

    heading: str
    """For example 'Customer 1204, week 43, SOFT DRINKS | 2 LITER'."""
    profile: Mapping[str, str] = field(default_factory=dict)
    profile_text: str = ""
    alternatives: pl.DataFrame | None = None
    """alternative, price, list_price, promotion, probability, chosen."""
    contributions: pl.DataFrame | None = None
    """term, contribution: utility of the leading alternative above the mean of the choice set, by feature."""
    contributions_of: str = ""
    """Which alternative the contributions belong to."""


@dataclass(frozen=True)
class Surface:
    """A quantity over a grid of two decisions, for example two prices, or a price and a display."""

    x: Sequence[float | str]
    y: Sequence[float | str]
    value: Float[ndarray, "row column"]
    """One row per entry of `y`, one column per entry of `x`; not-a-number where it is unknown."""
    labels: tuple[str, str, str]
    """What x, y and the quantity are, with their units."""
    today: tuple[int, int] | None = None
    """(row, column) of the present decision."""


LANGUAGE_TITLE = "The language model beside the others"
"""Title of the extra table that the terminal shows too."""


@dataclass(frozen=True)
class Extra:
    """A further table with its caption."""

    title: str
    frame: pl.DataFrame
    note: str = ""


@dataclass(frozen=True)
class ReportContent:
    """Everything one report shows."""

    title: str
    subtitle: str = ""
    run: Mapping[str, str] = field(default_factory=dict)
    """Facts of the run in reading order: data set, licence, sample, weeks, seed, versions, machine."""
    headline: Mapping[str, str] = field(default_factory=dict)
    """At most five results for the top of the page: short label, value with its unit."""
    durations: pl.DataFrame | None = None
    """step, seconds."""
    imports: ImportSummary | None = None
    coverage: pl.DataFrame | None = None
    """step, occasions, share: how many purchases became scored occasions, and why not the others."""
    scores: pl.DataFrame | None = None
    """model, metric, value, low, high (`ScoreTable.scores_frame`); log-loss first."""
    differences: pl.DataFrame | None = None
    """model, reference, metric, value, low, high, verdict (`ScoreTable.differences_frame`)."""
    score_note: str = ""
    """Split, information regime, occasions, customers, bootstrap draws."""
    calibration: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """By model: predicted, observed, low, high, count."""
    calibration_note: str = ""
    promotion: pl.DataFrame | None = None
    """predicted, realised: one row per product, of the model named in `promotion_model`."""
    promotion_model: str = ""
    promotion_summary: pl.DataFrame | None = None
    """model, products, correlation, slope, slope_low, slope_high, error, zero_error."""
    shares: pl.DataFrame | None = None
    """model, level, distance, value, floor, excess."""
    weekly_units: pl.DataFrame | None = None
    """category, week, actual, simulated; optional low, high. At most six categories are drawn, in order."""
    market_cells: pl.DataFrame | None = None
    """actual, simulated: units of every category and week."""
    market_total: pl.DataFrame | None = None
    """week, actual, simulated; optional low, high: units of all categories."""
    convergence: pl.DataFrame | None = None
    """week, iteration, gap: how the mean field of every week was solved."""
    market: pl.DataFrame | None = None
    """model, metric, value, low, high: units of the market (weighted error, bias, ...)."""
    market_note: str = ""
    """One week ahead or free-running; trips simulated or taken from the data."""
    price_response: pl.DataFrame | None = None
    """price, share; optional low, high; optional product (one line each)."""
    price_today: float | None = None
    currency: str = ""
    what_if: WhatIf | None = None
    effects: pl.DataFrame | None = None
    """name, value, low, high: effects of scenarios as parts of the base world, for one picture."""
    surface: Surface | None = None
    decision: Decision | None = None
    rules: Mapping[str, Any] | None = None
    """What `malles rules` found: units with its front and sentence, utility with its copies."""
    extras: tuple[Extra, ...] = ()
    warnings: tuple[str, ...] = ()
    """What went wrong or is thin in this run."""
    limits: tuple[str, ...] = ()
    """What no such run can show; those of `STANDARD_LIMITS` are always printed."""


STANDARD_LIMITS = (
    "Price effects are associational: prices and promotions were not drawn at random, and their timing "
    "coincides with seasons and plans that the data do not show.",
    "Intervals cover the sampling of customers. They do not cover a wrong model, a changed market, or "
    "competitors that react.",
    "Scores on choices are conditional on the stated choice sets; purchases outside them are counted under "
    "coverage.",
)
"""Printed in every report."""
