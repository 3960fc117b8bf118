"""Stage 2: choice occasions for fitting (a fixed sample) and for scoring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from malles.arrays import read_arrays, write_arrays
from malles.config import OccasionsSettings
from malles.errors import OccasionError
from malles.occasions.build import OccasionBuild, build_occasions
from malles.occasions.rules import OccasionRules
from malles.road import Road
from malles.stages.transactions import last_week, read_plain, write_plain
from malles.vocabulary import Catalogue, Occasions

CODE = ("data", "occasions", "vocabulary", "stages/occasions")


def build_occasion_tables(road: Road) -> None:
    """Occasions of the training weeks and of the scored weeks, with their coverage."""
    for part in ("train", "valid"):
        build_part(road, part)


def build_part(road: Road, part: str) -> None:
    """Occasions of 'train' or 'valid', with their coverage."""
    built: list[OccasionBuild] = []
    common: dict[str, Any] = {
        "settings": [road.config.occasions, part],
        "inputs": [road.steps["transactions"]],
        "code": CODE,
    }
    road.steps[f"occasions {part}"] = road.run.step(
        f"occasions {part}",
        f"02-occasions-{part}.safetensors",
        build=lambda: _choose(road, part, built),
        save=write_arrays,
        load=_read,
        **common,
    )
    road.steps[f"coverage {part}"] = road.run.step(
        f"coverage {part}",
        f"02-coverage-{part}.json",
        build=lambda: _coverage(road, part, built),
        save=write_plain,
        load=read_plain,
        **common,
    )


def occasion_rules(catalogue: Catalogue, settings: OccasionsSettings) -> OccasionRules:
    """How slates are formed in a run: rules scaled to the catalogue, with the run's own settings."""
    return replace(
        OccasionRules.scaled_to(catalogue), alternatives=settings.slate_size, first_week=settings.first_week
    )


def split_build(road: Road, part: str) -> OccasionBuild:
    """All occasions of one part: warm customers and categories in its weeks."""
    from malles.occasions.splits import build_split

    settings = road.config.occasions
    rules = occasion_rules(road.catalogue, settings)
    weeks = (settings.first_week, settings.fit_until) if part == "train" else settings.valid
    split = build_split(road.catalogue)
    return build_occasions(road.catalogue, rules, weeks, ~split.cold_customer, ~split.cold_category)


def _choose(road: Road, part: str, built: list[OccasionBuild]) -> Occasions:
    road.tell(f"choice occasions ({part})")
    whole = split_build(road, part)
    built.append(whole)
    found = whole.occasions
    if not len(found):
        raise OccasionError(
            f"No {part} occasion can be formed from {road.dataset.name!r} in these weeks; the data has weeks "
            f"1 to {last_week(road)}: change [occasions] first_week, fit_until or valid."
        )
    sample = road.config.occasions.sample
    if part == "train" and sample is not None and sample < len(found):
        rng = np.random.default_rng([road.config.occasions.seed, 2])
        found = found.take(np.sort(rng.choice(len(found), sample, replace=False)))
    return found


def _coverage(road: Road, part: str, built: list[OccasionBuild]) -> dict[str, Any]:
    whole = built[0] if built else split_build(road, part)
    return {
        "occasions": len(whole.occasions),
        "dropped": whole.dropped,
        "categories": whole.coverage.to_dicts(),
    }


def _read(path: Path) -> Occasions:
    return read_arrays(Occasions, path)
