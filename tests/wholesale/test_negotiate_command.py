"""`malles negotiate` from outside: folders, stops, replays, roles, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from malles.cli import negotiate as command
from malles.cli import run as command_line
from malles.discussion.transcript import read_transcript
from malles.errors import ModelError
from malles.llm.backends.scripted import ScriptedBackend

JAM = '[[product]]\nname = "jam"\nprice = 3.0\ncost = [[0, 2.0]]\nsold = [9, 9, 9, 9]\n'
TEA = JAM.replace("jam", "tea")
ORDER = '[order]\nname = "cafe"\ncurrency = "EUR"\n' + JAM
REPLY = json.dumps({"claim": "it sells", "evidence": [], "choice": "A", "units": 18})


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with an order file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MALLES_QUIET", "1")
    Path("cafe.toml").write_text(ORDER)
    return tmp_path


def speaking(monkeypatch, write=lambda conversation: REPLY):
    """Let a script talk instead of a model."""
    monkeypatch.setattr(command, "_backend", lambda model: ScriptedBackend(write=write))


def stopped_after(turns: int, problem: BaseException):
    """A writer that gives so many replies and then fails."""
    said = []

    def write(conversation):
        if len(said) == turns:
            raise problem
        said.append(conversation)
        return REPLY

    return write


TALK = ["negotiate", "cafe.toml", "--model", "api:script"]


def test_orders_of_one_name_at_once_get_a_folder_each(here):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: command._new_folder(Path("n"), "cafe"), range(40)))
    assert sorted(int(f.name.removeprefix("cafe-")) for f in made) == list(range(1, 41))


def test_a_talk_leaves_its_four_files(here, monkeypatch, capsys):
    speaking(monkeypatch)
    assert command_line(TALK) == 0
    assert "Kept in negotiations/cafe-1" in capsys.readouterr().err
    assert sorted(os.listdir("negotiations/cafe-1")) == [
        "decision.json", "orders.csv", "report.html", "transcript.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "code"), [(KeyboardInterrupt(), 130), (ModelError("The server does not answer."), 1)]
)
def test_what_was_said_before_a_stop_is_kept_and_can_be_trusted(here, monkeypatch, capsys, problem, code):
    """The third turn does not come: two exchanges stand in the partial transcript, sealed as in a whole one."""
    speaking(monkeypatch, stopped_after(2, problem))
    assert command_line(TALK) == code
    partial = Path("negotiations/cafe-1/transcript.jsonl.partial")
    assert f"The talk so far, 2 exchanges, is in {partial}." in capsys.readouterr().err
    assert os.listdir("negotiations/cafe-1") == [partial.name]
    kinds = [(line["kind"], line.get("role")) for line in read_transcript(partial)]
    assert kinds == [("header", None), ("exchange", "manufacturer"), ("exchange", "service")]
    assert command_line(["negotiate", "cafe.toml", "--replay", str(partial)]) == 1
    assert "a talk that was stopped after 2 exchanges: nothing was decided" in capsys.readouterr().err


def test_a_line_cut_short_does_not_hide_the_lines_before_it(here, monkeypatch):
    from malles.discussion.transcript import count_exchanges

    speaking(monkeypatch, stopped_after(2, KeyboardInterrupt()))
    command_line(TALK)
    partial = Path("negotiations/cafe-1/transcript.jsonl.partial")
    partial.write_bytes(partial.read_bytes()[:-9])
    assert count_exchanges(partial) == 1


def test_a_stop_before_the_first_word_leaves_no_folder(here, monkeypatch, capsys):
    speaking(monkeypatch, stopped_after(0, KeyboardInterrupt()))
    assert command_line(TALK) == 130
    assert "Stopped. Nothing was said, and no folder is left." in capsys.readouterr().err
    assert os.listdir("negotiations") == []


def test_missing_weights_are_named_with_their_place_before_anything_is_made(here, monkeypatch, capsys):
    monkeypatch.setenv("MALLES_MODELS", "none")
    assert command_line(["negotiate", "cafe.toml"]) == 1
    assert f"The weights of smollm2 are not in {here / 'none'}." in capsys.readouterr().err
    assert not Path("negotiations").exists()
