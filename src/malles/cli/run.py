"""`malles run CONFIG`: the whole road, resumable."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from malles.cli.frame import print_json, progress
from malles.config import Config, change_config, load_config

ConfigFile = Annotated[
    Path, typer.Argument(help="Settings (TOML); shipped ones lie in configs/.", metavar="CONFIG")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random.")]
Workers = Annotated[int | None, typer.Option(help="Threads; the result is the same for any number.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check settings, names, folders and packages; print the settings and what would be done; "
        "compute nothing.",
    ),
]


def run_command(
    config: ConfigFile,
    seed: Seed = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """Walk the whole road for a configuration; what is done and unchanged is reused."""
    walk(with_options(load_config(config), seed, workers), command="run", dry_run=dry_run, json=json)


def with_options(config: Config, seed: int | None, workers: int | None) -> Config:
    """The configuration with the options of the command line."""
    names = ("run.seed", "models.seed", "market.seed", "evaluation.seed", "occasions.seed")
    changes: Mapping[str, Any] = {**dict.fromkeys(names, seed), "run.workers": workers}
    return change_config(config, changes)


def walk(config: Config, *, command: str, dry_run: bool, json: bool) -> None:
    """Walk the road and print the summary."""
    from malles.pipeline import start

    if dry_run:
        show_plan(config, command)
        return
    with progress() as tell:
        folder = start(config, command=command, tell=tell)
    show_summary(folder, json=json)


def show_plan(config: Config, command: str) -> None:
    """Check what is cheap; the settings go to stdout, what would be done to stderr."""
    from malles.stages.check import check_config

    plan = check_config(config)
    print_json(config.model_dump(mode="json"))
    ending = (
        "nothing after the models" if command == "fit" else "scores, the market, a what-if and the report"
    )
    for sentence in (*plan, f"Then {ending}, in a new folder {config.run.root / config.run.name}-N"):
        typer.echo(f"{sentence}.", err=True)
    typer.echo("Nothing was computed, no server was asked, and no folder was made.", err=True)


def show_summary(folder: Path, *, json: bool) -> None:
    """The score table, the market and the what-if of a finished run, and where its report lies."""
    from malles.stages.page import load_content
    from malles.store import load_manifest

    content = load_content(folder)
    manifest = load_manifest(folder)
    if json:
        scores = folder / "05-scores.json"
        print_json(
            {
                "run": folder.name,
                "seconds": manifest.seconds,
                "scores": jsonlib.loads(scores.read_text(encoding="utf-8")),
                "market": jsonlib.loads((folder / "06-market.json").read_text(encoding="utf-8")),
                "what_if": jsonlib.loads((folder / "07-what-if.json").read_text(encoding="utf-8")),
                "report": str(folder / "report.html"),
            }
        )
        return
    from malles.report.terminal import print_summary

    print_summary(content)
    typer.echo(f"Run {folder.name} took {manifest.seconds:.0f} s. Report: {folder / 'report.html'}")
