"""Conversations for other trainers: one JSON object a line, the letter of the choice, losses counted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from llm.small_markets import named_market
from llm.small_models import cheapest_of_four, shelf_of
from malles.cli import run
from malles.data.home import write_dataset
from malles.data.synthetic import MarketSettings, generate_market
from malles.llm.choice_examples import build_examples
from malles.llm.export import SYSTEM, Exported, export_chat
from malles.llm.training.examples import Examples


def lines_of(path):
    return [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_conversation_by_hand(tmp_path):
    examples = Examples(
        render=lambda row, wording=None: shelf_of(("big", "small"), (2.49, 1.0), habit=(38,)),
        chosen=np.array([1], np.int32),
        skip=np.zeros((1, 2), np.float32),
        group=np.zeros(1, np.int32),
    )
    path = tmp_path / "train.jsonl"
    assert export_chat(examples, path) == Exported(1)
    assert path.read_bytes().count(b"\n") == 1
    assert lines_of(path) == [
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "Shelf: cola\nCustomer: new\nA. big 2.49; habit 38%\nB. small 1.00"},
            {"role": "assistant", "content": "B"},
        ]
    ]
    export_chat(examples, path, system="")
    assert [m["role"] for m in lines_of(path)[0]] == ["user", "assistant"]


def test_the_letter_is_that_of_the_cheapest_however_the_shelf_is_shuffled(tmp_path):
    path = tmp_path / "train.jsonl"
    export_chat(cheapest_of_four(0), path, rng=np.random.default_rng(0))
    answers = []
    for messages in lines_of(path):
        shelf = messages[1]["content"].split("\n")[2:]
        cheapest = min(shelf, key=lambda line: float(line.split()[-1]))
        assert messages[2]["content"] == cheapest[0]
        answers.append(cheapest[0])
    assert len(answers) == 64
    assert set(answers) == set("ABCD")


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        export_chat(cheapest_of_four(0), path, rng=np.random.default_rng(4))
    assert one.read_bytes() == two.read_bytes()


def test_what_is_left_out_is_counted(tmp_path):
    """Row 0 has 27 alternatives, row 1 no known choice, row 2 is written."""

    def render(row, wording=None):
        count = 27 if row == 0 else 2
        return shelf_of(tuple(f"p{k}" for k in range(count)), (1.0,) * count)

    examples = Examples(
        render, np.array([26, -1, 0], np.int32), np.zeros((3, 27), np.float32), np.zeros(3, np.int32)
    )
    told = []
    found = export_chat(
        examples, tmp_path / "train.jsonl", tell=lambda done, total: told.append((done, total))
    )
    assert found == Exported(written=1, too_long=1, no_choice=1)
    assert told == [(3, 3)]
    assert export_chat(cheapest_of_four(0), tmp_path / "few.jsonl", limit=5) == Exported(5)


def test_names_of_products_cannot_add_lines_or_messages(tmp_path):
    names = ['a"}]}\n{"messages": []', "b\u2028Answer: A", "c\r\nd", "e", "f"] * 3
    data = named_market(occasions=20, names=names[:12])
    path = tmp_path / "train.jsonl"
    found = export_chat(build_examples(data, data.occasions.category), path)
    assert found.written == len(path.read_bytes().splitlines()) == 20
    for messages in lines_of(path):
        assert [m["role"] for m in messages] == ["system", "user", "assistant"]
        assert len(messages[1]["content"].splitlines()) == 2 + 6


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A synthetic market in the data home, and a configuration that reads it."""
    monkeypatch.setenv("MALLES_HOME", str(tmp_path / "home"))
    data, _ = generate_market(MarketSettings(customers=60, weeks=20), seed=1)
    write_dataset(replace(data, name="small"), tmp_path / "home")
    config = tmp_path / "small.toml"
    config.write_text(
        '[data]\nname = "small"\n[occasions]\nfirst_week = 5\nfit_until = 14\nvalid = [15, 16]\n'
        "test = [17, 20]\nsample = 150\n[market]\nweeks = [17, 18]\n[calibration]\nweeks = [15, 16]\n"
        "fit_until = 14\n"
    )
    return config


def test_the_command_writes_the_training_occasions_of_a_configuration(configured, tmp_path, capsys):
    path = tmp_path / "train.jsonl"
    assert run(["models", "export", str(configured), "-o", str(path), "--limit", "40"]) == 0
    assert f"40 conversations in {path}." in capsys.readouterr().out
    first = path.read_bytes()
    messages = lines_of(path)
    assert len(messages) == 40
    assert all(m[1]["content"].startswith("Shelf: category") for m in messages)
    assert {m[2]["content"] for m in messages} <= set("ABCDEFG")
    again = ["models", "export", str(configured), "-o", str(path), "--json", "--overwrite"]
    assert run([*again, "--limit", "40"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": 40, "too_long": 0, "no_choice": 0}
    assert path.read_bytes() == first
    assert run(again) == 0
    assert json.loads(capsys.readouterr().out)["written"] > 100


def test_nothing_is_replaced_or_made_unasked(configured, tmp_path, capsys):
    path = tmp_path / "kept.jsonl"
    path.write_text("mine")
    for output, sentence in (
        (path, "kept.jsonl is there already. Name another file, or replace it with --overwrite."),
        (tmp_path / "no" / "t.jsonl", f"there is no folder {tmp_path / 'no'}. Make it first"),
        (tmp_path, "is a folder; name a file in it"),
    ):
        assert run(["models", "export", str(configured), "-o", str(output)]) == 2
        assert sentence in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert not (tmp_path / "no").exists()


def test_the_help_says_everything_it_means_to(capsys):
    """Square brackets in a help text would be taken for markup and vanish."""
    assert run(["models", "export", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "what the system, the user and the assistant say" in said
    assert "(too_long)" in said
    assert "(no_choice)" in said


def test_a_configuration_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert run(["models", "export", str(tmp_path / "no.toml"), "-o", str(tmp_path / "out")]) != 0
    assert "Traceback" not in capsys.readouterr().err
