"""`malles fit CONFIG`: fit the models of a configuration, without scores or a market."""

from __future__ import annotations

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.cli.run import AsJson, ConfigFile, DryRun, Seed, Workers, show_plan, with_options
from malles.config import load_config


def fit_command(
    config: ConfigFile,
    seed: Seed = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """Fit the models of a configuration; use them with `malles predict RUN`."""
    from malles.pipeline import start
    from malles.store import load_manifest

    settings = with_options(load_config(config), seed, workers)
    if dry_run:
        show_plan(settings, "fit")
        return
    with progress() as tell:
        folder = start(settings, command="fit", tell=tell)
    stages = [s for s in load_manifest(folder).stages if s["artefact"].startswith("03-models")]
    if json:
        print_json({"run": folder.name, "models": {s["name"]: s["artefact"] for s in stages}})
        return
    print_table(
        ("model", "folder", "seconds", "reused"),
        [
            (
                s["name"].removeprefix("model "),
                str(folder / s["artefact"]),
                float(s["seconds"]),
                "yes" if s["reused"] else "",
            )
            for s in stages
        ],
    )
    typer.echo(f"Use them with: malles predict {folder.name} --occasions FILE -o FILE")
    typer.echo(f"Scores and a report: malles run {config} (these models are reused)")
