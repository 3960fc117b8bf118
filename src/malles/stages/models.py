"""Stage 3: every choice model of the configuration, and the quantity model, fitted on the same occasions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from malles.choice.model import ChoiceModel
from malles.config import Config, LanguageSettings, ServedSettings
from malles.engines import AlignedEngine, find_engine, load_engine
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

    names = road.config.models.names
    for name in names:
        find_engine(name)  # a misspelt name is refused before anything is fitted
    for name in sorted(names, key=lambda n: n != "api"):  # a server that is not there, before the others
        road.steps[f"model {name}"] = fit_one(road, name)
    fit_units(road)


def fit_one(road: Road, name: str) -> Step[ChoiceModel]:
    """One choice model."""
    settings = road.config
    slow, options = find_engine(name).slow, language_settings(road.config, name)
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


def language_settings(config: Config, name: str) -> LanguageSettings | ServedSettings:
    """The section a language model is set up by, with a server's address from the environment filled in."""
    if name != "api":
        return config.llm
    from malles.llm.served import resolve

    return resolve(config.api)


def _fit(road: Road, name: str) -> ChoiceModel:
    engine, options = find_engine(name, road.config.occasions.regime), language_settings(road.config, name)
    if isinstance(engine, AlignedEngine) and isinstance(options, LanguageSettings) and options.adapter:
        road.tell(f"reading {name}")
        return engine.read(options, road.features("valid"))  # nothing is fitted: no training features
    train, valid = road.features("train"), road.features("valid")
    title = f"fitting {name}"
    road.tell(title)
    checkpoints = road.run.folder / "checkpoints" / name
    fitted = engine.fit(
        train,
        valid,
        category_groups(road.catalogue)[train.occasions.category],
        seed=road.config.models.seed,
        tell=lambda done, total: road.tell(title, done, total),
        options=options,
        folder=checkpoints,
    )
    remove(checkpoints)
    return fitted


def _save(model: Any, folder: Path) -> None:
    model.save(folder)
