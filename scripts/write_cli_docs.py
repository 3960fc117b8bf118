"""Write `docs/cli.md` from the program itself; with --check only say whether it is in step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
from page_in_step import write_or_check

from malles.cli import COMMANDS, LazyCommand, app

PATH = Path(__file__).parent.parent / "docs" / "cli.md"


def build_page() -> str:
    """The page: one section per command, with its arguments and options."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("malles", [], resilient_parsing=True)
    lines = ["# Commands", "", "Written by `make docs` from the program; do not edit.", ""]
    lines += ["| command | does |", "|---|---|"]
    names = group.list_commands(context)
    lines += [f"| [`malles {name}`](#malles-{name}) | {COMMANDS[name].help} |" for name in names]
    for name in names:
        stand_in = group.get_command(context, name)
        assert isinstance(stand_in, LazyCommand)
        lines += _section(f"malles {name}", stand_in.load(), level=2)
    return "\n".join(lines) + "\n"


def _section(path: str, command: Any, *, level: int) -> list[str]:
    text = (command.help or "").strip()
    lines = ["", f"{'#' * level} {path}", "", *(line.strip() for line in text.splitlines())]
    context = command.make_context(path, [], resilient_parsing=True)
    inner = getattr(command, "commands", None)
    if inner is not None:
        for name, sub in inner.items():
            lines += _section(f"{path} {name}", sub, level=level + 1)
        return lines
    pieces = " ".join(command.collect_usage_pieces(context))
    lines += ["", "```", f"{path} {pieces}".rstrip(), "```", "", "| argument | meaning |", "|---|---|"]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            name, meaning = (" ".join(part.split()).replace("|", "\\|") for part in record)
            lines.append(f"| `{name}` | {meaning} |")
    return lines


if __name__ == "__main__":
    sys.exit(write_or_check(PATH, build_page(), sys.argv[1:]))
