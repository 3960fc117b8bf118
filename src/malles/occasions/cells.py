"""Cells of an occasions table: times, numbers and flags, or one sentence about what cannot be read."""

from __future__ import annotations

import polars as pl

from malles.errors import SchemaError


def read_moments(frame: pl.DataFrame) -> pl.Series:
    """Seconds since 1970 of local wall-clock time."""
    times = frame["timestamp"]
    if times.dtype == pl.String:
        times = _parsed(times)
    if times.dtype == pl.Date or isinstance(times.dtype, pl.Datetime):
        if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
            times = times.dt.replace_time_zone(None)
        if not times.null_count():
            return times.cast(pl.Datetime("us")).dt.epoch("s")
        bad = frame["timestamp"].filter(times.is_null())
        raise SchemaError(
            f"timestamp {bad[0]!r} of the occasions table is no date and time; "
            "write for example 2017-10-09 18:30:00."
        )
    if times.dtype.is_integer() and not times.null_count():
        return times.cast(pl.Int64)
    raise SchemaError(
        f"timestamp of the occasions table is {times.dtype}; expected dates and times such as "
        "2017-10-09 18:30:00, or whole seconds since 1970."
    )


def _parsed(text: pl.Series) -> pl.Series:
    """Dates and times from text in ISO form; null where it is none."""
    text = text.str.strip_chars().str.replace("T", " ", literal=True).str.strip_suffix("Z")
    found = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    for form in ("%Y-%m-%d %H:%M", "%Y-%m-%d"):
        if found.null_count():
            more = (text + " 00:00" if form == "%Y-%m-%d" else text).str.to_datetime(
                "%Y-%m-%d %H:%M", time_unit="us", strict=False
            )
            found = found.zip_with(found.is_not_null(), more)
    return found


def read_numbers(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column as numbers; empty cells stay empty, anything else that is no number is refused."""
    values = frame[name].cast(pl.Float64, strict=False)
    lost = values.is_null() & frame[name].is_not_null()
    if lost.any():
        raise SchemaError(f"{name} {frame[name].filter(lost)[0]!r} of the occasions table is not a number.")
    return values


def read_flags(frame: pl.DataFrame, name: str, *, default: bool) -> pl.Series:
    """A column as true and false; empty cells and a missing column take the default."""
    if name not in frame.columns:
        return pl.Series(name, [default]).new_from_index(0, frame.height)
    values = frame[name]
    if values.dtype == pl.String:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": default}
        text = values.str.to_lowercase().str.strip_chars()
        read = text.replace_strict(words, default=None, return_dtype=pl.Boolean)
        lost = read.is_null() & values.is_not_null()
        if lost.any():
            raise SchemaError(
                f"{name} {values.filter(lost)[0]!r} of the occasions table is neither true nor false."
            )
        values = read
    return values.cast(pl.Boolean).fill_null(default)
