"""Negotiations between people as typed dialogues: who said what, what was offered, how it ended.

    JSON Lines (plain or gzip), one dialogue a line  →  dialogues + what was refused, line by line

Lines in the file = dialogues + quarantined, always.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import polars as pl

from malles.errors import DataError

LONGEST = 1_000_000
"""Characters of a line: a longer one is no dialogue between two people."""

KINDS = ("message", "offer", "accept", "reject", "quit")
"""What a turn does."""


@dataclass(frozen=True)
class Turn:
    """One thing that one side said or did."""

    role: str
    kind: str
    """One of `KINDS`."""
    text: str = ""
    price: float | None = None
    """Of an offer of money, in the currency of the listing."""
    takes: Mapping[str, int] | None = None
    """Of an offer of a division: units of each item that the speaker would take."""


@dataclass(frozen=True)
class Listing:
    """What two sides haggle over; each side has a private target."""

    list_price: float
    buyer_target: float
    """The price the buyer was told to aim at, currency."""
    seller_target: float
    category: str
    title: str
    scenario: str
    """Listing and targets; several pairs may have had the same."""


@dataclass(frozen=True)
class Division:
    """Items to be divided between two sides who value them differently."""

    counts: Mapping[str, int]
    """Units of every item."""
    values: Mapping[str, Mapping[str, int]]
    """Points per unit, by role and item; each side knows its own."""
    walk_away: int = 0
    """Points of either side without a deal."""

    def uses_all(self, one: Mapping[str, int], other: Mapping[str, int]) -> bool:
        """Whether two sides together take every unit, and no more."""
        return all(one.get(k, 0) + other.get(k, 0) == n for k, n in self.counts.items())

    def points(self, takes: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
        """What units taken are worth, by role.

        >>> Division({"hat": 2}, {"A": {"hat": 3}, "B": {"hat": 1}}).points({"A": {"hat": 2}, "B": {}})
        {'A': 6, 'B': 0}
        """
        return {
            role: sum(takes[role].get(k, 0) * worth[k] for k in self.counts)
            for role, worth in self.values.items()
        }


@dataclass(frozen=True)
class Outcome:
    """How a dialogue ended."""

    agreed: bool
    price: float | None = None
    """Agreed price."""
    takes: Mapping[str, Mapping[str, int]] | None = None
    """Agreed units, by role and item."""
    points: Mapping[str, int] | None = None
    """By role, walk-away points where nothing was agreed."""


Subject = TypeVar("Subject", Listing, Division)


@dataclass(frozen=True)
class Dialogue(Generic[Subject]):
    """One negotiation."""

    case: str
    split: str
    """The source's own split."""
    subject: Subject
    turns: tuple[Turn, ...]
    outcome: Outcome
    status: str = ""
    """The source's word for how it ended."""


@dataclass(frozen=True)
class Refused:
    """A line that is no dialogue."""

    file: str
    line: int
    cause: str


@dataclass(frozen=True)
class Dialogues(Generic[Subject]):
    """Dialogues of a source with what was refused."""

    source: str
    dialogues: tuple[Dialogue[Subject], ...]
    quarantine: tuple[Refused, ...]
    notes: Mapping[str, int]
    """Oddities that were kept, counted."""

    def __len__(self) -> int:
        return len(self.dialogues)

    @property
    def records(self) -> int:
        """Lines of the files, blank ones left out."""
        return len(self.dialogues) + len(self.quarantine)

    @property
    def causes(self) -> dict[str, int]:
        """Refused lines by cause."""
        return dict(Counter(r.cause for r in self.quarantine))

    def split(self, *names: str) -> tuple[Dialogue[Subject], ...]:
        """Dialogues of some of the source's splits."""
        return tuple(d for d in self.dialogues if d.split in names)

    def frame(self) -> pl.DataFrame:
        """case, turn, role, kind, text, offer, outcome: one row per turn; divisions as JSON."""
        rows = [
            (d.case, n, t.role, t.kind, t.text, _offer(t.price, t.takes), _outcome(d.outcome))
            for d in self.dialogues
            for n, t in enumerate(d.turns)
        ]
        names = ("case", "turn", "role", "kind", "text", "offer", "outcome")
        schema = {n: pl.Int32 if n == "turn" else pl.String for n in names}
        return pl.DataFrame(rows, schema=schema, orient="row")


