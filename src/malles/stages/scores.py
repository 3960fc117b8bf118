"""Stage 4: every model on the same held-out occasions, with intervals and paired differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from malles.engines import find_engine
from malles.errors import DataError
from malles.evaluation.aggregate import share_distances
from malles.evaluation.calibration_curve import top_choice_curve
from malles.evaluation.comparison import compare_models
from malles.evaluation.promotion import promotion_response
from malles.road import Road
from malles.stages.language import score_language_models
from malles.stages.transactions import read_plain, write_plain
from malles.stages.units import score_units
from malles.vocabulary import Occasions

CODE = ("evaluation", "calibration", "stages/scores", "vocabulary")


def score_models(road: Road) -> None:
    """Predictions of every model (04), then all scores (05)."""
    settings = road.config.evaluation
    names = quick_models(road)
    models = [road.steps[f"model {name}"] for name in names]
    predictions = road.steps["predictions"] = road.run.step(
        "predictions",
        "04-predictions.safetensors",
        build=lambda: _predict_all(road),
        save=_save,
        load=_load,
        settings=[names, road.config.occasions.regime],
        inputs=[*models, road.steps["occasions valid"]],
        code=("profiles", "choice", "baselines", "head", "engines", "vocabulary"),
    )
    road.steps["scores"] = road.run.step(
        "scores",
        "05-scores.json",
        build=lambda: score_all(
            predictions.value, road.occasions("valid"), settings.bootstrap, settings.seed, road
        ),
        save=write_plain,
        load=read_plain,
        settings=settings,
        inputs=[predictions, road.steps["occasions valid"]],
        code=CODE,
    )
    score_units(road)
    score_language_models(road)


def quick_models(road: Road) -> list[str]:
    """The models that answer every held-out occasion; language models answer a fixed sample."""
    return [name for name in road.config.models.names if not find_engine(name).slow]


def reference_model(names: list[str]) -> str:
    """The model that differences are taken to: the strongest one that is not ours."""
    for name in ("lightgbm", "conditional_logit", "personal_frequency"):
        if name in names:
            return name
    return names[0]


def score_all(
    predictions: dict[str, np.ndarray], occasions: Occasions, draws: int, seed: int, road: Road | None = None
) -> dict[str, Any]:
    """All choice metrics, promotion response, aggregate shares and calibration curves, as plain data."""
    if road is not None:
        road.tell("scoring")
    names = list(predictions)
    reference = reference_model(names)
    table = compare_models(predictions, occasions, reference, np.random.default_rng([seed, 0]), draws=draws)
    best = min(names, key=lambda name: table.score(name, "log_loss").value)
    return {
        **table.to_dict(),
        "reference": reference,
        "best": best,
        "promotion": _promotion(predictions, occasions, draws, seed),
        "shares": _shares(predictions, occasions, seed),
        "calibration": {
            name: _curve(predictions[name], occasions, draws, seed)
            for name in dict.fromkeys((best, reference))
        },
        "coverage": {"occasions": len(occasions), "households": len(np.unique(occasions.customer))},
    }


def _promotion(predictions: dict[str, np.ndarray], o: Occasions, draws: int, seed: int) -> dict[str, Any]:
    """Promotion response by model; few slates are a sentence, not a number."""
    found: dict[str, Any] = {}
    for name, probability in predictions.items():
        try:
            response = promotion_response(
                probability, o.available, o.chosen, o.product, o.price, o.list_price, o.customer,
                np.random.default_rng([seed, 1]), draws=draws,
            )  # fmt: skip
        except DataError as few:
            return {"left_out": str(few)}
        found[name] = {
            "correlation": _interval(response.correlation_score),
            "slope": _interval(response.slope),
            "error": _interval(response.response_error),
            "zero_response_error": response.zero_response_error,
            "products": len(response.product),
            "points": response.to_frame().to_dicts(),
        }
    return found


def _interval(interval: Any) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _shares(predictions: dict[str, np.ndarray], occasions: Occasions, seed: int) -> list[dict[str, Any]]:
    rows = []
    for name, probability in predictions.items():
        for by_week in (False, True):
            try:
                found = share_distances(
                    probability, occasions, np.random.default_rng([seed, 2]), by_week=by_week
                )
            except DataError:
                continue
            rows += [{"model": name, **row} for row in found.summary_frame().to_dicts()]
    return rows


def _curve(probability: np.ndarray, o: Occasions, draws: int, seed: int) -> list[dict[str, float]]:
    curve = top_choice_curve(
        probability, o.available, o.chosen, o.customer, np.random.default_rng([seed, 3]), draws=draws
    )
    names = ("predicted", "observed", "low", "high", "count")
    return pl.DataFrame({name: getattr(curve, name) for name in names}).to_dicts()


def _predict_all(road: Road) -> dict[str, np.ndarray]:
    data = road.features("valid")
    answers = {}
    for name in quick_models(road):
        road.tell(f"predicting with {name}")
        answers[name] = road.steps[f"model {name}"].value.predict(data).astype(np.float32)
    return answers


def _save(predictions: dict[str, np.ndarray], path: Path) -> None:
    from safetensors.numpy import save

    path.write_bytes(save({name: np.ascontiguousarray(p) for name, p in predictions.items()}))


def _load(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return dict(load_file(path))
