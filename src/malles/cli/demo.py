"""`malles demo`: the whole road on real data, in one command."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from malles.cli.run import AsJson, DryRun, Seed, Workers, walk, with_options
from malles.config import load_config


def demo_command(
    full: Annotated[bool, typer.Option("--full", help="Train on every occasion, not on a sample.")] = False,
    seed: Seed = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> None:
    """Learn the Complete Journey market, score it on weeks never seen, simulate it, ask one what-if."""
    with as_file(files("malles") / "configs" / ("full.toml" if full else "demo.toml")) as path:
        config = load_config(Path(path))
    walk(with_options(config, seed, workers), command="demo", dry_run=dry_run, json=json)
