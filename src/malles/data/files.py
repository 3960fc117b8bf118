"""One door for every kind of file: delimited text, Parquet and Excel come out as `Records`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from malles.data.records import REFUSED, Records, read_delimited
from malles.errors import DataError, MissingExtra, ReconciliationError

EXCEL = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")


def read_file(
    path: Path, *, delimiter: str | None = None, encoding: str = "utf-8", sheet: str | None = None
) -> Records:
    """Read one file of any known kind; its ending tells which.

    Raises:
        DataError: the file is missing, empty, damaged, or a folder.
        SchemaError: the header is unusable.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file. Name the file inside it.")
    if not path.exists():
        raise DataError(f"There is no file {path}. Check the path.")
    ending = path.suffix.lower()
    if ending in (".parquet", ".pq"):
        return _read_parquet(path)
    if ending in EXCEL:
        return _read_excel(path, sheet)
    return read_delimited(path, delimiter=delimiter, encoding=encoding)


def _read_parquet(path: Path) -> Records:
    try:
        rows = pl.read_parquet(path)
        counted = int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path.name} is not a readable Parquet file: {str(error).splitlines()[0]}. Write it again, or "
            "give CSV."
        ) from None
    if counted != len(rows):
        raise ReconciliationError(
            f"{path.name}: the footer counts {counted:,} rows, {len(rows):,} were read; nothing was imported."
        )
    return _from_frame(path, rows, first=1)


def _read_excel(path: Path, sheet: str | None) -> Records:
    try:
        import fastexcel
    except ImportError:
        raise MissingExtra("reading Excel files", "fastexcel", "excel") from None
    try:
        book = fastexcel.read_excel(path)
        if sheet is not None and sheet not in book.sheet_names:
            raise DataError(
                f"{path.name} has no sheet {sheet!r}. It has {', '.join(map(repr, book.sheet_names))}."
            )
        page = book.load_sheet(sheet if sheet is not None else 0, dtypes="string")
        rows = page.to_polars()
    except fastexcel.FastExcelError as error:
        raise DataError(
            f"{path.name} is not a readable workbook: {str(error).splitlines()[0]}. Save it again as .xlsx, "
            "or give CSV."
        ) from None
    if page.total_height != len(rows):
        raise ReconciliationError(
            f"{path.name}: the sheet has {page.total_height:,} rows, {len(rows):,} were read; nothing was "
            "imported."
        )
    return _from_frame(path, rows, first=2)


def _from_frame(path: Path, rows: pl.DataFrame, *, first: int) -> Records:
    if not rows.columns:
        raise DataError(f"{path.name} has no columns. Give a file with a header and rows.")
    names = tuple(rows.columns)
    numbered = rows.with_columns(pl.Series("_line", np.arange(first, first + len(rows), dtype=np.int64)))
    return Records(path.name, numbered, pl.DataFrame(schema=REFUSED), len(rows), 0, names)
