"""`malles predict MODEL --occasions FILE -o FILE`: score any table of choice occasions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from malles.cli.frame import print_json, progress
from malles.errors import UsageError


def predict_command(
    model: Annotated[
        str, typer.Argument(help="A run, or RUN/NAME for one of its models, for example demo-1/head.")
    ],
    occasions: Annotated[
        Path, typer.Option(help="Choice occasions in long form (docs/method/occasions.md).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Parquet or CSV file to write.")],
    root: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Probability of every alternative, and the units bought if it is chosen."""
    from malles.stages.predict import predict_table, write_answers

    if output.suffix not in {".parquet", ".csv"}:
        raise UsageError(f"-o {output} should end in .parquet or .csv.")
    with progress() as tell:
        answers, seconds = predict_table(root, model, occasions, tell)
    write_answers(answers, output)
    rows = answers["occasion"].n_unique()
    summary = {
        "model": model,
        "occasions": rows,
        "alternatives": answers.height,
        "seconds": round(seconds, 2),
        "file": str(output),
    }
    if json:
        print_json(summary)
    else:
        typer.echo(
            f"{rows:,} occasions, {answers.height:,} alternatives in {seconds:.1f} s: {output}", err=True
        )
