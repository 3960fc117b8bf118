"""CaSiNo (Chawla et al. 2021): two campers divide packages of food, water and firewood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from malles.data.dialogues import (
    Dialogue,
    Dialogues,
    Division,
    Outcome,
    Turn,
    find_files,
    read_dialogues,
    text_of,
    units_of,
)
from malles.data.sources.source import Source
from malles.errors import DataError

FILES = {"train": "train.jsonl.gz"}
POINTS = {"High": 5, "Medium": 4, "Low": 3}
"""Points per package, by the priority a side gives an item."""
PACKAGES = 3
"""Of every item."""
WALK_AWAY = 5
"""Points of either side without a deal."""
ACTIONS = {
    "Submit-Deal": "offer", "Accept-Deal": "accept", "Reject-Deal": "reject", "Walk-Away": "quit",
}  # fmt: skip
SIDES = ("P1", "P2")


def load_casino(path: Path) -> Dialogues[Division]:
    """Dialogues of a folder with `train.jsonl.gz`, or of the file.

    Checked: every priority is given once, submitted divisions use every package once, and recorded points
    are what priorities and packages make (5 each after a walk-away).

    Raises:
        DataError: a file is missing, damaged or no dialogues.
    """
    return read_dialogues(find_files(path, FILES, SOURCE.name), SOURCE.name, _read)


def _read(values: dict[str, Any], split: str) -> Dialogue[Division]:
    case, people, chat = text_of(values, "id"), values.get("participants"), values.get("chat")
    if not case or not isinstance(people, dict) or not isinstance(chat, list):
        raise DataError("no id, participants or chat")
    worth, recorded = {}, {}
    for side in SIDES:
        person = people.get(side)
        person = person if isinstance(person, dict) else {}
        order, outcomes = person.get("value2issue"), person.get("outcomes")
        if (
            not isinstance(order, dict)
            or set(order) != set(POINTS)
            or len(set(order.values())) != len(POINTS)
        ):
            raise DataError("priorities are not High, Medium and Low, once each")
        worth[side] = {str(order[level]): points for level, points in POINTS.items()}
        recorded[side] = outcomes.get("points_scored") if isinstance(outcomes, dict) else None
    if set(worth["P1"]) != set(worth["P2"]):
        raise DataError("the two sides divide different items")
    subject = Division(dict.fromkeys(sorted(worth["P1"]), PACKAGES), worth, WALK_AWAY)
    turns = tuple(_turn(entry, subject) for entry in chat)
    outcome = _outcome(turns, subject)
    points = outcome.points or {}
    if any(recorded[s] != points[s] for s in SIDES):
        raise DataError("points are not what priorities and packages make")
    status = turns[-1].kind if turns else ""
    return Dialogue(case, split, subject, turns, outcome, status)


def _turn(entry: Any, subject: Division) -> Turn:
    if not isinstance(entry, dict) or entry.get("speaker") not in SIDES:
        raise DataError("turn of an unknown role")
    text = text_of(entry, "text")
    kind = ACTIONS.get(text, "message")
    if kind != "offer":
        return Turn(entry["speaker"], kind, text if kind == "message" else "")
    data = entry.get("task_data")
    data = data if isinstance(data, dict) else {}
    mine = units_of(data.get("issue2youget"), "submitted division")
    theirs = units_of(data.get("issue2theyget"), "submitted division")
    if not subject.uses_all(mine, theirs):
        raise DataError("submitted packages are not the packages there are")
    return Turn(entry["speaker"], kind, takes=mine)


def _outcome(turns: tuple[Turn, ...], subject: Division) -> Outcome:
    last = next((t for t in reversed(turns) if t.kind == "offer"), None)
    if not turns or turns[-1].kind != "accept" or last is None or last.takes is None:
        return Outcome(agreed=False, points=dict.fromkeys(SIDES, WALK_AWAY))
    other = SIDES[1 - SIDES.index(last.role)]
    mine = last.takes
    takes = {last.role: dict(mine), other: {k: n - mine.get(k, 0) for k, n in subject.counts.items()}}
    return Outcome(agreed=True, takes=takes, points=subject.points(takes))


SOURCE = Source(
    name="casino",
    origin="Chawla, Ramirez, Clever, Lucas, May & Gratch (NAACL 2021), CaSiNo",
    licence="CC BY 4.0",
    how="get it from its authors as one dialogue a line, then: malles data add casino FOLDER",
    rows="1,030 dialogues in all; 900 in the training part",
    needs_path=True,
    load=None,
)
