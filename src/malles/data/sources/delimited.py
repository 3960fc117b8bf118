"""Any order lines of the user's own: delimited text, Parquet or Excel, with a column map."""

from __future__ import annotations

from pathlib import Path

from malles.data.columns import ColumnMap
from malles.data.home import assemble_dataset
from malles.data.importing import Imported, import_files
from malles.data.sources.source import Source
from malles.errors import UsageError
from malles.vocabulary import DataSet


def build_dataset(name: str, imports: list[Imported]) -> DataSet:
    """A DataSet straight from imported tables, without going through the data home."""
    tables = {i.table: i.rows for i in imports}
    if "transactions" not in tables:
        raise UsageError(
            f"The data set {name!r} needs a transactions table; it has {', '.join(tables) or 'none'}."
        )
    settings = next(i.settings for i in imports if i.table == "transactions")
    made = assemble_dataset(name, tables, currency=settings.currency, time_zone=settings.time_zone)
    made.provenance.update(
        origin=settings.origin or "user's files",
        licence=settings.licence,
        imports={i.table: i.report.as_dict() for i in imports},
    )
    return made


def load_delimited(path: Path | None, settings: ColumnMap | None = None, *, name: str = "orders") -> DataSet:
    """Order lines from one CSV, Parquet or Excel file as a DataSet.

    Raises:
        UsageError: no path was given. DataError, SchemaError: the file cannot be used as it is.
    """
    if path is None:
        raise UsageError(
            "The source 'delimited' needs a file: malles import FILE --columns MAP.toml --name SHOP."
        )
    return build_dataset(name, [import_files([path], "transactions", settings)])


SOURCE = Source(
    name="delimited",
    origin="your own order lines: CSV, Parquet or Excel",
    licence="yours",
    how="malles import FILE --columns MAP.toml --name SHOP",
    rows="any",
    needs_path=True,
    load=load_delimited,
)
