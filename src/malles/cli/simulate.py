"""`malles simulate SCENARIO.toml --model RUN`: a what-if on the market of a finished run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.config import ScenarioSettings, build_config
from malles.errors import ConfigError


def simulate_command(
    scenario: Annotated[Path, typer.Argument(help="A TOML file with a [scenario] section.")],
    model: Annotated[str, typer.Option(help="The run whose market is asked, for example demo-1.")],
    week: Annotated[
        int | None, typer.Option(help="Week of the what-if; by default the last simulated one.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Draws behind every interval.", min=20)] = 200,
    seed: Annotated[int | None, typer.Option(help="Seed of the draws.")] = None,
    root: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Units, share, revenue and diversion under a change of one product's price or display."""
    from malles.stages.simulate import ask_finished

    settings = load_scenario(scenario)
    with progress() as tell:
        found = ask_finished(root, model, settings, week, draws, seed, tell)
    if json:
        print_json(found)
        return
    print_table(
        ("", "base", "scenario", "difference", "95 % interval"),
        [
            (
                name.replace("_", " "),
                e["base"],
                e["scenario"],
                e["change"]["value"],
                f"{e['change']['low']:.4g} to {e['change']['high']:.4g}",
            )
            for name, e in found["effects"].items()
        ],
        title=found["question"],
    )
    print_table(
        ("where the units came from", "part", "95 % interval"),
        [
            (name, d["value"], f"{d['low']:.3g} to {d['high']:.3g}")
            for name, d in found["diversion"].items()
            if d["value"] is not None
        ],
    )
    print_table(
        ("price", "units", "share", "elasticity"),
        [(c["price"], c["units"], c["share"], c["elasticity"]) for c in found["curve"]],
    )
    if found["note"]:
        typer.echo(found["note"], err=True)
    low, high = found["observed_prices"]
    typer.echo(f"Observed prices: {low:.2f} to {high:.2f}; the curve beyond them extrapolates.", err=True)
    typer.echo("Price effects are associational: past prices were not drawn at random.", err=True)


def load_scenario(path: Path) -> ScenarioSettings:
    """Read the [scenario] section of a TOML file.

    Raises:
        ConfigError: the file cannot be read or names an unknown setting.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as problem:
        raise ConfigError(f"There is no scenario file {path}; see examples/price_cut.toml.") from problem
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ConfigError(f"{path} is not valid TOML: {problem}.") from problem
    if list(values) != ["scenario"]:
        raise ConfigError(
            f"{path} should hold one section [scenario], got {', '.join(map(repr, values)) or 'nothing'}."
        )
    return build_config(values, origin=str(path)).scenario