def read_dialogues(
    files: Mapping[str, Path],
    source: str,
    read: Callable[[dict[str, Any], str], Dialogue[Subject]],
    note: Callable[[Dialogue[Subject]], tuple[str, ...]] = lambda dialogue: (),
) -> Dialogues[Subject]:
    """Read every line of some files; a line that `read` refuses is quarantined with its cause.

    Args:
        files: split name → file; lines of a file that say nothing of a split get this one.
        source: name.
        read: from a JSON object and the split to a dialogue; refuses with `DataError`.
        note: oddities of a dialogue that is kept.

    Raises:
        DataError: a file is missing or damaged, or no line of it is a dialogue.
    """
    kept: list[Dialogue[Subject]] = []
    refused: list[Refused] = []
    notes: Counter[str] = Counter()
    seen: set[str] = set()
    for split, path in files.items():
        before = len(kept)
        for number, line in enumerate(_lines(path), 1):
            if not line.strip():
                continue
            try:
                dialogue = read(_object(line), split)
                if dialogue.case in seen:
                    raise DataError("repeated id")
            except DataError as cause:
                refused.append(Refused(path.name, number, str(cause)))
                continue
            seen.add(dialogue.case)
            kept.append(dialogue)
            notes.update(note(dialogue))
        if len(kept) == before:
            raise DataError(
                f"{path.name} holds no dialogue of {source}: {dict(Counter(r.cause for r in refused))}. "
                "Check that it is the right file."
            )
    return Dialogues(source, tuple(kept), tuple(refused), dict(notes))


def find_files(path: Path, names: Mapping[str, str], source: str) -> dict[str, Path]:
    """The files of a source: those of a folder by name, or one file by itself.

    Raises:
        DataError: the folder holds none of them.
    """
    folder = path / source if (path / source).is_dir() else path
    if not folder.is_dir():
        return {next((s for s, n in names.items() if n == path.name), "all"): path}
    found = {split: folder / name for split, name in names.items() if (folder / name).exists()}
    if not found:
        raise DataError(f"{folder} holds none of {', '.join(names.values())}. Name the folder of {source}.")
    return found


def text_of(values: Mapping[str, Any], key: str) -> str:
    """A text field, '' if absent."""
    value = values.get(key)
    return value if isinstance(value, str) else ""


def units_of(values: Any, what: str) -> dict[str, int]:
    """Units by item from JSON, whole and not below 0.

    >>> units_of({"Food": "2", "Water": 1}, "counts")
    {'Food': 2, 'Water': 1}
    """
    if not isinstance(values, dict) or not values:
        raise DataError(f"{what} missing")
    try:
        found = {str(k): int(v) for k, v in values.items()}
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{what} not whole numbers") from None
    if min(found.values()) < 0:
        raise DataError(f"{what} below zero")
    return found


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"There is no file {path}. Check the path.")
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} cannot be read ({error}). Fetch it again.") from None
    return data.decode("utf-8", errors="replace").split("\n")


def _object(line: str) -> dict[str, Any]:
    if len(line) > LONGEST:
        raise DataError("line too long")
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError("no JSON") from None
    if not isinstance(values, dict):
        raise DataError("no JSON object")
    return values


def _offer(price: float | None, takes: Mapping[str, int] | None) -> str | None:
    if takes is not None:
        return json.dumps(dict(takes), sort_keys=True)
    return None if price is None else f"{price:g}"


def _outcome(outcome: Outcome) -> str:
    if not outcome.agreed:
        return "no deal"
    if outcome.takes is not None:
        return json.dumps({role: dict(units) for role, units in outcome.takes.items()}, sort_keys=True)
    return "deal" if outcome.price is None else f"{outcome.price:g}"
