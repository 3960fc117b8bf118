"""Dialogues between people: what is read, what is refused, and that both add up."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from malles.data.loading import check_dataset
from malles.data.sources.casino import load_casino
from malles.data.sources.craigslist_bargain import is_plausible, load_craigslist_bargain
from malles.data.sources.deal_or_no_deal import load_deal_or_no_deal
from malles.errors import DataError, UsageError

HAGGLE = {
    "id": "c1", "scenario_id": "s1", "category": "bike", "title": "Red bike", "list_price": 100,
    "buyer_target": 70, "seller_target": 100, "deal": True, "agreed_price": 85.0,
    "events": [
        {"speaker": "buyer", "type": "message", "text": "Would you take 70?", "t": 0},
        {"speaker": "seller", "type": "message", "text": "90 and it is yours", "t": 9},
        {"speaker": "buyer", "type": "offer", "price": 85.0, "t": 20},
        {"speaker": "seller", "type": "accept", "t": 22},
    ],
}  # fmt: skip
HATS = {
    "id": "d1", "split": "test", "counts": {"book": 1, "hat": 2, "ball": 1},
    "values_A": {"book": 4, "hat": 2, "ball": 2}, "values_B": {"book": 0, "hat": 5, "ball": 0},
    "turns": [{"speaker": "A", "text": "you take the hats"}, {"speaker": "B", "text": "deal"}],
    "status": "agreed", "allocation_A": {"book": 1, "hat": 0, "ball": 1},
    "allocation_B": {"book": 0, "hat": 2, "ball": 0}, "reward_A": 6, "reward_B": 10,
}  # fmt: skip
CAMP = {
    "id": "k1",
    "chat": [
        {"speaker": "P1", "text": "I need water"},
        {"speaker": "P2", "text": "Submit-Deal", "task_data": {
            "issue2youget": {"Food": "3", "Water": "0", "Firewood": "1"},
            "issue2theyget": {"Food": "0", "Water": "3", "Firewood": "2"}}},
        {"speaker": "P1", "text": "Accept-Deal"},
    ],
    "participants": {
        "P1": {"value2issue": {"High": "Water", "Medium": "Firewood", "Low": "Food"},
               "outcomes": {"points_scored": 23}},
        "P2": {"value2issue": {"High": "Food", "Medium": "Firewood", "Low": "Water"},
               "outcomes": {"points_scored": 19}},
    },
}  # fmt: skip


def write(path: Path, *lines: object) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_a_haggle_becomes_typed_turns(tmp_path):
    found = load_craigslist_bargain(write(tmp_path / "train_part.jsonl.gz", HAGGLE))
    dialogue = found.split("train")[0]
    assert [(t.role, t.kind, t.price) for t in dialogue.turns] == [
        ("buyer", "message", None), ("seller", "message", None),
        ("buyer", "offer", 85.0), ("seller", "accept", None),
    ]  # fmt: skip
    assert dialogue.outcome.price == 85.0
    assert is_plausible(dialogue)
    frame = found.frame()
    assert frame.columns == ["case", "turn", "role", "kind", "text", "offer", "outcome"]
    assert frame["offer"].to_list() == [None, None, "85", None]


def test_lines_are_dialogues_or_quarantined(tmp_path):
    wrong = [
        "{broken", "[1, 2]", "", HAGGLE,
        {**HAGGLE, "id": "c2", "list_price": 0},
        {**HAGGLE, "id": "c3", "list_price": "many"},
        {**HAGGLE, "id": "c4", "buyer_target": 120},
        {**HAGGLE, "id": "c5", "events": [{"speaker": "ghost", "type": "message"}]},
        {**HAGGLE, "id": "c6", "events": HAGGLE["events"][:3]},
        {**HAGGLE, "id": "c7", "agreed_price": 8_500.0},
    ]  # fmt: skip
    found = load_craigslist_bargain(write(tmp_path / "x.jsonl.gz", HAGGLE, *wrong))
    assert found.records == 10
    assert len(found) + len(found.quarantine) == found.records
    assert found.causes == {
        "no JSON": 1, "no JSON object": 1, "repeated id": 1, "list price not above zero": 1,
        "list price is no number": 1, "buyer's target above the seller's": 1,
        "event of an unknown role or kind": 1, "deal without accept": 1,
    }  # fmt: skip
    assert found.notes == {"agreed price is a typing error": 1}
    assert [r.line for r in found.quarantine][:2] == [2, 3]


def test_divisions_are_checked_by_arithmetic(tmp_path):
    """1 book at 4 and 1 ball at 2 are 6 points; both hats at 5 are 10."""
    wrong = [
        {**HATS, "id": "d2", "reward_A": 7},
        {**HATS, "id": "d3", "allocation_B": {"book": 0, "hat": 1, "ball": 0}},
        {**HATS, "id": "d4", "values_A": {"book": 9, "hat": 2, "ball": 2}},
    ]
    found = load_deal_or_no_deal(write(tmp_path / "dialogues.jsonl.gz", HATS, *wrong))
    assert found.split("test")[0].outcome.points == {"A": 6, "B": 10}
    assert len(found.quarantine) == 3


def test_camp_points_are_checked_by_arithmetic(tmp_path):
    """3 water at 5 and 2 firewood at 4 are 23; 3 food at 5 and 1 firewood at 4 are 19."""
    walked = {**CAMP, "id": "k2", "chat": [{"speaker": "P1", "text": "Walk-Away"}]}
    found = load_casino(write(tmp_path / "train.jsonl.gz", CAMP, walked))
    assert found.dialogues[0].outcome.takes == {
        "P2": {"Food": 3, "Water": 0, "Firewood": 1}, "P1": {"Food": 0, "Water": 3, "Firewood": 2},
    }  # fmt: skip
    assert found.dialogues[0].outcome.points == {"P1": 23, "P2": 19}
    assert found.causes == {"points are not what priorities and packages make": 1}  # 5 each after a walk-away


def test_what_holds_no_dialogues_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match="holds none of"):
        load_casino(tmp_path)
    with pytest.raises(DataError, match="holds no dialogue of casino"):
        load_casino(write(tmp_path / "train.jsonl.gz", "{}"))
    cut = write(tmp_path / "cut.jsonl.gz", HATS)
    cut.write_bytes(cut.read_bytes()[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        load_deal_or_no_deal(cut)
    with pytest.raises(UsageError, match="holds no order lines"):
        check_dataset("casino", tmp_path)


@pytest.mark.data
def test_the_copies_have_the_rows_they_should():
    root = os.environ.get("MALLES_DATA")
    if not root or not (Path(root) / "casino").is_dir():
        pytest.skip("set MALLES_DATA to a folder with casino/, deal_or_no_deal/, craigslist_bargain/")
    for load, rows in ((load_craigslist_bargain, 1607), (load_deal_or_no_deal, 6318), (load_casino, 900)):
        found = load(Path(root))
        assert (len(found), found.causes) == (rows, {})
