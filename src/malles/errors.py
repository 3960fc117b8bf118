"""Every error that malles raises on purpose.

    MallesError
    ├── UsageError          the command was called wrongly (exit code 2)
    │   ├── ConfigError     a setting is unknown or has an impossible value
    │   └── QueryError      a query over a run is refused, wrong or too large
    ├── DataError           a table cannot be used as it is
    │   ├── SchemaError     columns are missing, misnamed or of the wrong type
    │   └── ReconciliationError   records in file ≠ accepted + quarantined
    ├── OccasionError       an occasion cannot be decided
    ├── ModelError          a saved model cannot be read or does not fit the data
    ├── RunError            a run folder cannot be used (locked, other version, incomplete)
    ├── StorageError        the disk is full or cannot be written
    └── MissingExtra        an optional dependency is not installed

Each message is one sentence for a person: what, got, expected, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MallesError(Exception):
    """Base of every error a user can cause or mend."""

    exit_code = 1


class UsageError(MallesError):
    """The command or function was called wrongly."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown or has an impossible value."""


class QueryError(UsageError):
    """A query over the tables of a run is refused, wrong, too slow or too large."""


class DataError(MallesError):
    """A table cannot be used as it is."""


class SchemaError(DataError):
    """Columns are missing, misnamed or of the wrong type."""


class ReconciliationError(DataError):
    """Records in file differ from accepted plus quarantined: the import stops, nothing is written."""


class OccasionError(MallesError):
    """An occasion cannot be decided, for example because no alternative is available."""


class ModelError(MallesError):
    """A saved model cannot be read, is of another version, or does not fit the data."""


class RunError(MallesError):
    """A run folder is locked, of another version, or incomplete."""


class StorageError(MallesError):
    """The disk is full or cannot be written; what was recorded before is intact."""


class MissingExtra(MallesError):  # noqa: N818  (the name is the sentence)
    """An optional dependency is not installed."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}. Install it with: pip install 'malles[{extra}]'")


def did_you_mean(name: str, known: Iterable[str], *, count: int = 3) -> str:
    """The closest known names as a sentence, or '' when none is close.

    >>> did_you_mean("stepp", ["step", "seed", "window"])
    "Did you mean 'step'?"
    """
    close = difflib.get_close_matches(name, list(known), n=count, cutoff=0.6)
    if not close:
        return ""
    if len(close) == 1:
        return f"Did you mean {close[0]!r}?"
    return "Did you mean one of these: " + ", ".join(repr(c) for c in close) + "?"
