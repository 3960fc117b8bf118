"""A what-if on the market of a finished run, without computing the run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from malles.config import ScenarioSettings
from malles.engines import market_model
from malles.errors import ConfigError, RunError
from malles.head.incidence import FittedIncidence
from malles.population.simulation import TripSource
from malles.road import Tell
from malles.stages.finished import open_finished
from malles.stages.market import DRIFT, MarketRoom, read_drift
from malles.stages.what_if import answer


def ask_finished(
    root: Path,
    run: str,
    settings: ScenarioSettings,
    week: int | None,
    draws: int,
    seed: int | None,
    tell: Tell,
) -> dict[str, Any]:
    """The answer of a run's market to a scenario.

    Args:
        root: folder of all runs.
        run: name of the run.
        settings: what changes.
        week: week of the what-if; None takes the last simulated one.
        draws: draws behind every interval.
        seed: of the draws; None takes the run's.
        tell: told what is going on.

    Raises:
        RunError: the run stopped before its market was calibrated.
        ConfigError: the week is not one whose shelves the run knows.
    """
    finished = open_finished(root, run, tell)
    rates = finished.folder / "06-rates.json"
    if not rates.is_file():
        raise RunError(f"Run {run!r} has no calibrated market yet; go on with: malles runs resume {run}")
    config = finished.config
    first, last = config.occasions.first_week, config.market.weeks[1]
    when = last if week is None else week
    if not first <= when <= last:
        raise ConfigError(
            f"--week {when} is not between {first} and {last}, the weeks that run {run!r} knows."
        )
    followed = finished.folder / DRIFT
    room = MarketRoom(
        finished.catalogue,
        config,
        lambda: finished.model(market_model(config.models.names)),
        lambda: read_drift(followed) if followed.is_file() else None,
    )
    incidence = FittedIncidence.load(finished.folder / "03-models" / "incidence")
    kept = json.loads(rates.read_text(encoding="utf-8"))
    if not {"rate", "reaction"} <= kept.keys():
        raise RunError(
            f"Run {run!r} was calibrated by an older malles; bring it up to date with: "
            f"malles runs resume {run}"
        )
    tell("what-if")
    return answer(
        finished.catalogue, room.world, room.deciders(incidence, kept), settings, [when],
        trips=TripSource(config.market.trips), seed=config.market.seed if seed is None else seed, draws=draws,
    )  # fmt: skip
