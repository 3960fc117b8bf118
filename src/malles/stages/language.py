"""Language models on a fixed sample of held-out occasions, beside every other model on the same ones."""

from __future__ import annotations

from functools import partial
from time import process_time
from typing import Any

import numpy as np
import polars as pl

from malles.engines import find_engine
from malles.evaluation.comparison import compare_models
from malles.road import Road
from malles.stages.transactions import read_plain, write_plain

CODE = ("evaluation", "stages/language", "llm", "vocabulary")
SHOWN = {"log_loss": "log-loss", "hit_rate_score": "hit rate", "top_calibration_error": "calibration error"}


def score_language_models(road: Road) -> None:
    """Scores of the run's language models (05); does nothing if there are none."""
    names = [name for name in road.config.models.names if find_engine(name).slow]
    if not names:
        return
    road.steps["language scores"] = road.run.step(
        "language scores",
        "05-language-scores.json",
        build=lambda: _score(road, names),
        save=write_plain,
        load=read_plain,
        settings=[road.config.evaluation, road.config.llm.score, names],
        inputs=[
            *(road.steps[f"model {name}"] for name in road.config.models.names),
            road.steps["predictions"],
            road.steps["occasions valid"],
        ],
        code=CODE,
    )


BEFORE = (
    "The adapter was aligned before this run, on all training occasions and with a set model of its own: "
    "it has seen more than models fitted on a sample. "
)


def _score(road: Road, names: list[str]) -> dict[str, Any]:
    from malles.llm.aligning import fixed_sample

    settings = road.config.evaluation
    data = road.features("valid")
    rows = fixed_sample(len(data), road.config.llm.score)
    part = data.take(rows)
    answers = {name: p[rows] for name, p in road.steps["predictions"].value.items()}
    seconds, remarks = {}, []
    for name in names:
        title = f"{name} reads {len(rows)} occasions"
        road.tell(title)
        began = process_time()
        model: Any = road.steps[f"model {name}"].value
        answers[name] = model.predict(part, progress=partial(road.tell, title))
        remarks += [model.remark()] if hasattr(model, "remark") else []
        seconds[name] = round((process_time() - began) / len(rows), 4)
    reference = "head" if "head" in answers else next(iter(answers))
    table = compare_models(
        answers,
        part.occasions,
        reference,
        np.random.default_rng([settings.seed, 4]),
        draws=settings.bootstrap,
    )
    first, last = road.config.occasions.valid
    return {
        **table.to_dict(),
        "reference": reference,
        "processor_seconds_per_occasion": seconds,
        "note": (
            f"{len(rows)} fixed occasions of weeks {first} to {last}, the same for every model; "
            f"differences are to {reference}, paired by household, {settings.bootstrap} draws. "
            + (BEFORE if "hf" in names and road.config.llm.adapter else "")
            + " ".join(f"{n} takes {s:.2f} processor-seconds an occasion." for n, s in seconds.items())
            + "".join(f" {remark}" for remark in remarks)
        ),
    }


def language_frame(found: dict[str, Any]) -> pl.DataFrame:
    """Models down, scores and the paired difference in log-loss across."""
    rows: dict[str, dict[str, Any]] = {}
    for score in found["scores"]:
        if score["metric"] in SHOWN:
            rows.setdefault(score["model"], {"model": score["model"]})[SHOWN[score["metric"]]] = round(
                score["value"], 4
            )
    for gap in found["differences"]:
        if gap["metric"] == "log_loss" and gap["model"] in rows:
            rows[gap["model"]]["difference"] = f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"
    return pl.DataFrame([{"difference": "", **row} for row in rows.values()]).select(
        "model", *SHOWN.values(), "difference"
    )
