"""The tables of a run opened for SQL, in a database that can neither write nor look elsewhere.

    with open_run_tables("demo-1") as tables:
        frame = tables.query("select week, sum(units) as units from decisions group by week")

Every open run has a DuckDB database of its own in memory. It holds one view per Parquet file of the run;
those files are all it may read. Extensions, the network, temporary files and Python's own variables are
switched off, the settings are locked, and every statement but one SELECT is refused before it runs.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb
import polars as pl

from malles.errors import MissingExtra, QueryError, RunError
from malles.query.refusals import explain, known_table, refuse_statement
from malles.records.schema import TABLES
from malles.records.table import Table
from malles.store import find_run

if TYPE_CHECKING:
    import pandas as pd

SECONDS = 60.0
"""How long a query may take by default."""

MOST_ROWS = 5_000_000
"""Most rows that an answer may have; more is a sign that a sum was meant, and would fill the memory."""

MEMORY = "2GB"
"""What the database may use beside the answer."""

_BATCH = 65_536
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "memory_limit": MEMORY,
}


class RunTables:
    """The tables of one run. Made by `open_run_tables`."""

    def __init__(self, folder: Path, tables: dict[str, Table], database: duckdb.DuckDBPyConnection) -> None:
        self.folder = folder
        self.tables = tables
        """The tables that the run has, by name, with the meaning of every column."""
        self._database = database

    def query(self, sql: str, *, seconds: float = SECONDS, rows: int | None = None) -> pl.DataFrame:
        """The answer to one SELECT.

        Args:
            sql: one SELECT (also WITH, FROM, VALUES, DESCRIBE, SUMMARIZE) over the tables of the run.
            seconds: longest time it may take.
            rows: only the first rows of the answer; None gives all of them.

        Raises:
            QueryError: it is no single SELECT, names what does not exist, reads elsewhere, takes too long,
                or answers with more than `MOST_ROWS` rows.
        """
        refuse_statement(sql)
        with self._explained(), self._limited(seconds):
            relation = self._database.sql(sql)
            if relation is None:  # a statement without an answer
                raise QueryError("The query has no answer; write a SELECT.")
            wanted = MOST_ROWS + 1 if rows is None else rows
            answer = _collect(relation, wanted)
        if rows is None and answer.height > MOST_ROWS:
            raise QueryError(
                f"The answer has more than {MOST_ROWS:,} rows; add up what you need, or add a `limit`. "
                f"Whole tables lie in {self.folder} as Parquet."
            )
        return answer

    def pandas(self, sql: str, *, seconds: float = SECONDS) -> pd.DataFrame:
        """The answer to one SELECT as a pandas frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401  (polars needs it to be there)
        except ImportError as problem:
            raise MissingExtra("A pandas frame", "pandas", "models") from problem
        return self.query(sql, seconds=seconds).to_pandas()

    def table(self, name: str) -> pl.LazyFrame:
        """One table as a lazy polars frame.

        Raises:
            QueryError: there is no such table; the message names close ones.
        """
        known_table(name, self.tables, self.folder.name)
        return pl.scan_parquet(self.folder / self.tables[name].file, glob=False)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as problem:
            raise QueryError(explain(problem, self.tables, self.folder.name)) from problem

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        over = threading.Event()

        def stop() -> None:
            over.set()
            self._database.interrupt()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        except duckdb.InterruptException as problem:
            if not over.is_set():
                raise
            raise QueryError(
                f"The query was stopped after {seconds:g} s; make it smaller or give it more time "
                "(--seconds)."
            ) from problem
        finally:
            timer.cancel()
            timer.join()


def open_run_tables(run: str | Path, root: Path = Path("runs")) -> RunTables:
    """Open the tables of a run for reading.

    Args:
        run: name of the run, for example 'demo-1', or its folder.
        root: folder of all runs, where `run` is a name.

    Raises:
        RunError: there is no such run, or it was made before runs kept tables.
    """
    folder = find_run(run.parent, run.name) if isinstance(run, Path) else find_run(root, run)
    folder = folder.resolve()
    tables = {
        name: table
        for name, table in TABLES.items()
        if (path := folder / table.file).is_file() and path.resolve() == path
    }
    if not tables:
        raise RunError(
            f"Run {folder.name!r} has no tables yet; it stopped early or is of an older malles. "
            f"Make them with: malles runs resume {folder.name}"
        )
    return RunTables(folder, tables, _open(folder, tables))


def _open(folder: Path, tables: dict[str, Table]) -> duckdb.DuckDBPyConnection:
    """A database in memory with a view per table, locked before anybody's query runs."""
    database = duckdb.connect(":memory:", config=_SETTINGS)
    patterns = {name: _as_pattern(folder / table.file) for name, table in tables.items()}
    allowed = [str(folder / table.file) for table in tables.values()] + list(patterns.values())
    database.execute(f"set allowed_paths = [{', '.join(map(_quoted, allowed))}]")
    for name, pattern in patterns.items():
        database.execute(f'create view "{name}" as from read_parquet({_quoted(pattern)})')
    database.execute("set enable_external_access = false")
    database.execute("set lock_configuration = true")
    return database


def _as_pattern(path: Path) -> str:
    """A path that is read as itself where a pattern is expected."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _collect(relation: duckdb.DuckDBPyRelation, rows: int) -> pl.DataFrame:
    """The first rows of an answer, batch by batch; what comes after them is not computed."""
    import pyarrow as pa

    reader = relation.to_arrow_reader(_BATCH)
    batches: list[Any] = []
    height = 0
    while height < rows:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            break
        batches.append(batch)
        height += batch.num_rows
    odd = [f.name for f in reader.schema if pa.types.is_interval(f.type)]
    if odd:
        raise QueryError(
            f"The column {odd[0]!r} is a span of time, which has no place in a table; "
            f'write it as text: ("{odd[0]}")::varchar.'
        )
    names = reader.schema.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise QueryError(f"The answer has two columns named {twice!r}; name one of them with `as`.")
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches, reader.schema))).head(rows)
    return frame.with_columns(_plain(frame[name]) for name in frame.columns)


def _plain(column: pl.Series) -> pl.Series:
    """Sums of whole numbers come as wide decimals: whole numbers again where they fit, else numbers."""
    if not isinstance(column.dtype, pl.Decimal):
        return column
    if column.dtype.scale == 0:
        try:
            return column.cast(pl.Int64)
        except pl.exceptions.InvalidOperationError:
            pass
    return column.cast(pl.Float64)
