"""`malles bench`: yardsticks, measured on this machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Grid

bench_app = typer.Typer(help="Yardsticks, measured on this machine.", no_args_is_help=True)


@bench_app.callback()
def bench() -> None:
    """Yardsticks, measured on this machine."""


@bench_app.command("choice")
def choice_command(
    frozen: Annotated[
        Path | None, typer.Option(help="Folder of frozen files to compare with, cell by cell.")
    ] = None,
    home: Annotated[Path | None, typer.Option(help="Data home (default $MALLES_HOME or .malles).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rebuild choice benchmark v1 from Complete Journey and print its table of counts.

    With --frozen every column is compared with the frozen files; exit code 1 if a cell differs.
    """
    from malles.data.loading import load_dataset
    from malles.errors import UsageError
    from malles.occasions.benchmark import (
        build_benchmark,
        compare_benchmark,
        count_benchmark,
        count_catalogue,
        find_missing,
    )
    from malles.occasions.catalogue import build_catalogue

    if frozen is not None and (missing := find_missing(frozen)):
        raise UsageError(
            f"{frozen} lacks {', '.join(name + '.parquet' for name in missing)}; "
            "give the folder of the frozen files."
        )
    dataset = load_dataset("complete_journey", home)
    begin = time.process_time()
    catalogue = build_catalogue(dataset, fit_until_week=40)
    parts = build_benchmark(catalogue)
    seconds = time.process_time() - begin
    counts, splits = count_catalogue(catalogue), count_benchmark(parts)
    compared = None if frozen is None else compare_benchmark(catalogue, parts, frozen)
    equal = compared is None or bool((compared["cells"] == compared["equal"]).all())
    if as_json:
        report: dict[str, Any] = {
            "catalogue": counts,
            "splits": splits.to_dicts(),
            "processor_seconds": round(seconds, 2),
        }
        if compared is not None:
            report["compared"] = compared.to_dicts()
            report["equal"] = equal
        typer.echo(json.dumps(report, indent=2))
    else:
        out = Console()
        out.print(", ".join(f"{value:,} {name}" for name, value in counts.items()))
        out.print(_grid(splits.to_dicts(), {"covered": "{:.3f}"}))
        out.print(f"Catalogue and all splits: {seconds:.1f} processor-seconds.")
        if compared is not None:
            out.print(_grid(compared.to_dicts(), {"share": "{:.7f}"}))
            out.print("Every cell is equal." if equal else "Some cells differ from the frozen files.")
    if not equal:
        raise typer.Exit(1)


def _grid(rows: list[dict[str, Any]], formats: dict[str, str]) -> Grid:
    grid = Grid(*rows[0].keys())
    for row in rows:
        cells = []
        for name, value in row.items():
            shown = formats.get(name, "{:,}" if isinstance(value, int) else "{}")
            cells.append(shown.format(value))
        grid.add_row(*cells)
    return grid
