"""Lessons of recorded discussions: what is taught, what is left out, what agreement means; a distillation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from malles.cli.distil import find_transcripts
from malles.discussion.case import Case, Decision, Fact, Option
from malles.discussion.lessons import Lesson, agrees, read_lessons, split_lessons, write_example
from malles.discussion.roles import ALONE, ROLES
from malles.discussion.rounds import DiscussionSettings, discuss
from malles.discussion.transcript import Transcript
from malles.discussion.turn import read_turn
from malles.errors import ConfigError, DataError
from malles.llm.backends.scripted import ScriptedBackend

FACTS = (Fact("f1", "cost", "2.00"), Fact("f2", "returns", "none"), Fact("f3", "stock", "5 left"))


def case(name: str, suggested: int = 12) -> Case:
    jam = Option("A", "jam", cost=2.0, suggested=suggested, high=60)
    return Case(name, f"How much of {name}?", FACTS, (jam, Option("B", "tea", cost=3.0, high=60)))


def record(path: Path, cases: list[Case], write) -> Path:
    """A transcript of a scripted discussion of one round."""
    roles, settings = list(ROLES.values()), DiscussionSettings(rounds=1)
    kept = Transcript(cases, roles, settings)
    talks = discuss(cases, roles, ScriptedBackend(write=write), settings, listen=kept.listen)
    kept.close(talks)
    kept.write(path)
    return path


def say(units: int, choice: str = "A") -> str:
    return json.dumps({"claim": "it sells", "evidence": [], "choice": choice, "units": units})


def test_a_lesson_is_what_was_decided_within_the_limits(tmp_path):
    """All say 99, of which 60 can be had; in the second case the dealer differs; three calls each."""

    def write(conversation):
        if "much of mug?" in conversation[1].content:
            return say(20 if "dealer" in conversation[0].content else 30, "B")
        return say(99)

    read = read_lessons([record(tmp_path / "t.jsonl", [case("jam"), case("mug")], write)])
    assert (read.without_decision, read.repeated) == (0, 0)
    jam, mug = read.lessons
    assert (jam.decision.choice, jam.decision.units, jam.agreed, jam.calls) == ("A", 60, True, 3)
    assert (mug.decision.choice, mug.decision.units, mug.agreed) == ("B", 20, False)
    assert jam.tokens > 3 * len(say(99).split())
    assert write_example(jam).reply == '{"claim":"agreed","evidence":[],"choice":"A","units":60}'
    said = read_turn(write_example(mug).reply, mug.case, ALONE)
    assert (said.claim, said.choice, said.units) == ("not agreed", "B", 20)
    text = write_example(jam).conversation[1].content
    assert all(f"{f.id} {f.topic}" in text for f in FACTS)


def test_nothing_is_taught_twice_nor_without_a_decision(tmp_path):
    """The same case in two files counts once; a dealer who refuses teaches nothing."""
    one = record(tmp_path / "one.jsonl", [case("jam"), case("mug")], lambda c: say(6))
    two = record(tmp_path / "two.jsonl", [case("jam"), case("tea")], lambda c: say(7))
    lost = record(
        tmp_path / "lost.jsonl", [case("cup")],
        lambda c: "I refuse." if "dealer" in c[0].content else say(6),
    )  # fmt: skip
    read = read_lessons([one, two, lost])
    assert [lesson.case.id for lesson in read.lessons] == ["jam", "mug", "tea"]
    assert (read.repeated, read.without_decision) == (1, 1)
    assert read.lessons[0].decision.units == 6
    known = read_lessons([two], known=read.lessons[:1])
    assert ([lesson.case.id for lesson in known.lessons], known.repeated) == (["tea"], 1)


def test_groups_are_never_cut(tmp_path):
    """Twelve cases of four shops: a share of one half holds two shops out, whole."""
    cases = [case(f"shop{k % 4}/day{k}") for k in range(12)]
    lessons = read_lessons([record(tmp_path / "t.jsonl", cases, lambda c: say(6))]).lessons
    taught, held = split_lessons(lessons, 0.5, 1)
    assert len(taught) == len(held) == 6
    assert not {x.group for x in taught} & {x.group for x in held}
    assert split_lessons(lessons, 0.5, 1) == (taught, held)
    with pytest.raises(DataError, match="12 discussions of 4 groups cannot be split"):
        split_lessons(lessons, 0.05, 1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Decision("A", 100), Decision("A", 95), True), (Decision("A", 100), Decision("A", 94), False),
        (Decision("A", 100), Decision("B", 100), False), (Decision(None, 0), Decision(None, 0), True),
        (Decision("A", 1), Decision(None, 0), False),
    ],
)  # fmt: skip
def test_agreement_is_the_option_and_units_within_five_percent(one, other, same):
    assert agrees(one, other) is agrees(other, one) is same


def test_transcripts_are_found_in_folders(tmp_path):
    folder = tmp_path / "order-1"
    folder.mkdir()
    file = record(folder / "transcript.jsonl", [case("jam")], lambda c: say(6))
    assert find_transcripts([tmp_path, file]) == [file]
    with pytest.raises(ConfigError, match="does not exist"):
        find_transcripts([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no transcript\.jsonl"):
        find_transcripts([tmp_path / "empty"])


def lessons(count: int, groups: int) -> list[Lesson]:
    return [
        Lesson(case(f"shop{k % groups}/{k}"), Decision("A", 12), True, 9, 3000, f"shop{k % groups}")
        for k in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "groups", "said"),
    [
        (19, 5, "0.53, too few to tell"), (20, 1, "0.50, one group: no interval"), (20, 5, "0.50 ["),
    ],
)  # fmt: skip
def test_agreement_on_few_cases_is_said_to_be_too_little_to_tell(count, groups, said, capsys):
    """Every second case agrees: ten of 19 are 0.53, ten of 20 are 0.50. The discussion has no times."""
    from malles.cli.distil import _print
    from malles.stages.distil import Asked, cost_rows, discussion_of, share_of, summary

    kept = lessons(count, groups)
    half = Asked([Decision("A", 12 if k % 2 == 0 else 30) for k in range(count)], count, 100, 2.0 * count, 0)
    found = {
        "too_few_to_tell": count < 20, "held_out": count, "discussion": summary(kept, discussion_of(kept), 1),
        **{way: summary(kept, half, 1) for way in ("proposal", "before", "after")}, "taught_on": 4,
        "examples_read": 8, "teaching_seconds": 3.0, "without_a_decision": 0, "repeated": 0,
    }  # fmt: skip
    assert share_of(found["after"], "same_decision", few=found["too_few_to_tell"]).startswith(said)
    discussion, *_, after = cost_rows(found)
    assert discussion == ("the discussion", "itself", "itself", "9.0", "3000", "not recorded", "0")
    assert (after[1].startswith(said), after[5]) == (True, "2.00")
    _print(found)
    assert ("too few to tell how well" in capsys.readouterr().err) is (count < 20)


def test_a_distillation_reports_agreement_and_cost(tmp_path, monkeypatch):
    """At a rate of nought the taught model is the untaught one: the same before and after.

    The proposal is 12; the discussion took 12 of every second case and 30 of the others: agreement one half.
    """
    pytest.importorskip("llguidance")
    from llm.small_models import write_tiny_model
    from malles.llm.training.replies import ReplySettings
    from malles.stages.distil import distil

    model = write_tiny_model(tmp_path / "tiny", context=4096)

    def write(conversation):
        number = int(conversation[1].content.split("How much of ")[1].split("?")[0])
        return say(12 if number % 2 else 30)

    files = [
        record(tmp_path / f"{name}.jsonl", [case(str(k)) for k in numbers], write)
        for name, numbers in (("taught", range(4)), ("held", range(4, 10)))
    ]
    settings = ReplySettings(str(model), epochs=1, rate=0.0, tuned_layers=1, dtype="float32")
    found = distil(
        files[:1], tmp_path / "out", settings, held=files[1:], tell=lambda title, done=None, total=None: None
    )
    assert (found["taught_on"], found["held_out"], found["repeated"]) == (4, 6, 0)
    assert found["discussion"]["same_decision"] == 1.0
    assert found["discussion"]["calls"] == 3.0
    assert found["proposal"]["same_decision"] == 0.5
    assert found["proposal"]["same_option"] == 1.0
    for name in ("same_decision", "same_option", "calls", "tokens", "unreadable"):
        assert found["before"][name] == found["after"][name]
    assert json.loads((tmp_path / "out" / "distillation.json").read_text())["after"] == found["after"]
    assert found["too_few_to_tell"]  # six cases
    assert "same_decision_interval" not in found["after"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "More Information Needed" not in card
    assert str(tmp_path) not in card
    for said in (
        "base_model: tiny", "| taught on | 4 |", "on 6 held-out cases", "too few to tell", "no better",
        "--model FOLDER", "| one call, after |", "| no model: the proposal | 0.50, too few to tell |",
    ):  # fmt: skip
        assert said in card, said
    with pytest.raises(DataError, match="no discussion to hold out"):
        distil(
            files[:1], tmp_path / "again", replace(settings), held=files[:1],
            tell=lambda title, done=None, total=None: None,
        )  # fmt: skip
