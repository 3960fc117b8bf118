"""Stage 1: the data set, loaded and cleaned, with every row accounted for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from malles.road import Road
from malles.store import write_json


def read_transactions(road: Road) -> None:
    """Keep what became of the rows; the tables themselves stay in the data home."""
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
