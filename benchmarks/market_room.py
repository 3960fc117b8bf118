"""The market of the yardsticks: Complete Journey, with models that are kept under runs/benchmark-models."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from malles.choice.model import ChoiceModel
from malles.config import Config, build_config
from malles.data.loading import load_dataset
from malles.engines import find_engine, load_engine
from malles.head.incidence import FittedIncidence
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.population.world import World
from malles.profiles.features import FeatureStore
from malles.stages.market import MarketRoom
from malles.vocabulary import Catalogue, Regime

KEPT = Path("runs/benchmark-models")
"""Where fitted models are kept unless a command names another folder."""


def open_room(
    config: Config, seed: int, drift: Any = lambda: None, *, keep: Path = KEPT
) -> tuple[MarketRoom, FittedIncidence]:
    """The market room of a configuration, with its set model and its incidence model."""
    torch.set_num_threads(1)
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    choice = fitted_choice(catalogue, "head", config.occasions.fit_until, seed, keep=keep)
    room = MarketRoom(catalogue, config, lambda: choice, drift)
    folder = keep / f"incidence-{config.calibration.fit_until}-{seed}"
    if not folder.is_dir():
        room.fit_incidence(seed).save(folder)
        print("incidence is fitted", file=sys.stderr, flush=True)
    return room, FittedIncidence.load(folder)


def fitted_choice(
    catalogue: Catalogue, name: str, until: int, seed: int, *, keep: Path = KEPT
) -> ChoiceModel:
    """A choice model fitted on the warm occasions of weeks 9 to `until`: two processor-minutes, once."""
    folder = keep / f"{name}-{until}-{seed}"
    if not folder.is_dir():
        store, cold = FeatureStore(catalogue), build_split(catalogue)
        warm = (~cold.cold_customer, ~cold.cold_category)
        train = build_occasions(catalogue, None, (9, until), *warm).occasions
        later = build_occasions(catalogue, None, (until + 1, until + 4), *warm).occasions
        data, group = store.build(train, Regime.FULL), category_groups(catalogue)[train.category]
        model = find_engine(name).fit(data, store.build(later, Regime.FULL), group, seed=seed)
        keep.mkdir(parents=True, exist_ok=True)
        model.save(folder)  # type: ignore[attr-defined]
    print(f"{name} is fitted", file=sys.stderr, flush=True)
    return load_engine(folder, name, Regime.FULL)


def part_of(world: World, households: np.ndarray) -> World:
    """The world of some households alone."""
    return replace(
        world,
        purchases=world.purchases.take(households[world.purchases.customer]),
        lines=world.lines.take(households[world.lines.customer]),
    )


def weeks_config(fit_until: int, market: tuple[int, int], **sections: dict[str, Any]) -> Config:
    """Models fitted to `fit_until`, calibrated on the four weeks after it, simulated on `market`."""
    after = [fit_until + 1, fit_until + 4]
    test = [max(after[1] + 1, 45), max(after[1] + 1, 53)]
    return build_config({
        "occasions": {"fit_until": fit_until, "valid": after, "test": test, "sample": 0},
        "models": {"names": ["head"]},
        "calibration": {"weeks": after, "fit_until": fit_until},
        "market": {"weeks": list(market)},
        **sections,
    })  # fmt: skip
