"""`malles negotiate` from outside: folders, stops, replays, roles, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from malles.cli import COMMANDS, load_command
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


def inside(folder):
    """Names of what lies in a folder."""
    return sorted(p.name for p in Path(folder).iterdir())


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
    assert inside("negotiations/cafe-1") == [
        "decision.json", "orders.csv", "report.html", "transcript.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "code"), [(KeyboardInterrupt(), 130), (ModelError("The server does not answer."), 1)]
)
def test_what_was_said_before_a_stop_is_kept_and_can_be_trusted(here, monkeypatch, capsys, problem, code):
    """The third turn does not come: two exchanges stand in the partial transcript, sealed as ever."""
    speaking(monkeypatch, stopped_after(2, problem))
    assert command_line(TALK) == code
    partial = Path("negotiations/cafe-1/transcript.jsonl.partial")
    assert f"The talk so far, 2 exchanges, is in {partial}." in capsys.readouterr().err
    assert inside("negotiations/cafe-1") == [partial.name]
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
    assert "Stopped. Nothing was said, and nothing is kept." in capsys.readouterr().err
    assert inside("negotiations") == []


def test_missing_weights_are_named_with_their_place_before_anything_is_made(here, monkeypatch, capsys):
    monkeypatch.setenv("MALLES_MODELS", "none")
    assert command_line(["negotiate", "cafe.toml"]) == 1
    assert f"The weights of smollm2 are not in {here / 'none'}." in capsys.readouterr().err
    assert not Path("negotiations").exists()


def test_a_replay_prints_the_order_of_the_talk_in_words(here, monkeypatch, capsys):
    speaking(monkeypatch)
    assert command_line([*TALK, "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    again = ["negotiate", "cafe.toml", "--replay", "negotiations/cafe-1/transcript.jsonl"]
    assert command_line([*again, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {k: v for k, v in held.items() if k != "talk"}
    assert command_line([*again[:-1], "negotiations/cafe-1"]) == 0
    out = capsys.readouterr().out
    assert "jam" in out
    assert "agreed: all roles propose the same" in out
    assert "AGREED" not in out
    assert inside("negotiations") == ["cafe-1"]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (ORDER + TEA, "it says nothing of 'tea'"),
        (ORDER.replace("jam", "tea"), "it says nothing of 'tea'"),
        (ORDER + "stock = 7\n", "of 'jam' it knows the stock '0 at hand', the order file '7 at hand'"),
        (ORDER + 'reviews = "sweet"\n', "of 'jam' it knows the reviews nothing, the order file 'sweet'"),
        (
            ORDER + "walk_away = 2.5\n",
            "of 'jam' it knows the walk-away cost inf, the order file 2.5",
        ),
    ],
)
def test_a_replay_of_another_order_is_refused_with_what_differs_first(here, monkeypatch, capsys, order, said):
    speaking(monkeypatch)
    assert command_line(TALK) == 0
    Path("cafe.toml").write_text(order)
    capsys.readouterr()
    assert command_line(["negotiate", "cafe.toml", "--replay", "negotiations/cafe-1/transcript.jsonl"]) == 2
    found = capsys.readouterr()
    assert f"is not a talk about cafe.toml as it is now: {said}." in found.err
    assert found.out == ""


def test_a_replay_of_fewer_products_is_refused(here, monkeypatch, capsys):
    Path("cafe.toml").write_text(ORDER + TEA)
    speaking(monkeypatch)
    assert command_line(TALK) == 0
    Path("cafe.toml").write_text(ORDER)
    assert command_line(["negotiate", "cafe.toml", "--replay", "negotiations/cafe-1/transcript.jsonl"]) == 2
    assert "it speaks of 'tea', which the order file lacks" in capsys.readouterr().err


ROLE = '[[role]]\nname = "{}"\nwants = "Buy well."\nsees = ["{}"]\ndecides = true\n'


@pytest.mark.parametrize("how", ["--dry-run", "--no-talk"])
@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (None, "There is no roles file shop/roles.toml (named in shop/order.toml [talk] roles)"),
        ("a = 1\n", "shop/roles.toml holds 'a'; it should hold nothing but [[role]] tables"),
        ("", "there are no roles"),
        (ROLE.format("buyer", "stars"), "role 'buyer' sees no fact of case 'jam': it looks for stars"),
        (ROLE.format("b?", "stock"), "role 1: the name 'b?' cannot be used; a name begins with a letter"),
        (
            ROLE.format("buyer", "stock") + "want = 1\n",
            "role 1: unknown setting 'want'. Did you mean 'wants'",
        ),
        ('[[role]]\nname = "b"\n', "role 1: it lacks 'wants'"),
    ],
)
def test_roles_are_checked_even_if_nobody_talks(here, capsys, how, roles, said):
    Path("shop").mkdir()
    Path("shop/order.toml").write_text('[talk]\nroles = "roles.toml"\n' + ORDER)
    if roles is not None:
        Path("shop/roles.toml").write_text(roles)
    assert command_line(["negotiate", "shop/order.toml", how]) == 2
    assert said in capsys.readouterr().err
    assert not Path("negotiations").exists()


@pytest.mark.parametrize("absolute", [False, True])
def test_roles_are_read_from_beside_the_order_file(here, monkeypatch, capsys, absolute):
    Path("shop").mkdir()
    Path("shop/roles.toml").write_text(ROLE.format("Buyer of Jam", "stock"))
    named = here / "shop" / "roles.toml" if absolute else "roles.toml"
    place = here / "order.toml" if absolute else Path("shop/order.toml")
    place.write_text(f'[talk]\nroles = "{named}"\n' + ORDER)
    speaking(monkeypatch)
    assert command_line(["negotiate", str(place), "--model", "api:script", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["talk"]["roles"] == ["Buyer of Jam"]


def test_names_of_roles_that_differ_in_capitals_alone_are_one_name(here, capsys):
    Path("roles.toml").write_text(ROLE.format("buyer", "stock") + ROLE.format("Buyer", "stock"))
    Path("cafe.toml").write_text('[talk]\nroles = "roles.toml"\n' + ORDER)
    assert command_line(["negotiate", "cafe.toml", "--dry-run"]) == 2
    assert "the role 'buyer' stands there twice" in capsys.readouterr().err


def test_a_dry_run_has_the_keys_of_a_real_one(here, capsys):
    assert command_line(["negotiate", "cafe.toml", "--no-talk", "--json"]) == 0
    real = json.loads(capsys.readouterr().out)
    assert command_line(["negotiate", "cafe.toml", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == real
    assert (real["order"], real["currency"]) == ("cafe", "EUR")
    assert real["planned"]["spent"] == real["spent"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("o.toml", '[order]\nname = "x"\n', "o.toml has no [[product]]; an order needs at least one"),
        ("o.toml", "product = []\n", "o.toml has no [[product]]; an order needs at least one"),
        ("o.toml", JAM.replace("price = 3.0\n", ""), "o.toml: product 1 ('jam') lacks 'price'; add it"),
        ("o.csv", "product,units\njam,3\n", "o.csv is a table, not an order file (TOML)."),
        ("o.csv", "product,units\njam,3\n", "malles draft o.csv --buyer KEY -o order.toml"),
        ("o.toml", "a = = b\n", "o.toml cannot be read as TOML"),
    ],
)
def test_what_is_no_order_is_told_what_to_do(here, capsys, name, text, said):
    Path(name).write_text(text)
    assert command_line(["negotiate", name, "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("cafe.toml", "cafe.toml is a file, not a folder; name another with --out."),
        ("cafe.toml/deeper", "cafe.toml is a file, not a folder; name another with --out."),
        ("/proc/nothing", "no folder can be made there (No such file or directory); name another"),
    ],
)
def test_an_impossible_out_is_one_sentence(here, capsys, out, said):
    assert command_line(["negotiate", "cafe.toml", "--no-talk", "--out", out]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"malles: --out {out}: ")
    assert said in err


def bracketed(command) -> list[str]:
    """Every [word] in the help of a command, of its arguments and of the commands in it, as it is written."""
    texts = [command.help or "", *(getattr(p, "help", None) or "" for p in command.params)]
    found = [word for text in texts for word in re.findall(r"\[[a-z_.-]+\]", text)]
    return found + [w for inner in getattr(command, "commands", {}).values() for w in bracketed(inner)]


@pytest.mark.parametrize("name", COMMANDS)
def test_words_in_brackets_are_not_eaten_from_the_help(name, capsys, monkeypatch):
    """The help page reads markup; a bracket that is to be seen has a backslash before it."""
    monkeypatch.setenv("COLUMNS", "200")
    written = load_command(name, COMMANDS[name])
    pages = [[name], *([name, inner] for inner in getattr(written, "commands", {}))]
    for page in pages:
        assert command_line([*page, "--help"]) == 0
    shown = capsys.readouterr().out
    for word in bracketed(written):
        assert word in shown
    if name == "negotiate":
        assert "[rule];" in shown


def test_a_draft_into_a_folder_that_is_not_there_says_so(here, capsys):
    Path("past.csv").write_text("customer,product,quantity,price\n" + "A,jam,6,2.0\n" * 6)
    assert command_line(["draft", "past.csv", "--buyer", "A", "-o", "nodir/z.toml"]) != 0
    err = capsys.readouterr().err
    assert "nodir" in err
    assert "There is no folder" in err
    assert "fault of malles" not in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cafe.toml", "cafe.toml is no transcript, or its first line was changed on disk."),
        ("nothing", "There is no transcript nothing; malles negotiate ORDER.toml writes one."),
        (".", "There is no transcript transcript.jsonl; malles negotiate ORDER.toml writes one."),
    ],
)
def test_what_is_no_transcript_is_not_replayed(here, capsys, name, said):
    assert command_line(["negotiate", "cafe.toml", "--replay", name]) == 1
    assert said in capsys.readouterr().err
