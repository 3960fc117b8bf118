"""What all commands share: progress on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any, Protocol

import typer


class Progress(Protocol):
    """Tells the person who waits how far it is."""

    def __call__(self, title: str, done: float | None = None, total: float | None = None) -> None:
        """The stage named `title` has done `done` of `total`; both None while nobody knows."""
        ...


def is_quiet() -> bool:
    """Whether nobody watches: stderr is not a terminal, or MALLES_QUIET is set."""
    return bool(os.environ.get("MALLES_QUIET")) or not sys.stderr.isatty()


@contextmanager
def progress(*, quiet: bool | None = None) -> Iterator[Progress]:
    """A progress bar per stage on stderr; without a terminal one line per stage; nothing if quiet.

    with progress() as tell:
        tell("occasions", 10, 200)
    """
    if quiet:
        yield lambda title, done=None, total=None: None
    elif is_quiet():
        yield _lines() if not os.environ.get("MALLES_QUIET") else (lambda title, done=None, total=None: None)
    else:
        yield from _bars()


def _lines() -> Progress:
    seen: set[str] = set()

    def tell(title: str, done: float | None = None, total: float | None = None) -> None:
        if title not in seen:
            seen.add(title)
            print(f"malles: {title}", file=sys.stderr, flush=True)

    return tell


def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True)  # rich itself obeys NO_COLOR
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def tell(title: str, done: float | None = None, total: float | None = None) -> None:
            for other, task in tasks.items():
                if other != title and not bars.tasks[task].finished:
                    bars.update(task, total=1, completed=1)
            if title not in tasks:
                tasks[title] = bars.add_task(title, total=total)
            bars.update(tasks[title], total=total, completed=done)

        yield tell
        for task in tasks.values():
            if not bars.tasks[task].finished:
                bars.update(task, total=1, completed=1)


def print_json(value: object) -> None:
    """Write a value to stdout as JSON; not-a-number becomes null."""
    typer.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_table(heading: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Write a table to stdout; columns of numbers stand to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, show_edge=False, pad_edge=False)
    for number, name in enumerate(heading):
        numeric = bool(rows) and all(isinstance(row[number], int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))  # Text: markup in a product name stays text
    width = None if sys.stdout.isatty() else 120
    Console(file=sys.stdout, width=width).print(table)


def print_number(value: float) -> str:
    """A number for people: four digits, or whole thousands; what is nothing but rounding is 0.

    >>> print_number(-3.1e-8), print_number(12345.6), print_number(0.12345)
    ('0', '12,346', '0.1235')
    """
    if abs(value) < 1e-6:
        return "0"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return print_number(value)
    return "" if value is None else str(value)


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124  (NaN)
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value if isinstance(value, str | int | bool | None) else str(value)
