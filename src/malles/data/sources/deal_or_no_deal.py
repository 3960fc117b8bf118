"""DealOrNoDeal (Lewis et al. 2017): two people divide books, hats and balls that they value differently."""

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

FILES = {"all": "dialogues.jsonl.gz"}
STATUSES = ("agreed", "conflicting_selection", "no_agreement", "disconnect")
WORTH = 10
"""Points of all items together, to either side."""


def load_deal_or_no_deal(path: Path) -> Dialogues[Division]:
    """Dialogues of a folder with `dialogues.jsonl.gz`, or of the file, with the source's own splits.

    Checked: each side's values are worth 10 points, agreed divisions use every unit once, and rewards are
    what values and units make.

    Raises:
        DataError: a file is missing, damaged or no dialogues.
    """
    return read_dialogues(find_files(path, FILES, SOURCE.name), SOURCE.name, _read)


def _read(values: dict[str, Any], split: str) -> Dialogue[Division]:
    case, status = text_of(values, "id"), text_of(values, "status")
    if not case:
        raise DataError("no id")
    if status not in STATUSES:
        raise DataError("unknown status")
    counts = units_of(values.get("counts"), "counts")
    subject = Division(counts, {s: units_of(values.get(f"values_{s}"), "values") for s in "AB"})
    for side in subject.values.values():
        if set(side) != set(counts) or sum(counts[k] * side[k] for k in counts) != WORTH:
            raise DataError(f"values are not worth {WORTH}")
    turns = []
    for turn in values.get("turns") or []:
        if not isinstance(turn, dict) or turn.get("speaker") not in ("A", "B"):
            raise DataError("turn of an unknown role")
        turns.append(Turn(turn["speaker"], "message", text_of(turn, "text")))
    outcome = Outcome(agreed=False, points={"A": 0, "B": 0})
    if status == "agreed":
        takes = {s: units_of(values.get(f"allocation_{s}"), "allocation") for s in "AB"}
        if not subject.uses_all(takes["A"], takes["B"]):
            raise DataError("agreed units are not the units there are")
        points = subject.points(takes)
        if any(points[s] != values.get(f"reward_{s}") for s in "AB"):
            raise DataError("reward is not what values and units make")
        outcome = Outcome(agreed=True, takes=takes, points=points)
    return Dialogue(case, text_of(values, "split") or split, subject, tuple(turns), outcome, status)


SOURCE = Source(
    name="deal_or_no_deal",
    origin="Lewis, Yarats, Dauphin, Parikh & Batra (EMNLP 2017), Deal or No Deal?",
    licence="CC BY-NC 4.0; never shipped, nothing shipped is trained on it",
    how="get it from its authors as one dialogue a line, then: malles data add deal_or_no_deal FOLDER",
    rows="6,318 dialogues",
    needs_path=True,
    load=None,
)
