"""The column map: which column of a file is which canonical column, and how its values are written."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from malles.data.schema import Table
from malles.errors import ConfigError, SchemaError, did_you_mean


@dataclass(frozen=True)
class ColumnMap:
    """What a file's columns mean; the content of MAP.toml."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Canonical name → name in the file. Columns already named canonically need no line."""
    currency: str = "XXX"
    """ISO 4217 code; XXX means not stated."""
    time_zone: str = "UTC"
    """IANA name of the local time in which timestamps are kept."""
    timestamp_format: str = ""
    """strftime pattern, for example '%d/%m/%Y %H:%M'; ISO 8601 needs none."""
    delimiter: str = ""
    """One character; read off the header if empty."""
    decimal: str = "."
    encoding: str = "utf-8"
    sheet: str = ""
    """Excel sheet; the first if empty."""
    origin: str = ""
    licence: str = "not stated"


def load_column_map(path: Path) -> ColumnMap:
    """Read MAP.toml: settings at the top or under [data], names under [columns] or [data.columns].

    Raises:
        ConfigError: the file is missing or not TOML, a setting is unknown or has an impossible value.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"The column map {path} cannot be read: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}.") from None
    return build_column_map({**content, **content.pop("data", {})}, where=path.name)


def build_column_map(settings: Mapping[str, Any], *, where: str = "column map") -> ColumnMap:
    """A checked column map from plain settings.

    >>> build_column_map({"columns": {"price": "Unit Price"}, "currency": "GBP"}).currency
    'GBP'
    """
    settings = {k: v for k, v in settings.items() if k != "data"}
    known = {f.name for f in fields(ColumnMap)}
    for name in settings:
        if name not in known:
            hint = did_you_mean(name, known) or "Known settings: " + ", ".join(sorted(known)) + "."
            raise ConfigError(f"{where}: unknown setting {name!r}. {hint}")
    columns = settings.get("columns", {})
    if not isinstance(columns, Mapping) or not all(isinstance(v, str) for v in columns.values()):
        raise ConfigError(f'{where}: [columns] needs lines such as price = "Unit Price".')
    for name in known - {"columns"}:
        if not isinstance(settings.get(name, ""), str):
            raise ConfigError(f"{where}: {name} is {settings[name]!r}, but must be text in quotes.")
    made = ColumnMap(**settings)
    if not re.fullmatch(r"[A-Z]{3}", made.currency):
        raise ConfigError(
            f"{where}: currency is {made.currency!r}, but must be an ISO 4217 code such as 'USD'."
        )
    if made.decimal not in (".", ","):
        raise ConfigError(f"{where}: decimal is {made.decimal!r}, but must be '.' or ','.")
    if made.delimiter and (
        len(made.delimiter) != 1 or made.delimiter in '\n\r"' or ord(made.delimiter) > 127
    ):
        raise ConfigError(f"{where}: delimiter is {made.delimiter!r}, but must be one character such as ';'.")
    try:
        ZoneInfo(made.time_zone)
    except (ValueError, OSError, KeyError):
        raise ConfigError(
            f"{where}: there is no time zone {made.time_zone!r}. Use an IANA name such as 'Europe/Berlin'."
        ) from None
    return made


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()).strip()


def suggest_column(table: Table, wanted: str, present: Sequence[str]) -> str | None:
    """The column of a file that most likely holds a canonical column, or None.

    >>> from malles.data.schema import TRANSACTIONS
    >>> suggest_column(TRANSACTIONS, "customer", ["InvoiceNo", "Price", "Customer ID"])
    'Customer ID'
    """
    plain = {_plain(p): p for p in present}
    for alias in (_plain(wanted), *table.column(wanted).aliases):
        if alias in plain:
            return plain[alias]
    close = difflib.get_close_matches(_plain(wanted), list(plain), n=1, cutoff=0.75)
    return plain[close[0]] if close else None


def _listed(names: Sequence[str], most: int = 30) -> str:
    """Column names for a sentence, cut where a damaged header would flood it."""
    shown = ", ".join(repr(n if len(n) <= 40 else n[:40] + "…") for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def match_columns(
    table: Table, present: Sequence[str], columns: Mapping[str, str], *, file: str
) -> dict[str, str]:
    """Canonical name → name in the file, for every canonical column that the file has.

    Raises:
        SchemaError: a mapped column is not in the file, or a required one is neither mapped nor present.
        ConfigError: the map names a canonical column that does not exist.
    """
    for name in columns:
        if name not in table.names and not table.attributes:
            hint = did_you_mean(name, table.names) or "It has " + ", ".join(table.names) + "."
            raise ConfigError(f"[columns] names {name!r}, which is no column of {table.name}. {hint}")
    matched = {name: columns.get(name, name) for name in dict.fromkeys((*table.names, *columns))}
    absent = {n: c for n, c in matched.items() if c not in present and (n in columns or n in table.required)}
    if absent:
        found = {
            n: suggest_column(table, n, [p for p in present if p not in matched.values()])
            if n in table.names
            else None
            for n in absent
        }
        examples = (
            ", ".join(f'{n} = "{c}"' for n, c in found.items() if c)
            or f'{next(iter(absent))} = "the name it has in your file"'
        )
        many = "a column" if len(absent) == 1 else f"{len(absent)} columns"
        raise SchemaError(
            f"{file} lacks {many}: {', '.join(repr(columns.get(n, n)) for n in absent)}. "
            f"It has {_listed(present)}. Name them under [columns], for example {examples}."
        )
    return {n: c for n, c in matched.items() if c in present}
