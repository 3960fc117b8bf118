"""How many units, given what was bought: fitted on the training occasions, scored on held-out ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from malles.errors import ModelError
from malles.evaluation.comparison import compare_units
from malles.head.quantity import FittedQuantity, QuantitySettings
from malles.profiles.quantity import build_quantity_features, chosen_only
from malles.road import Road
from malles.stages.models import CODE
from malles.stages.transactions import read_plain, write_plain
from malles.vocabulary import Catalogue, ChoiceData, Occasions


def fit_units(road: Road) -> None:
    """The quantity head, under 03-models/units."""
    road.steps["model units"] = road.run.step(
        "model units",
        "03-models/units",
        build=lambda: _fit(road),
        save=_save,
        load=FittedQuantity.load,
        settings=[road.config.models.seed],
        inputs=[road.steps["occasions train"]],
        code=CODE,
    )


def score_units(road: Road) -> None:
    """The quantity head beside means and LightGBM on the bought products of the held-out occasions."""
    settings = road.config.evaluation
    road.steps["unit scores"] = road.run.step(
        "unit scores",
        "05-unit-scores.json",
        build=lambda: _score(road),
        save=write_plain,
        load=read_plain,
        settings=settings,
        inputs=[road.steps["model units"], road.steps["occasions train"], road.steps["occasions valid"]],
        code=(*CODE, "evaluation", "stages/units"),
    )


def bought(catalogue: Catalogue, occasions: Occasions) -> ChoiceData:
    """Quantity features of the bought products alone."""
    known = np.flatnonzero((occasions.chosen > 0) & (occasions.units > 0))
    return build_quantity_features(catalogue, chosen_only(occasions.take(known)))


def _training(road: Road) -> ChoiceData:
    table: ChoiceData = road.shared("bought train", lambda: bought(road.catalogue, road.occasions("train")))
    return table


def _fit(road: Road) -> FittedQuantity:
    road.tell("fitting units")
    return QuantitySettings(seed=road.config.models.seed).fit(_training(road))


def _save(model: FittedQuantity, folder: Path) -> None:
    model.save(folder)


def _score(road: Road) -> dict[str, Any]:
    """Every quantity model on the same purchases; means are shrunk as the features say."""
    from malles.baselines.quantity import BoostedQuantity, HistoricalMean

    road.tell("scoring units")
    train, valid = _training(road), bought(road.catalogue, road.occasions("valid"))
    models: dict[str, Any] = {
        "item mean": HistoricalMean("item_mean").fit(train),
        "customer-item mean": HistoricalMean("customer_item_mean").fit(train),
        "LightGBM Poisson": BoostedQuantity(
            seed=road.config.models.seed, threads=road.config.run.workers
        ).fit(train),
        "units head": road.steps["model units"].value,
    }
    answers = {}
    for name, model in models.items():
        mean, point = model.predict(valid)
        answers[name] = (np.asarray(mean)[:, 1], np.asarray(point)[:, 1])
    o = valid.occasions
    rng = np.random.default_rng([road.config.evaluation.seed, 8])
    table = compare_units(
        answers, o.units, o.customer, "LightGBM Poisson", rng, draws=road.config.evaluation.bootstrap
    )
    return table.to_dict()


def load_units(folder: Path) -> FittedQuantity:
    """The quantity model of a run.

    Raises:
        ModelError: the run has none.
    """
    if not folder.is_dir():
        raise ModelError(f"There is no saved model in {folder}. Fit one with: malles fit CONFIG")
    return FittedQuantity.load(folder)
