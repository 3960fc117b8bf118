"""`malles query RUN "select ..."`: read-only SQL over everything a run used, drew and found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from malles.cli.frame import print_json, print_table
from malles.errors import UsageError

if TYPE_CHECKING:
    from malles.query import RunTables


def query_command(
    run: Annotated[str, typer.Argument(help="Name of the run, for example demo-1.")],
    sql: Annotated[
        str | None, typer.Argument(help='One SELECT, for example "select * from decisions".')
    ] = None,
    tables: Annotated[
        bool, typer.Option("--tables", help="List every table with its columns and what they mean.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV or Parquet file to write the answer to.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    rows: Annotated[
        int | None, typer.Option(help="Most rows of the answer; by default 40 in the terminal.", min=1)
    ] = None,
    seconds: Annotated[float, typer.Option(help="Longest time the query may take.", min=0.001)] = 60.0,
    root: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the tables of a run in SQL; nothing is changed and nothing from outside is read."""
    from malles.query import open_run_tables
    from malles.query.export import as_csv, check_output, write_answer

    if (sql is None) != tables:
        raise UsageError('Give one of a query and --tables, for example: malles query demo-1 "select 1".')
    if csv and json:
        raise UsageError("Give one of --csv and --json.")
    if output is not None:
        check_output(output)
    with open_run_tables(run, root) as opened:
        if sql is None:
            _list_tables(opened, json=json)
            return
        if output is not None:
            answer = opened.query(sql, seconds=seconds, rows=rows)
            write_answer(answer, output)
            typer.echo(f"{answer.height:,} rows, {answer.width} columns: {output}", err=True)
        elif csv:
            typer.echo(as_csv(opened.query(sql, seconds=seconds, rows=rows)), nl=False)
        elif json:
            print_json(opened.query(sql, seconds=seconds, rows=rows).to_dicts())
        else:
            _show(opened, sql, rows or 40, seconds)


def _show(opened: RunTables, sql: str, rows: int, seconds: float) -> None:
    answer = opened.query(sql, seconds=seconds, rows=rows + 1)
    shown = answer.head(rows)
    print_table(shown.columns, shown.rows())
    if answer.height > rows:
        typer.echo(
            f"The first {rows} rows; there are more: add --rows N, or write all of them with -o FILE.",
            err=True,
        )


def _list_tables(opened: RunTables, *, json: bool) -> None:
    from malles.records.table import KINDS

    if json:
        print_json(
            [
                {
                    "table": t.name,
                    "file": t.file,
                    "row": t.row,
                    "columns": [{"name": c.name, "type": c.kind, "meaning": c.meaning} for c in t.columns],
                }
                for t in opened.tables.values()
            ]
        )
        return
    for table in opened.tables.values():
        typer.echo(f"\n{table.name}: {table.row} ({table.file})")
        print_table(
            ("column", "type", "meaning"), [(c.name, KINDS[c.kind], c.meaning) for c in table.columns]
        )
