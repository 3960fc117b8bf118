"""Stage 3: every choice model of the configuration, and the quantity model, fitted on the same occasions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from malles.choice.model import ChoiceModel
from malles.config import LanguageSettings, ServedSettings
from malles.engines import find_engine, load_engine
from malles.journal import Step
from malles.occasions.splits import category_groups
from malles.road import Road
from malles.store import remove

CODE = ("data", "occasions", "vocabulary", "profiles", "choice", "baselines", "head", "engines")
LANGUAGE = ("llm",)
"""Rooms that a language model depends on besides."""


def fit_models(road: Road) -> None:
    """One folder per model under 03-models."""
    from malles.stages.units import fit_units

    for name in road.config.models.names:
        find_engine(name)  # a misspelt name is refused before anything is fitted
    for name in road.config.models.names:
        road.steps[f"model {name}"] = fit_one(road, name)
    fit_units(road)


def fit_one(road: Road, name: str) -> Step[ChoiceModel]:
    """One choice model."""
    settings = road.config
    slow, options = find_engine(name).slow, language_settings(road, name)
    return road.run.step(
        f"model {name}",
        f"03-models/{name}",
        build=lambda: _fit(road, name),
        save=_save,
        load=partial(load_engine, name=name, regime=settings.occasions.regime),
        settings=[name, settings.models.seed, settings.occasions.regime, *([options] if slow else [])],
        inputs=[road.steps["occasions train"], road.steps["occasions valid"]],
        code=CODE + LANGUAGE if slow else CODE,
    )


def language_settings(road: Road, name: str) -> LanguageSettings | ServedSettings:
    """The section a language model is set up by, with a server's address from the environment filled in."""
    if name != "api":
        return road.config.llm
    from malles.llm.served import resolve

    return resolve(road.config.api)


def _fit(road: Road, name: str) -> ChoiceModel:
    train, valid = road.features("train"), road.features("valid")
    title = f"fitting {name}"
    road.tell(title)
    checkpoints = road.run.folder / "checkpoints" / name
    fitted = find_engine(name, road.config.occasions.regime).fit(
        train,
        valid,
        category_groups(road.catalogue)[train.occasions.category],
        seed=road.config.models.seed,
        tell=lambda done, total: road.tell(title, done, total),
        options=language_settings(road, name),
        folder=checkpoints,
    )
    remove(checkpoints)
    return fitted


def _save(model: Any, folder: Path) -> None:
    model.save(folder)
