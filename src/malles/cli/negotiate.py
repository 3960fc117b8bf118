"""`malles negotiate ORDER.toml`: an order by arithmetic, and by roles that discuss it within its bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.errors import ConfigError


def negotiate_command(
    order: Annotated[Path, typer.Argument(help="A TOML file, for example examples/order.toml.")],
    talk: Annotated[
        bool, typer.Option(help="Let the roles discuss; --no-talk: the arithmetic alone.")
    ] = True,
    rule: Annotated[
        bool, typer.Option(help="Hear the file's [rule]; --no-rule: as if it had none, for comparison.")
    ] = True,
    alone: Annotated[
        bool, typer.Option("--alone", help="One role that sees everything, the control of a discussion.")
    ] = False,
    model: Annotated[
        str,
        typer.Option(
            help="smollm2, a folder of weights, what malles distil wrote, or api:NAME on $OPENAI_BASE_URL."
        ),
    ] = "smollm2",
    replay: Annotated[
        Path | None, typer.Option(help="Hold a recorded transcript.jsonl again instead, without a model.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all negotiations.")] = Path("negotiations"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and print the plan, keep nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decide what to order: the arithmetic proposes, roles discuss within bounds, limits hold."""
    from malles.wholesale.order import load_order

    if replay is not None:
        _replay(replay, json)
        return
    asked = load_order(order)
    if not rule:
        asked = asked.model_copy(update={"rule": None})
    from malles.stages.negotiate import negotiate, settled

    if dry_run:
        from malles.wholesale.rule import apply_rule
        from malles.wholesale.talk import plan_file

        found: dict[str, Any] = settled(asked, *plan_file(asked), None, apply_rule(asked))
    else:
        speak = (lambda: _backend(model)) if talk else None
        if _is_taught(model):  # it says at once, alone, what the discussion would decide
            alone = True
            asked = asked.model_copy(update={"talk": asked.talk.model_copy(update={"rounds": 1})})
        with progress() as tell:
            folder = _new_folder(out, asked.order.name)
            found = negotiate(asked, folder, speak=speak, alone=alone, tell=tell)
        typer.echo(f"Kept in {folder}", err=True)
    if json:
        print_json(found)
        return
    _print(found, asked.order.currency)


def _print(found: dict[str, Any], currency: str) -> None:
    said_by_rule = found.get("rule")
    ruled = ("rule",) if said_by_rule else ()
    units = ("proposed", *ruled, "talked", "ordered")
    print_table(
        ("product", *units, "unit cost", "how the talk ended"),
        [
            (x["name"], *("–" if x[u] is None else x[u] for u in units), x["cost"],
             ": ".join(filter(None, (x["end"], "; ".join(x["corrections"])))))
            for x in found["lines"]
        ],
        title="Order",
    )  # fmt: skip
    if said_by_rule:
        typer.echo(f"The rule, as a {said_by_rule['use']}: {said_by_rule['formula']}")
    typer.echo(f"It costs {found['spent']:,.2f} {currency}".rstrip() + ".")
    said = found.get("talk")
    if said:
        print_table(
            ("product", "round", "role", "units", "claim"),
            [(t["product"], t["round"], t["role"], t["units"], t["claim"]) for t in said["said"][-12:]],
            title=f"The last turns, by {said['model']}",
        )
        typer.echo(
            f"{said['turns']} turns, {said['unreadable']} unreadable, {said['repaired']} repaired, "
            f"{said['tokens_read']} tokens read, {said['tokens_written']} written.",
            err=True,
        )
        typer.echo(
            "A small language model argues badly: the bounds and limits decide what it may move.", err=True
        )


def _replay(path: Path, json: bool) -> None:
    from malles.discussion.transcript import replay

    talks, content = replay(path)
    decisions = [
        {
            "case": t.case.id,
            "choice": t.decision.choice,
            "units": t.decision.units,
            "end": t.end.name if t.end else "",
        }
        for t in talks
    ]
    if json:
        print_json(decisions)
        return
    print_table(
        ("case", "option", "units", "end"),
        [(d["case"], d["choice"] or "nothing", d["units"], d["end"]) for d in decisions],
        title="Replayed",
    )
    typer.echo(f"{len(content)} bytes, equal to those on the disk.", err=True)


def _backend(model: str) -> Any:
    if model.startswith("api:"):
        from malles.llm.backends.api import ApiBackend
        from malles.llm.backends.api_settings import ApiSettings

        return ApiBackend(ApiSettings(model=model.removeprefix("api:")))
    from malles.llm.backends.local import LocalBackend
    from malles.llm.libraries import check_installed

    check_installed("a discussion with local weights", "torch", "transformers", "llguidance")
    import torch

    torch.set_num_threads(1)  # on a busy machine two threads wait for each other at every small product
    return LocalBackend.taught(Path(model)) if _is_taught(model) else LocalBackend.untuned(model)


def _is_taught(model: str) -> bool:
    from malles.llm.taught import is_taught

    return not model.startswith("api:") and is_taught(Path(model))


def _new_folder(root: Path, name: str) -> Path:
    for number in range(1, 10_000):
        folder = root / f"{name}-{number}"
        if not folder.exists():
            return folder
    raise ConfigError(f"{root} holds 10,000 negotiations called {name!r}; name another folder with --out.")
