"""Stage 1: the data set, loaded and cleaned, with every row accounted for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from malles.errors import ConfigError
from malles.road import Road
from malles.store import write_json


def read_transactions(road: Road) -> None:
    """Keep what became of the rows; the tables themselves stay in the data home."""
    check_weeks(road)
    fingerprint = str(road.dataset.provenance.get("fingerprint", ""))
    road.run.note(fingerprint=fingerprint)
    road.steps["transactions"] = road.run.step(
        "transactions",
        "01-transactions.json",
        build=lambda: summarise(road),
        save=write_plain,
        load=read_plain,
        settings={"fingerprint": fingerprint, "name": road.dataset.name},
        code=("data",),
    )


def last_week(road: Road) -> int:
    """The last week that the data set has."""
    found = road.dataset.transactions["week"].max()
    return int(str(found)) if found is not None else 0


def check_weeks(road: Road) -> None:
    """Refuse settings that ask for weeks the data set does not have.

    Raises:
        ConfigError: naming the setting and the weeks there are.
    """
    config, last = road.config, last_week(road)
    asked = {
        "[occasions] fit_until": config.occasions.fit_until,
        "[occasions] valid": config.occasions.valid[1],
        "[calibration] weeks": config.calibration.weeks[1],
        "[market] weeks": config.market.weeks[1],
    }
    for name, week in asked.items():
        if week > last:
            raise ConfigError(
                f"{name} asks for week {week}, but {road.dataset.name!r} has weeks 1 to {last}. "
                "Set first_week, fit_until, valid and test under [occasions], and weeks under "
                "[calibration] and [market]."
            )


def summarise(road: Road) -> dict[str, Any]:
    """What was read, accepted and refused, and what each cleaning rule touched."""
    data = road.dataset
    return {
        "name": data.name,
        "currency": data.currency,
        "rows": {
            name: getattr(data, name).height
            for name in ("transactions", "products", "customers", "promotions", "offers")
        },
        "provenance": data.provenance,
    }


def write_plain(value: object, path: Path) -> None:
    """JSON as a step's `save`; what is not a number becomes null."""
    write_json(path, _finite(value))


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_plain(path: Path) -> Any:
    """JSON as a step's `load`."""
    return json.loads(path.read_text(encoding="utf-8"))
