"""What got better and what got worse when product shares were followed, on held-out occasions."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from malles.calibration.drift import ShareDrift
from malles.engines import market_model
from malles.errors import DataError
from malles.evaluation.comparison import compare_models
from malles.evaluation.metrics import METRICS
from malles.evaluation.promotion import promotion_response
from malles.evaluation.share_comparison import LEVELS, compare_share_distances
from malles.road import Road
from malles.stages.transactions import read_plain, write_plain
from malles.vocabulary import Occasions

BEFORE, AFTER = "before", "after"

DRAWS = 200
"""Draws of households behind the intervals, at most."""

SHOWN = ("log_loss", "hit_rate_score", "brier_loss")
"""Metrics of single choices in the table."""


def score_calibration(road: Road) -> None:
    """The market's choice model before and after its product shares were followed (06)."""
    if "drift" not in road.steps:
        return
    settings = road.config.evaluation
    road.steps["calibrated scores"] = road.run.step(
        "calibrated scores",
        "06-calibrated-scores.json",
        build=lambda: _score(road),
        save=write_plain,
        load=read_plain,
        settings=settings,
        inputs=[road.steps["predictions"], road.steps["occasions valid"], road.steps["drift"]],
        code=("evaluation", "calibration", "stages/calibrated_scores", "vocabulary"),
    )


def _score(road: Road) -> list[dict[str, Any]]:
    road.tell("what calibration made better and worse")
    name, settings = market_model(road.config.models.names), road.config.evaluation
    predictions = road.steps["predictions"].value
    if name not in predictions:
        return []
    before, o = predictions[name], road.occasions("valid")
    return compare_calibration(
        before, road.steps["drift"].value, o, min(settings.bootstrap, DRAWS), settings.seed
    )


def compare_calibration(
    probability: np.ndarray, drift: ShareDrift, o: Occasions, draws: int, seed: int
) -> list[dict[str, Any]]:
    """One row per measure: level, before, after, difference with its interval, verdict.

    Args:
        probability: the model's choice probabilities.
        drift: product shares followed; each occasion meets what was known before its week.
        o: held-out occasions with known choices.
        draws: draws of households.
        seed: of the draws.
    """
    there = o.available & (o.product >= 0)
    answers = {BEFORE: probability, AFTER: drift.apply(probability, there, o.product, o.week)}
    rows = []
    table = compare_models(answers, o, BEFORE, np.random.default_rng([seed, 4]), draws=draws)
    for d in table.differences:
        if d.metric in SHOWN:
            old, new = (table.score(m, d.metric).value for m in (BEFORE, AFTER))
            higher = METRICS[d.metric].higher_is_better
            rows.append(_row("single choices", d.metric, old, new, d.value, d.low, d.high, higher))
    for level in LEVELS:
        try:
            found = compare_share_distances(
                answers, o, BEFORE, np.random.default_rng([seed, 5]), level=level, draws=draws
            )
        except DataError:
            continue
        by = {(r["model"], r["distance"]): r for r in found.to_dicts()}
        for distance in dict.fromkeys(found["distance"].to_list()):
            first, then = by[BEFORE, distance], by[AFTER, distance]
            gap = (then["difference"], then["difference_low"], then["difference_high"])
            rows.append(
                _row(level, f"{distance} above its floor", first["excess"], then["excess"], *gap, False)
            )
    return rows + _promotion(answers, o, draws, seed)


def _promotion(answers: dict[str, np.ndarray], o: Occasions, draws: int, seed: int) -> list[dict[str, Any]]:
    """Promotion response before and after; its intervals are not paired, so no verdict is given."""
    try:
        old, new = (
            promotion_response(
                p, o.available, o.chosen, o.product, o.price, o.list_price, o.customer,
                np.random.default_rng([seed, 1]), draws=draws,
            )
            for p in answers.values()
        )  # fmt: skip
    except DataError:
        return []
    pairs = {"correlation": (old.correlation_score, new.correlation_score), "slope": (old.slope, new.slope)}
    return [
        {
            "level": "promotion response", "measure": measure, "before": a.value, "after": b.value,
            "difference": b.value - a.value, "low": None, "high": None,
            "verdict": f"after: {b.low:.3f} to {b.high:.3f}",
        }
        for measure, (a, b) in pairs.items()
    ]  # fmt: skip


def _row(
    level: str, measure: str, old: float, new: float, gap: float, low: float, high: float, higher: bool
) -> dict[str, Any]:
    verdict = "no difference shown"
    if low > 0 or high < 0:
        verdict = "better" if (gap > 0) == higher else "worse"
    return {
        "level": level, "measure": measure.replace("_", " "), "before": old, "after": new, "difference": gap,
        "low": low, "high": high, "verdict": verdict,
    }  # fmt: skip


def calibration_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """The table of the report."""
    return pl.DataFrame(rows, infer_schema_length=None)
