"""`malles rules RUN`: short formulas for the decisions of a run, with held-out error and complexity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from malles.cli.frame import print_json, print_table, progress


def rules_command(
    run: Annotated[str, typer.Argument(help="Name of the run, for example demo-1.")],
    nodes: Annotated[
        int, typer.Option(help="Longest formula: operations, inputs and constants.", min=1)
    ] = 15,
    genetic: Annotated[
        bool, typer.Option(help="Search beyond products of powers, where pyoperon is installed.")
    ] = True,
    export: Annotated[
        Path | None, typer.Option(help="Write the rule for a spreadsheet: FILE.csv or FILE.txt.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 1,
    root: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """A rule for units, its error-complexity front, and a copy of the choice model as a weighted sum."""
    from malles.rules.search import RuleSearch
    from malles.stages.rules import check_export, export_rule, fit_rules

    if export is not None:
        check_export(export)
    search = RuleSearch(most_nodes=nodes, genetic=genetic, first=("price_ratio",))
    with progress() as tell:
        found = fit_rules(root, run, search, seed, tell)
    if export is not None:
        export_rule(found, export)
    if json:
        print_json(found)
        return
    units = found["units"]
    print_table(
        ("nodes", "held-out deviance", "95 % interval", "", "rule"),
        [
            (
                r["nodes"],
                r["error"],
                f"{r['low']:.4f} to {r['high']:.4f}",
                "★" if r["chosen"] else "",
                r["rule"],
            )
            for r in units["front"]
        ],
        title="Units, given a purchase",
    )
    typer.echo(units["sentence"])
    typer.echo(f"The units head's deviance on the same purchases: {units['head_error']:.4f}.")
    if units["what_if"]:
        print_table(
            ("prices times", "cells", "same sign", "change by the rule", "by the units head"),
            [
                (w["multiplier"], w["cells"], w["same_sign"], w["rule_size"], w["engine_size"])
                for w in units["what_if"]
            ],
            title="What-if on all prices, by category",
        )
    if found["utility"]:
        print_table(
            ("nodes", "variance", "same first choice", "utility"),
            [(c["nodes"], c["variance_share"], c["agreement"], c["rule"]) for c in found["utility"]],
            title=f"Copies of {found['utility'][0]['model']}",
        )
    for note in units["notes"]:
        typer.echo(note, err=True)
