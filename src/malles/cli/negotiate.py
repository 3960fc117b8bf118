"""`malles negotiate ORDER.toml`: an order by arithmetic, and by roles that discuss it within its bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from malles.cli.frame import print_json, print_table, progress
from malles.discussion.case import price_text
from malles.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from malles.wholesale.order import OrderFile

STOPPED = 130
"""Exit code after Ctrl-C, as shells give it."""
TURNS = 20
"""Printed of the last rounds at most."""


def negotiate_command(
    order: Annotated[Path, typer.Argument(help="A TOML file, for example examples/order.toml.")],
    talk: Annotated[
        bool, typer.Option(help="Let the roles discuss; --no-talk: the arithmetic alone.")
    ] = True,
    rule: Annotated[
        bool, typer.Option(help=r"Hear the file's \[rule]; --no-rule: as if it had none, for comparison.")
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
        Path | None,
        typer.Option(help="Hold a recorded transcript.jsonl of this order again, without a model."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all negotiations.")] = Path("negotiations"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check order and roles, print the plan, keep nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decide what to order: the arithmetic proposes, roles discuss within bounds, limits hold."""
    with _told_when_stopped():
        from malles.stages.negotiate import hold_again, prepare
        from malles.wholesale.order import load_order

        asked = load_order(order)
        if not rule:
            asked = asked.model_copy(update={"rule": None})
        if _is_taught(model):  # it says at once, alone, what the discussion would decide
            alone = True
            asked = asked.model_copy(update={"talk": asked.talk.model_copy(update={"rounds": 1})})
        if replay is not None:
            found, size = hold_again(prepare(asked, alone=True), order, replay)
            typer.echo(f"Replayed {replay}: {size:,} bytes, equal to those on the disk.", err=True)
        elif dry_run:
            found = prepare(asked, alone=alone).decided()
        else:
            found = _negotiate(asked, out, model if talk else None, alone=alone)
    if json:
        print_json(found)
        return
    _print(found, asked.order.currency)


def _negotiate(asked: OrderFile, out: Path, model: str | None, *, alone: bool) -> dict[str, Any]:
    """Check everything, make a folder, talk."""
    from malles.stages.negotiate import hold, prepare

    _check_out(out)
    if model is not None:
        _check_model(model)
    with progress() as tell:
        tell("arithmetic")
        ready = prepare(asked, alone=alone)
        if model is not None:
            tell("loading the model")
        backend = None if model is None else _backend(model)
        folder = _new_folder(out, asked.order.name)
        found = hold(ready, folder, backend, tell=tell)
    typer.echo(f"Kept in {folder}", err=True)
    return found


@contextmanager
def _told_when_stopped() -> Iterator[None]:
    """Say where a talk is that was stopped or failed; the notes of the exception know."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        notes = getattr(stopped, "__notes__", ["Nothing was said, and nothing is kept."])
        typer.echo(f"malles: Stopped. {notes[0]}", err=True)
        raise typer.Exit(STOPPED) from None
    except Exception as problem:
        for note in getattr(problem, "__notes__", []):
            typer.echo(f"malles: {note}", err=True)
        raise


def _print(found: dict[str, Any], currency: str) -> None:
    ruled, said = found.get("rule"), found.get("talk")
    print_table(*_order_rows(found), title="Order")
    if ruled:
        typer.echo(f"The rule, as a {ruled['use']}: {ruled['formula']}")
    money = f" {currency}".rstrip()
    planned = sum(x["planned_gain"] for x in found["lines"])
    beside = f"; the plan, {planned:,.2f}" if said or ruled else ""
    typer.echo(
        f"It costs {found['spent']:,.2f}{money} and adds {found['gain']:,.2f}{money} of expected profit to "
        f"the sale of the stock at hand{beside}."
    )
    if said:
        _print_turns(said)


def _order_rows(found: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Heading and rows; what a talk did only if there was one, the plan's gain only beside another."""
    from malles.wholesale.reasons import told_of

    said, ruled = bool(found.get("talk")), bool(found.get("rule"))
    units = ["proposed", *["rule"] * ruled, *["talked"] * said, "ordered"]
    gains = {"gain": "adds", **({"planned_gain": "the plan adds"} if said or ruled else {})}
    heading = ("product", *units, "unit cost", *gains.values(), "how the talk ended" if said else "why")
    rows: list[tuple[object, ...]] = [
        (x["name"], *("–" if x[u] is None else x[u] for u in units), price_text(x["cost"]),
         *(x[g] for g in gains), told_of(x))
        for x in found["lines"]
    ]  # fmt: skip
    return heading, rows


def _print_turns(said: dict[str, Any]) -> None:
    last = {t["product"]: t["round"] for t in said["said"]}
    turns = [t for t in said["said"] if t["round"] == last[t["product"]]]
    print_table(
        ("product", "round", "role", "units", "claim"),
        [(t["product"], t["round"], t["role"], t["units"], t["claim"]) for t in turns[:TURNS]],
        title=f"The last round of each product, by {said['model']}",
    )
    if len(turns) > TURNS:
        typer.echo(f"… and {len(turns) - TURNS} more turns of last rounds; all turns stand in report.html.")
    typer.echo(
        f"{said['turns']} turns, {said['unreadable']} unreadable, {said['repaired']} repaired, "
        f"{said['tokens_read']} tokens read, {said['tokens_written']} written.",
        err=True,
    )
    typer.echo(
        "A small language model argues badly: the bounds and limits decide what it may move.", err=True
    )


def _backend(model: str) -> Any:
    if model.startswith("api:"):
        from malles.llm.backends.api import ApiBackend
        from malles.llm.backends.api_settings import ApiSettings

        return ApiBackend(ApiSettings(model=model.removeprefix("api:")))
    import torch

    from malles.llm.backends.local import LocalBackend

    torch.set_num_threads(1)  # on a busy machine two threads wait for each other at every small product
    return LocalBackend.taught(Path(model)) if _is_taught(model) else LocalBackend.untuned(model)


def _check_model(model: str) -> None:
    """Refuse weights or packages that are not here, before anything is worked out or loaded."""
    if model.startswith("api:"):
        return
    from malles.llm.libraries import check_installed
    from malles.llm.taught import read_taught_facts
    from malles.llm.weights import find_weights

    check_installed("a discussion with local weights", "torch", "transformers", "llguidance")
    find_weights(str(read_taught_facts(Path(model))["settings"]["model"]) if _is_taught(model) else model)


def _check_out(root: Path) -> None:
    """Refuse an --out below a file, before anything is worked out."""
    there = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    if not there.is_dir():
        raise UsageError(f"--out {root}: {there} is a file, not a folder; name another with --out.")


def _is_taught(model: str) -> bool:
    from malles.llm.taught import is_taught

    return not model.startswith("api:") and is_taught(Path(model))


def _new_folder(root: Path, name: str) -> Path:
    """Make the first folder `name`-1, -2, ... that is not there; two that ask at once get two."""
    for number in range(1, 10_000):
        folder = root / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as problem:
            raise UsageError(
                f"--out {root}: no folder can be made there ({problem.strerror}); name another with --out."
            ) from problem
        return folder
    raise ConfigError(f"{root} holds 10,000 negotiations called {name!r}; name another folder with --out.")
