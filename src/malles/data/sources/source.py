"""What malles knows of a data source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from malles.vocabulary import DataSet


@dataclass(frozen=True)
class Source:
    """One data set that malles knows by name."""

    name: str
    origin: str
    licence: str
    how: str
    """How a user gets it."""
    rows: str
    """Its size in words."""
    needs_path: bool
    """Whether the user has to say where the file is (`malles data add NAME PATH`)."""
    load: Callable[[Path | None], DataSet] | None
    """Loads it as a DataSet; None where it is no table of transactions."""
    cached: bool = False
    """Whether the cleaned tables are kept in the data home."""
    version: int = 1
    """Raised when the loading rules change, so that a cached copy is made anew."""
