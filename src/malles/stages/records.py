"""Tables to analyse afterwards: what the run was given (01), simulated (06) and found (09), as Parquet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from malles.engines import find_engine, market_model
from malles.records.found import record_found
from malles.records.given import record_given
from malles.records.schema import FOUND, GIVEN, SIMULATED, TABLES
from malles.records.simulated import Recorder
from malles.records.table import read_tables, write_tables
from malles.road import Road
from malles.stages.market import CODE as MARKET
from malles.stages.market import market_room, simulations

CODE = ("records", "stages/records")

Build = Callable[[], dict[str, pl.DataFrame]]


def record_given_tables(road: Road) -> None:
    """Order lines, products and customers (01-tables); runs on the same data share the bytes."""
    _step(
        road, "tables given", GIVEN, lambda: record_given(road.catalogue),
        settings=road.config.occasions.fit_until, inputs=["transactions"], code=("data", "occasions"),
    )  # fmt: skip


def record_simulated_tables(road: Road) -> None:
    """Trips, decisions, aggregates and the mean field of the simulated weeks (06-tables)."""
    settings = road.config
    _step(
        road, "tables simulated", SIMULATED, lambda: _simulated(road),
        settings=[settings.occasions, settings.market, settings.calibration, settings.models.seed],
        inputs=["market", "incidence", "rates"], code=MARKET,
    )  # fmt: skip


def record_found_tables(road: Road) -> None:
    """Models, scores and the outcome of the what-if (09-tables)."""
    inputs = ["scores", "unit scores", "market", "what-if"]
    inputs += ["language scores"] if "language scores" in road.steps else []
    _step(
        road, "tables found", FOUND, lambda: _found(road),
        settings=road.config.models.names, inputs=inputs, code=("vocabulary",),
    )  # fmt: skip


def _step(
    road: Road, name: str, folder: str, build: Build,
    *, settings: object, inputs: list[str], code: tuple[str, ...],
) -> None:  # fmt: skip
    road.steps[name] = road.run.step(
        name,
        folder,
        build=build,
        save=partial(_save, road),
        load=read_tables,
        settings=settings,
        inputs=[road.steps[each] for each in inputs],
        code=(*code, *CODE),
    )


def _save(road: Road, frames: dict[str, pl.DataFrame], folder: Path) -> None:
    road.tell("writing tables")
    write_tables(frames, folder, TABLES)


def _simulated(road: Road) -> dict[str, pl.DataFrame]:
    room = market_room(road)
    recorder = Recorder(
        road.catalogue,
        room.world.shelves,
        room.world.purchases,
        np.array(road.steps["rates"].value["dispersion"], float),
    )
    return recorder.record(simulations(road))


def _found(road: Road) -> dict[str, pl.DataFrame]:
    parts = {"choice": "scores", "units": "unit scores", "language": "language scores", "market": "market"}
    scores = {part: road.steps[name].value for part, name in parts.items() if name in road.steps}
    names, choice = road.config.models.names, scores["choice"]
    chooser = market_model(names)
    models = [
        {
            "model": name,
            "language": find_engine(name).slow,
            "market": name == chooser,
            "best": name == choice["best"],
            "reference": name == choice["reference"],
        }
        for name in names
    ]
    what_if = road.steps["what-if"].value
    key = road.catalogue.products.key
    product = key.filter(key.cast(pl.String) == what_if["product"])[0]
    return record_found(models, scores, what_if, product)
