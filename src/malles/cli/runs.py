"""`malles runs`: what was run, how it ended, and going on with what was interrupted."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.errors import RunError
from malles.journal import load_stages
from malles.owner import find_owner
from malles.store import Manifest, find_run, load_manifest, load_runs

runs_app = typer.Typer(help="Runs: list them, show one, resume one.", no_args_is_help=True)

Root = Annotated[Path, typer.Option(help="Folder of all runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@runs_app.command("list")
def list_command(root: Root = Path("runs"), json: AsJson = False) -> None:
    """List every run, oldest first."""
    runs = load_runs(root)
    states = [state(root, manifest) for manifest in runs]
    if json:
        names = ("id", "command", "started", "finished", "seconds")
        print_json(
            [{n: getattr(m, n) for n in names} | {"status": s} for m, s in zip(runs, states, strict=True)]
        )
        return
    if not runs:
        typer.echo(f"There are no runs in {root} yet; make one with: malles demo", err=True)
        return
    rows = [
        (m.id, m.command, s, m.started, m.seconds, len(m.stages)) for m, s in zip(runs, states, strict=True)
    ]
    print_table(("run", "command", "status", "started", "seconds", "stages"), rows)


@runs_app.command("show")
def show_command(
    run: Annotated[str, typer.Argument(help="Name of the run, for example demo-1.")],
    root: Root = Path("runs"),
    json: AsJson = False,
) -> None:
    """Show one run: its stages, versions, seeds and settings."""
    folder = find_run(root, run)
    manifest = load_manifest(folder)
    stages = load_stages(folder)
    if json:
        print_json(asdict(manifest) | {"status": state(root, manifest), "stages": stages})
        return
    print_table(
        ("", ""), [("run", manifest.id), ("status", state(root, manifest)), ("started", manifest.started)]
    )
    if manifest.error:
        typer.echo(f"\nIt ended with: {manifest.error}")
    typer.echo()
    rows = [(s["name"], s["artefact"], s["seconds"], "yes" if s["reused"] else "") for s in stages]
    print_table(("stage", "artefact", "seconds", "reused"), rows)
    typer.echo()
    settings = [
        (f"{section}.{name}", value)
        for section, values in manifest.config.items()
        for name, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]
    print_table(("setting", "value"), settings)
    report = folder / "report.html"
    if report.exists():
        typer.echo(f"\nReport: {report}")


@runs_app.command("resume")
def resume_command(
    run: Annotated[str, typer.Argument(help="Name of the run, for example demo-1.")],
    root: Root = Path("runs"),
    json: AsJson = False,
) -> None:
    """Go on with an interrupted run; finished stages are not computed again."""
    folder = find_run(root, run)
    manifest = load_manifest(folder)
    owner = find_owner(folder)
    if owner is not None:
        raise RunError(f"Run {run!r} is being written by {owner}; wait for it or stop it first.")
    with progress() as tell:
        importlib.import_module("malles.pipeline").resume(folder, tell)
    ended = load_manifest(folder)
    if json:
        print_json({"id": ended.id, "status": ended.status, "seconds": ended.seconds})
    else:
        typer.echo(
            f"Run {manifest.id} ended with {ended.status}; see it with: malles runs show {manifest.id}"
        )
        if ended.command == "fit" and ended.status == "success":
            typer.echo("It has only models, as `malles fit` makes them; scores come from: malles run CONFIG")


def state(root: Path, manifest: Manifest) -> str:
    """How a run stands: success, error, running, or interrupted (started, but nobody writes it any more)."""
    if manifest.status != "started":
        return manifest.status
    return "running" if find_owner(root / manifest.id) else "interrupted"
