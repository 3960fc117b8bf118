"""`malles import`: files into a checked data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

from malles.data.columns import ColumnMap, load_column_map
from malles.data.home import check_name, list_datasets, read_table, write_import
from malles.data.importing import ImportReport, Preview, import_files, preview_file
from malles.data.schema import IMPORTABLE

log = Console(stderr=True)
out = Console()


def import_command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV, Parquet or Excel files of one table.")
    ],
    name: Annotated[
        str, typer.Option("--name", help="Data set to add the table to: a-z, 0-9, '.', '_', '-'.")
    ] = "",
    table: Annotated[
        str, typer.Option("--table", help="One of " + ", ".join(IMPORTABLE) + ".")
    ] = "transactions",
    columns: Annotated[
        Path | None, typer.Option("--columns", metavar="MAP.toml", help="Which column is which.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show columns and first rows; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    home: Annotated[
        Path | None, typer.Option("--home", help="Data home (default $MALLES_HOME or .malles).")
    ] = None,
) -> None:
    """Check order lines or other tables and add them to a data set; every refused record is quarantined with
    its cause.
    """
    settings = load_column_map(columns) if columns else ColumnMap()
    if preview:
        for path in files:
            _print_preview(preview_file(path, table, settings), as_json=as_json)
        return
    if not name:
        raise typer.BadParameter("give the data set a name, for example --name shop", param_hint="--name")
    check_name(name)
    products = (
        read_table(name, "products", home)
        if table == "transactions" and name in list_datasets(home)
        else None
    )
    with log.status(f"Importing {len(files)} file{'s' if len(files) != 1 else ''} …"):
        imported = import_files(files, table, settings, products=products)
        folder = write_import(imported, name, home)
    if as_json:
        typer.echo(
            json.dumps(
                {"name": name, "folder": str(folder), **imported.report.as_dict()},
                ensure_ascii=False,
                default=str,
            )
        )
        return
    _print_report(imported.report, name, folder)


def _print_preview(preview: Preview, *, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        typer.echo(json.dumps(asdict(preview), ensure_ascii=False, default=str))
        return
    out.print(
        f"{preview.file}: {preview.records:,} records, {preview.quarantined:,} unreadable as text",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for canonical, column in preview.columns.items():
        out.print(f"  {canonical} = {column!r}", highlight=False, markup=False, soft_wrap=True)
    for canonical, column in preview.suggested.items():
        out.print(
            f"  {canonical}: not named; perhaps {column!r} (add under [columns]: {canonical} = {column!r})",
            highlight=False,
            markup=False,
        )
    for canonical in preview.missing:
        out.print(
            f"  {canonical}: required, and nothing like it was found",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    _print_rows([dict(r) for r in preview.rows])


def _print_rows(rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    from rich.text import Text

    grid = Grid(show_edge=False)
    for column in rows[0]:
        grid.add_column(Text(column))
    for row in rows:
        grid.add_row(*(Text("" if v is None else str(v)[:60]) for v in row.values()))
    out.print(grid)


def _print_report(report: ImportReport, name: str, folder: Path) -> None:
    out.print(
        f"{name}/{report.table}: {report.records:,} records = {report.accepted:,} accepted + "
        f"{report.quarantined:,} quarantined",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for cause, count in report.causes.items():
        out.print(f"  quarantined {count:>9,}  {cause}", highlight=False, markup=False, soft_wrap=True)
    for rule in report.rules:
        if rule.effect != "refused" and rule.lines:
            out.print(
                f"  {rule.effect:>11} {rule.lines:>9,}  {rule.rule}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    skipped = [r for r in report.rules if r.skipped]
    if skipped:
        out.print(
            f"  not applied: {', '.join(f'{r.rule} ({r.skipped})' for r in skipped)}",
            highlight=False,
            markup=False,
        )
    for note in report.notes:
        out.print(f"  note: {note}", highlight=False, markup=False, soft_wrap=True)
    _print_rows([dict(r) for r in report.head])
    log.print(f"written to {folder}", highlight=False, markup=False, soft_wrap=True)
