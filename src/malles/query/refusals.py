"""Why a query is not answered, each in one sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb

from malles.errors import QueryError, did_you_mean
from malles.records.schema import TABLES
from malles.records.table import Table

_ELSEWHERE = (
    "A query reads the tables of its run and nothing else: no files, no network, no extensions. "
    "See the tables with --tables."
)


def refuse_statement(sql: str) -> None:
    """Let one SELECT pass and nothing else.

    Raises:
        QueryError: there is no statement, more than one, or one that could change something.

    >>> refuse_statement("select 1")
    >>> refuse_statement("drop table decisions")
    Traceback (most recent call last):
    malles.errors.QueryError: A run is read, never changed: DROP is refused; write one SELECT.
    """
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as problem:
        raise QueryError(explain(problem, {}, "")) from problem
    if not statements:
        raise QueryError('The query is empty; write for example "select * from decisions".')
    for statement in statements:
        if statement.type is not duckdb.StatementType.SELECT:
            name = statement.type.name.replace("_", " ")
            if name == "MULTI":
                raise QueryError(
                    "A PIVOT must name its columns, as in: "
                    "pivot decisions on mode in ('free_running') using sum(units) group by week."
                )
            raise QueryError(f"A run is read, never changed: {name} is refused; write one SELECT.")
    if len(statements) > 1:
        raise QueryError(f"One SELECT at a time, got {len(statements)}; ask them one after the other.")


def known_table(name: str, tables: Mapping[str, Table], run: str) -> None:
    """Let the tables of the run pass.

    Raises:
        QueryError: the run has no such table.
    """
    if name not in tables:
        raise QueryError(_unknown_table(name, tables, run))


def explain(problem: duckdb.Error, tables: Mapping[str, Table], run: str) -> str:
    """What DuckDB says, as a sentence about the tables of this run."""
    text = str(problem)
    if found := re.search(r"(?:Table|View) with name \"?([^\s\"!]+)\"? does not exist", text):
        return _unknown_table(found[1], tables, run)
    if found := re.search(r'Referenced column "([^"]+)" not found|have a column named "([^"]+)"', text):
        return _unknown_column(found[1] or found[2], text, tables)
    if found := re.search(r"Function with name \"?(\w+)\"? (does not exist|is not in the catalog)", text):
        if "extension" in text:
            return _ELSEWHERE
        close = re.search(r'Did you mean "(\w+)"', text)
        hint = f" Did you mean {close[1]!r}?" if close else ""
        return f"There is no function {found[1]!r}.{hint}"
    if isinstance(problem, duckdb.PermissionException) or "extension" in text.lower():
        return _ELSEWHERE
    if "is not an table" in text or "is not a table" in text:
        return "A run is read, never changed; write one SELECT."
    if isinstance(problem, duckdb.OutOfMemoryException):
        return "The query needs more memory than it may have; add up earlier, or select fewer rows."
    if isinstance(problem, duckdb.ParserException):
        near = re.search(r'syntax error at or near "([^"]*)"', text)
        where = f" near {near[1]!r}" if near else ""
        return f"The query is not valid SQL{where}: {_first_line(text)}."
    return f"The query failed: {_first_line(text)}."


def _first_line(text: str) -> str:
    return re.sub(r"^[A-Z][A-Za-z ]*Error: ", "", text.splitlines()[0]).rstrip(".! ")


def _unknown_table(name: str, tables: Mapping[str, Table], run: str) -> str:
    if re.search(r"[/\\.:*]", name):  # DuckDB would take it for the name of a file
        return _ELSEWHERE
    if name in TABLES and tables:
        return f"Run {run!r} has no table {name!r} yet; go on with: malles runs resume {run}"
    hint = did_you_mean(name.lower(), tables) or f"It has {', '.join(tables)}."
    return f"Run {run!r} has no table {name!r}. {hint}"


def _unknown_column(name: str, text: str, tables: Mapping[str, Table]) -> str:
    owner = re.search(r'(?:Table|Values list) "?(\w+)"? does not have', text)
    near = [tables[owner[1]]] if owner and owner[1] in tables else list(tables.values())
    bound = re.findall(r'"([^"]+)"', text.partition("Candidate bindings:")[2].partition("\n")[0])
    known = dict.fromkeys(column.name for table in near for column in table.columns)
    hint = did_you_mean(name.lower(), bound) or did_you_mean(name.lower(), known)
    where = f" in {owner[1]!r}" if owner else ""
    return f"There is no column {name!r}{where}. {hint or 'See the columns with --tables.'}"
