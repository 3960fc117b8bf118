"""`malles evaluate RUN`: held-out scores of a run beside every baseline."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from malles.cli.frame import print_json, print_table, progress


class Split(StrEnum):
    """Which held-out occasions."""

    valid = "valid"
    frozen = "frozen"
    temporal = "temporal"
    cold_category = "cold-category"
    cold_customer = "cold-customer"
    cold_both = "cold-both"


def evaluate_command(
    run: Annotated[str, typer.Argument(help="Name of the run, for example demo-1.")],
    split: Annotated[
        Split, typer.Option(help="valid and frozen choose models; the others are for the end.")
    ] = Split.valid,
    root: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every metric of every model, with household-clustered intervals and paired differences."""
    from malles.stages.evaluate import evaluate_run

    with progress() as tell:
        scores = evaluate_run(root, run, split.value, tell)
    if json:
        print_json(scores)
        return
    names = list(dict.fromkeys(s["model"] for s in scores["scores"]))
    value = {(s["model"], s["metric"]): s for s in scores["scores"]}
    shown = ("log_loss", "hit_rate_score", "hit_rate_3_score", "top_calibration_error")
    metrics = [m for m in shown if (names[0], m) in value] or sorted({m for _, m in value})[:5]
    rows = []
    for name in names:
        cells = [value[name, m] for m in metrics]
        rows.append((name, *(f"{c['value']:.4f} [{c['low']:.4f}, {c['high']:.4f}]" for c in cells)))
    title = f"{run}, {split.value}: {scores['occasions']:,} occasions of {scores['customers']:,} customers"
    print_table(("model", *metrics), rows, title=title)
    differences = [d for d in scores["differences"] if d["metric"] == "log_loss"]
    if differences:
        print_table(
            ("model", "against", "difference of log-loss", "verdict"),
            [
                (
                    d["model"],
                    d["reference"],
                    f"{d['value']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]",
                    d["verdict"],
                )
                for d in differences
            ],
            title="Paired by customer",
        )
    typer.echo(f"{scores['draws']} bootstrap draws of customers.", err=True)
