"""`malles distil TRANSCRIPT...`: a discussion put into one call, with agreement and cost before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.errors import ConfigError


def distil_command(
    transcripts: Annotated[
        list[Path], typer.Argument(help="transcript.jsonl files, or folders of negotiations, to teach from.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="New folder of the taught model.")],
    held: Annotated[
        list[Path] | None, typer.Option(help="Transcripts to ask about; else part of the others is held out.")
    ] = None,
    share: Annotated[
        float, typer.Option(min=0.05, max=0.9, help="Part that is held out without --held.")
    ] = 0.25,
    model: Annotated[str, typer.Option(help="smollm2, or a folder of weights.")] = "smollm2",
    epochs: Annotated[int, typer.Option(min=1, max=100, help="Times that every discussion is read.")] = 2,
    minutes: Annotated[float, typer.Option(min=0.0, help="Processor-minutes at most; 0: no limit.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the split, the adapter and the order.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Teach a model to say at once what recorded discussions decided.

    Then: malles negotiate ORDER.toml --model FOLDER
    """
    if output.exists():
        raise ConfigError(f"{output} exists; name a new folder with -o.")
    taught_from, asked_about = find_transcripts(transcripts), find_transcripts(held or [])
    from malles.llm.libraries import check_installed

    check_installed("teaching a model", "torch", "transformers", "peft", "llguidance")
    import torch

    from malles.llm.training.replies import ReplySettings
    from malles.stages.distil import distil

    torch.set_num_threads(1)  # on a busy machine two threads wait for each other at every small product
    settings = ReplySettings(model=model, epochs=epochs, minutes=minutes, seed=seed)
    with progress() as tell:
        found = distil(taught_from, output, settings, held=asked_about, share=share, tell=tell)
    typer.echo(f"Kept in {output}; next: malles negotiate ORDER.toml --model {output}", err=True)
    if json:
        print_json(found)
        return
    _print(found)


def find_transcripts(given: list[Path]) -> list[Path]:
    """The files themselves, and every transcript.jsonl below a folder.

    Raises:
        ConfigError: a path does not exist, or a folder holds none.
    """
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise ConfigError(f"{path} does not exist; give a transcript.jsonl or a folder of negotiations.")
        inside = sorted(path.rglob("transcript.jsonl")) if path.is_dir() else [path]
        if not inside:
            raise ConfigError(f"{path} holds no transcript.jsonl; malles negotiate ORDER.toml writes one.")
        found += [p for p in inside if p not in found]
    return found


def _print(found: dict[str, Any]) -> None:
    from malles.stages.distil import COLUMNS, LEAST_CASES, cost_rows

    print_table(
        COLUMNS, cost_rows(found),
        title=f"Agreement with the discussion on {found['held_out']} held-out cases, and cost per case",
    )  # fmt: skip
    if found["too_few_to_tell"]:
        typer.echo(
            f"{found['held_out']} held-out cases are too few to tell how well it agrees; give transcripts of "
            f"more orders, or others with --held, until {LEAST_CASES} are held out.",
            err=True,
        )
    typer.echo(
        f"Taught on {found['taught_on']} discussions ({found['examples_read']} readings, "
        f"{found['teaching_seconds']:.0f} processor-seconds); {found['without_a_decision']} had no decision, "
        f"{found['repeated']} read the same as another.",
        err=True,
    )
