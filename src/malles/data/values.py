"""Text into values: every cell that cannot be read is a refusal with its column and cause, never a silent
null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from malles.data.columns import ColumnMap
from malles.data.schema import Table
from malles.data.vectors import as_vectors, is_vector
from malles.errors import SchemaError

FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d",
)
"""Unambiguous ways of writing a time; day and month are never guessed apart."""

WHOLE_NUMBER = r"^(0|-?[1-9][0-9]{0,17})$"
"""What a key must look like, in every row, to be kept as a number ('007' stays text)."""


@dataclass(frozen=True)
class Values:
    """A table in canonical types; `_row` is the position among the file's good records."""

    accepted: pl.DataFrame
    refused: pl.DataFrame
    """_row, _cause, _column."""


def read_values(
    rows: pl.DataFrame, table: Table, matched: Mapping[str, str], settings: ColumnMap, *, file: str
) -> Values:
    """Read text (or typed) columns into the canonical types of a table.

    Raises:
        SchemaError: a required column is empty, or more than half of a column cannot be read (the map is
            wrong, not the rows).
    """
    kinds = {c.name: c for c in table.columns}
    out: dict[str, pl.Series] = {}
    causes: list[pl.Series] = []
    names: list[str] = []
    for name, source in matched.items():
        column = kinds.get(name)
        raw = rows[source]
        if raw.dtype == pl.String:
            raw = rows.select(pl.col(source).str.strip_chars().replace("", None))[source]
        if column is not None and column.required and len(raw) and raw.null_count() == len(raw):
            raise SchemaError(
                f"{file}: column {source!r} is empty, but {table.name} need {name}. Give it values, or name "
                "another column."
            )
        kind = column.kind if column else "text"
        if column is None and table.vectors and is_vector(raw.dtype):
            kind = "vector"
        try:
            value = _read_kind(raw, kind, settings, file=file, source=source)
        except pl.exceptions.PolarsError:
            raise SchemaError(
                f"{file}: column {source!r} is of type {raw.dtype}, which cannot be read as {kind}. Name "
                "another column."
            ) from None
        out[name] = value.alias(name)
        cause = _causes(raw, value, kind, required=bool(column and (column.required or name == "week")))
        bad = int((cause.is_not_null() & raw.is_not_null()).sum())
        if bad > 0 and bad * 2 > len(raw) - raw.null_count():
            first = raw.filter(cause.is_not_null() & raw.is_not_null())[0]
            what = {"time": "times", "date": "dates"}.get(kind, "numbers")
            hint = (
                "State `timestamp_format` in the map, for example '%d/%m/%Y %H:%M'."
                if kind in ("time", "date")
                else "Name another column, or set `decimal`."
            )
            raise SchemaError(
                f"{file}: column {source!r} does not hold {what}: {bad:,} of {len(raw):,} cannot be read, "
                f"for example {str(first)[:60]!r}. {hint}"
            )
        causes.append(cause)
        names.append(source)
    frame = pl.DataFrame(out) if out else pl.DataFrame()
    frame = frame.with_columns(pl.Series("_row", range(len(rows)), pl.Int64))
    marks = pl.DataFrame({f"c{i}": c for i, c in enumerate(causes)})
    cause = marks.select(pl.coalesce(pl.all()).alias("_cause"))["_cause"]
    where = marks.select(
        pl.coalesce(
            *(pl.when(pl.col(f"c{i}").is_not_null()).then(pl.lit(n)) for i, n in enumerate(names))
        ).alias("_column")
    )["_column"]
    hit = cause.is_not_null()
    refused = pl.DataFrame(
        {"_row": frame["_row"].filter(hit), "_cause": cause.filter(hit), "_column": where.filter(hit)}
    )
    accepted = frame.filter(~hit)
    return Values(
        accepted.with_columns(
            _number_keys(accepted, [n for n in out if n in kinds and kinds[n].kind == "key"])
        ),
        refused,
    )


