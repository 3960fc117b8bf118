"""Files in, checked table out: read, match columns, read values, apply the rules, and prove that every
record is accounted for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from malles.data.cleaning import RuleCount, clean_transactions, ruled_products
from malles.data.columns import ColumnMap, match_columns, suggest_column
from malles.data.files import read_file
from malles.data.records import REFUSED, Records
from malles.data.schema import IMPORTABLE, Table, find_table
from malles.data.values import read_values
from malles.data.vectors import vector_columns, vector_faults, vector_length
from malles.errors import DataError, ReconciliationError, UsageError, did_you_mean
from malles.vocabulary import Promotion

HEAD = 10
"""Quarantined records shown in a report."""


@dataclass(frozen=True)
class ImportReport:
    """What became of every record of an import."""

    table: str
    files: tuple[str, ...]
    records: int
    """Records in the files; the header and blank lines are none."""
    accepted: int
    quarantined: int
    blank_lines: int
    causes: Mapping[str, int]
    """Quarantined records by cause."""
    rules: tuple[RuleCount, ...]
    """What each cleaning rule touched."""
    columns: Mapping[str, str]
    """Canonical column → column of the file."""
    ignored: tuple[str, ...]
    """Columns of the file that were not used."""
    notes: tuple[str, ...]
    head: tuple[Mapping[str, Any], ...]
    """The first quarantined records: file, line, cause, column, text."""

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Imported:
    """A checked table with its quarantine and report."""

    table: str
    rows: pl.DataFrame
    quarantine: pl.DataFrame
    """file, line, cause, column, text."""
    report: ImportReport
    settings: ColumnMap


@dataclass(frozen=True)
class Preview:
    """The first rows of a file and what its columns would become."""

    file: str
    table: str
    records: int
    columns: Mapping[str, str]
    suggested: Mapping[str, str]
    """Canonical columns that are not matched → the column that most likely holds them."""
    missing: tuple[str, ...]
    """Required columns for which nothing was found."""
    rows: tuple[Mapping[str, Any], ...]
    quarantined: int
    """Records already unreadable as text."""


def preview_file(path: Path, table: str, settings: ColumnMap | None = None, *, rows: int = 5) -> Preview:
    """Look at a file before importing it: matched and suggested columns, first rows; nothing is written."""
    settings = settings or ColumnMap()
    form = _importable(table)
    read = _read(path, settings)
    matched = {
        n: settings.columns.get(n, n) for n in form.names if settings.columns.get(n, n) in read.columns
    }
    free = [c for c in read.columns if c not in matched.values()]
    suggested: dict[str, str] = {}
    for wanted in sorted(form.names, key=lambda n: n not in form.required):  # required columns choose first
        guess = suggest_column(form, wanted, free) if wanted not in matched else None
        if guess is not None:
            suggested[wanted] = guess
            free.remove(guess)
    missing = tuple(n for n in form.required if n not in matched and n not in suggested)
    head = tuple(read.rows.drop("_line").head(rows).iter_rows(named=True))
    return Preview(read.file, table, read.count, matched, suggested, missing, head, len(read.refused))


def import_files(
    paths: Sequence[Path],
    table: str,
    settings: ColumnMap | None = None,
    *,
    products: pl.DataFrame | None = None,
) -> Imported:
    """Import files of one table; records in the files = accepted + quarantined, or ReconciliationError.

    Args:
        paths: delimited text, Parquet or Excel files with the same columns.
        table: transactions, products, customers, promotions or dialogues.
        settings: the column map.
        products: product table already known, so that the rules on fuel and services can be applied to
            transactions.

    Raises:
        DataError: a file cannot be read. SchemaError: its columns do not fit. ReconciliationError: the sums
            differ.
    """
    settings = settings or ColumnMap()
    form = _importable(table)
    if not paths:
        raise UsageError("No file was given. Name at least one file to import.")
    reads: list[Records] = []
    parts, refusals, notes = [], [], []
    count = blank = 0
    matched: dict[str, str] = {}
    ignored: list[str] = []
    for number, path in enumerate(paths):
        read = _read(path, settings)
        reads.append(read)
        found = match_columns(form, read.columns, settings.columns, file=read.file)
        if form.attributes:
            used = set(found.values())
            found |= {c: c for c in read.columns if c not in used and c not in found}
        if number and set(found) != set(matched):
            raise DataError(
                f"{read.file} has other columns than {Path(paths[0]).name}: "
                f"{sorted(set(found) ^ set(matched))}. Import files of one form together."
            )
        matched = found
        values = read_values(read.rows, form, found, settings, file=read.file)
        parts.append(values.accepted.with_columns(_file=pl.lit(number, pl.Int32)))
        refusals.append(_quarantine(read, values.refused))
        refusals.append(read.refused)
        count, blank = count + read.count, blank + read.blank
        ignored += [c for c in read.columns if c not in found.values() and c not in ignored]
        if read.blank:
            notes.append(f"{read.file}: {read.blank:,} blank lines, which are no records")
    frame = _stack(parts, form)
    finished, refused, rules, more = _finish(frame, table, products)
    notes += more
    refused = refused.with_columns(pl.col("_column").replace(dict(matched)))
    for number, read in enumerate(reads):
        refusals.append(_quarantine(read, refused.filter(pl.col("_file") == number)))
    quarantine = (
        pl.concat(refusals).sort("file", "line", maintain_order=True)
        if refusals
        else pl.DataFrame(schema=REFUSED)
    )
    rows = finished.drop("_row", "_file")
    if count != len(rows) + len(quarantine):
        raise ReconciliationError(
            f"{count:,} records in the files, but {len(rows):,} accepted and {len(quarantine):,} "
            "quarantined; nothing was imported. Please report these files."
        )
    if len(rows) == 0:
        causes = (
            ", ".join(f"{n:,} {c}" for c, n in _causes(quarantine).items()) or "the files hold only a header"
        )
        raise DataError(
            f"No record of {Path(paths[0]).name} could be accepted: {causes}. Look at --preview and check "
            "the column map."
        )
    report = ImportReport(
        table, tuple(Path(p).name for p in paths), count, len(rows), len(quarantine), blank,
        _causes(quarantine), rules, matched, tuple(ignored), tuple(notes),
        tuple(quarantine.head(HEAD).iter_rows(named=True)),
    )  # fmt: skip
    return Imported(table, rows, quarantine, report, settings)


def _importable(table: str) -> Table:
    if table not in IMPORTABLE:
        hint = did_you_mean(table, IMPORTABLE) or "Choose one of " + ", ".join(IMPORTABLE) + "."
        raise UsageError(f"--table {table!r} cannot be imported. {hint}")
    return find_table(table)


def _read(path: Path, settings: ColumnMap) -> Records:
    return read_file(
        Path(path),
        delimiter=settings.delimiter or None,
        encoding=settings.encoding,
        sheet=settings.sheet or None,
    )


def _causes(quarantine: pl.DataFrame) -> dict[str, int]:
    counted = quarantine.group_by("cause").len().sort("len", "cause", descending=[True, False])
    return dict(counted.iter_rows())


def _quarantine(read: Records, refused: pl.DataFrame) -> pl.DataFrame:
    if len(refused) == 0:
        return pl.DataFrame(schema=REFUSED)
    row = refused["_row"].to_numpy()
    return pl.DataFrame(
        {
            "file": [read.file] * len(row),
            "line": read.rows["_line"].gather(refused["_row"]),
            "cause": refused["_cause"],
            "column": refused["_column"],
            "text": read.text(row),
        },
        schema=REFUSED,
    )


def _stack(parts: list[pl.DataFrame], form: Table) -> pl.DataFrame:
    """Files on top of each other; a key that is text in one of them is text in all."""
    for column in (c.name for c in form.columns if c.kind == "key"):
        types = {p.schema[column] for p in parts if column in p.columns and len(p)}
        if len(types) > 1 or not types:
            parts = [
                p.with_columns(pl.col(column).cast(pl.String)) if column in p.columns else p for p in parts
            ]
        else:
            parts = [
                p.with_columns(pl.col(column).cast(next(iter(types)))) if column in p.columns else p
                for p in parts
            ]
    return pl.concat(parts, how="vertical_relaxed")


def _finish(
    frame: pl.DataFrame, table: str, products: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame, tuple[RuleCount, ...], list[str]]:
    """Table-specific completion and rules: accepted rows, refused rows, rule counts, notes."""
    if table == "transactions":
        return finish_transactions(frame, products)
    notes: list[str] = []
    refused: list[pl.DataFrame] = []

    def refuse(hit: pl.Expr, cause: str, column: str) -> None:
        nonlocal frame
        mask = frame.select(hit.fill_null(value=False).alias("hit"))["hit"]
        if mask.any():
            refused.append(
                frame.filter(mask).select("_row", "_file", _cause=pl.lit(cause), _column=pl.lit(column))
            )
            frame = frame.filter(~mask)

    if table == "promotions":
        if "store" not in frame.columns:
            frame = frame.with_columns(store=pl.lit("all"))
            notes.append("no store column: one store 'all'")
        everything = int(max(Promotion)) * 2 - 1
        refuse(
            (pl.col("week") < 1) | (pl.col("week") > 30_000) | (pl.col("week") % 1 != 0),
            "impossible week",
            "week",
        )
        refuse(
            (pl.col("kind") < 0) | (pl.col("kind") > everything) | (pl.col("kind") % 1 != 0),
            "unknown promotion",
            "kind",
        )
        refuse(~pl.struct("product", "store", "week").is_first_distinct(), "repeated key", "product")
        frame = frame.with_columns(pl.col("week").cast(pl.Int16), pl.col("kind").cast(pl.UInt8)).sort(
            "week", "store", "product"
        )
        frame = frame.select("product", "store", "week", "kind", "_row", "_file")
    elif table == "dialogues":
        refuse(
            (pl.col("turn") < 0) | (pl.col("turn") > 1_000_000) | (pl.col("turn") % 1 != 0),
            "impossible turn",
            "turn",
        )
        refuse(~pl.struct("case", "turn").is_first_distinct(), "repeated key", "turn")
        frame = frame.with_columns(pl.col("turn").cast(pl.Int32)).sort("case", "turn")
    else:
        key = table.removesuffix("s")
        refuse(~pl.col(key).is_first_distinct(), "repeated key", key)
        for name in vector_columns(frame):
            for cause, hit in vector_faults(name, length := vector_length(frame[name])).items():
                refuse(hit, cause, name)
            if length:
                known = len(frame) - frame[name].null_count()
                notes.append(
                    f"{name}: an embedding of {length} numbers, known of {known:,} of {len(frame):,} products"
                )
    empty = pl.DataFrame(
        schema={"_row": pl.Int64, "_file": pl.Int32, "_cause": pl.String, "_column": pl.String}
    )
    return frame, pl.concat([empty, *refused]), (), notes


def finish_transactions(
    frame: pl.DataFrame, products: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, pl.DataFrame, tuple[RuleCount, ...], list[str]]:
    """Fill what may be absent (store, list price, week), apply the cleaning rules, settle the types."""
    notes = []
    if "store" not in frame.columns:
        frame = frame.with_columns(store=pl.lit("all"))
        notes.append("no store column: one store 'all'")
    elif frame["store"].null_count():
        notes.append(f"{frame['store'].null_count():,} lines without a store: store 'all'")
        frame = frame.with_columns(pl.col("store").cast(pl.String).fill_null("all"))
    if "list_price" not in frame.columns:
        frame = frame.with_columns(list_price=pl.col("price"))
        notes.append("no list price: equal to the price paid, so no discount is known")
    else:
        frame = frame.with_columns(pl.col("list_price").fill_null(pl.col("price")))
    hierarchy: list[str] = []
    if products is not None:
        hierarchy = [c for c in ("category", "subcategory") if c in products.columns]
        ruled = ruled_products(products)
        keyed = ruled.select(pl.col("product").cast(pl.String).alias("_key"), *hierarchy).unique(
            "_key", keep="first"
        )
        frame = (
            frame.with_columns(_key=pl.col("product").cast(pl.String))
            .join(keyed, on="_key", how="left", maintain_order="left")
            .drop("_key")
        )
    cleaned = clean_transactions(frame)
    rows, refused = cleaned.accepted.drop(hierarchy), cleaned.refused
    if "week" in rows.columns:
        odd = rows.select(
            ((pl.col("week") < 1) | (pl.col("week") > 30_000) | (pl.col("week") % 1 != 0))
            .fill_null(value=False)
            .alias("odd")
        )["odd"]
        wrong = rows.filter(odd).with_columns(_cause=pl.lit("impossible week"), _column=pl.lit("week"))
        refused, rows = (
            pl.concat(
                [
                    refused.select("_row", "_file", "_cause", "_column"),
                    wrong.select("_row", "_file", "_cause", "_column"),
                ]
            ),
            rows.filter(~odd),
        )
    elif len(rows):
        rows = rows.with_columns(week=week_of(rows["timestamp"]))
        notes.append("no week column: weeks run from the Monday on or before the first day")
    else:
        rows = rows.with_columns(week=pl.lit(1))
    rows = rows.with_columns(pl.col("week").cast(pl.Int16), pl.col("quantity").round(0).cast(pl.Int32))
    order = ["order", "timestamp", "week", "customer", "store", "product", "quantity", "price", "list_price"]
    return (
        rows.select(*order, "_row", "_file"),
        refused.select("_row", "_file", "_cause", "_column"),
        cleaned.counts,
        notes,
    )


def week_of(timestamp: pl.Series) -> pl.Series:
    """Week number: 1 + (days since the Monday on or before the first day) // 7.

    >>> from datetime import datetime
    >>> week_of(pl.Series([datetime(2024, 1, 3), datetime(2024, 1, 7, 23), datetime(2024, 1, 8)])).to_list()
    [1, 1, 2]
    """
    day = timestamp.dt.date()
    return day.to_frame("day").select(
        (1 + (pl.col("day") - pl.col("day").min().dt.truncate("1w")).dt.total_days() // 7)
        .cast(pl.Int32)
        .alias("week")
    )["week"]