def _read_kind(raw: pl.Series, kind: str, settings: ColumnMap, *, file: str, source: str) -> pl.Series:
    if kind == "vector":
        return as_vectors(raw)
    if raw.dtype.is_nested() or raw.dtype in (pl.Object, pl.Duration):
        raise pl.exceptions.InvalidOperationError(str(raw.dtype))
    if kind in ("time", "date"):
        value = _read_time(raw, settings, file=file, source=source)
        return value.cast(pl.Date) if kind == "date" else value
    if kind in ("whole", "number"):
        return _read_number(raw, settings)
    return _read_key(raw)


def _read_number(raw: pl.Series, settings: ColumnMap) -> pl.Series:
    if raw.dtype == pl.String and settings.decimal == ",":
        raw = raw.str.replace(",", ".", literal=True)
    return raw.cast(pl.Float64, strict=False)


def _read_key(raw: pl.Series) -> pl.Series:
    if raw.dtype.is_float():
        whole = raw.cast(pl.Int64, strict=False)
        if bool((whole.cast(pl.Float64) == raw).fill_null(value=True).all()):
            raw = whole
    return raw.cast(pl.String, strict=False)


def _read_time(raw: pl.Series, settings: ColumnMap, *, file: str, source: str) -> pl.Series:
    if raw.dtype == pl.Date:
        return raw.cast(pl.Datetime("us"))
    if isinstance(raw.dtype, pl.Datetime):
        zoned = raw.dtype.time_zone is not None
        local = raw.dt.convert_time_zone(settings.time_zone).dt.replace_time_zone(None) if zoned else raw
        return local.cast(pl.Datetime("us"))
    if raw.dtype != pl.String:
        raise SchemaError(
            f"{file}: column {source!r} is {raw.dtype}, but a date or time is needed. Name another column."
        )
    sample = raw.drop_nulls().head(1000)
    wanted = (settings.timestamp_format,) if settings.timestamp_format else FORMATS
    value = pl.Series(raw.name, [None] * len(raw), pl.Datetime("us"))
    for form in wanted:
        if int(_as_time(sample, form, settings.time_zone).is_not_null().sum()):
            left = value.is_null() & raw.is_not_null()
            if int(left.sum()) == 0:
                break
            value = value.to_frame("v").select(
                pl.coalesce("v", _as_time(raw, form, settings.time_zone).alias("w"))
            )["v"]
    return value.alias(raw.name)


def _as_time(raw: pl.Series, form: str, zone: str) -> pl.Series:
    try:
        if "z" in form.replace("%", "").lower() and ("%z" in form or "%#z" in form or "%:z" in form):
            read = raw.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
            return read.dt.convert_time_zone(zone).dt.replace_time_zone(None)
        if any(mark in form for mark in ("%H", "%I", "%T", "%c", "%s", "%X", "%R")):
            return raw.str.to_datetime(form, strict=False, time_unit="us")
        return raw.str.to_date(form, strict=False).cast(pl.Datetime("us"))
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"The time format {form!r} cannot be used: {str(error).splitlines()[0]}.") from None


def _causes(raw: pl.Series, value: pl.Series, kind: str, *, required: bool) -> pl.Series:
    """The cause of refusal per row, null where the cell is fine."""
    frame = pl.DataFrame({"raw": raw, "value": value})
    tests = [pl.when(pl.col("raw").is_null()).then(pl.lit("missing value"))] if required else []
    unreadable = {"time": "not a date of the calendar", "date": "not a date of the calendar"}.get(
        kind, "not a number"
    )
    if kind in ("time", "date", "whole", "number"):
        tests.append(
            pl.when(pl.col("raw").is_not_null() & pl.col("value").is_null()).then(pl.lit(unreadable))
        )
    if kind in ("whole", "number"):
        tests.append(pl.when(~pl.col("value").is_finite()).then(pl.lit("not finite")))
    if not tests:
        return pl.Series("cause", [None] * len(raw), pl.String)
    return frame.select(pl.coalesce(*tests).alias("cause"))["cause"]


def _number_keys(frame: pl.DataFrame, keys: list[str]) -> list[pl.Series]:
    """Key columns as Int64 where every value is a plain whole number."""
    if len(frame) == 0:
        return []
    return [
        frame[k].cast(pl.Int64)
        for k in keys
        if bool(frame[k].str.contains(WHOLE_NUMBER).fill_null(value=True).all())
    ]
