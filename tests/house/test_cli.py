"""The command line: quick, quiet, and one sentence for every failure."""

from __future__ import annotations

import errno
import importlib.util
import json
import re
import subprocess
import sys

import pytest
import typer

from house.source_tree import CLONE
from malles import __version__, cli
from malles.cli import COMMANDS, Entry, load_command, run
from malles.cli.frame import print_json, print_table, progress
from malles.errors import DataError, UsageError
from malles.journal import open_run
from malles.store import Manifest, write_manifest

INSTALLED = [
    name for name, entry in COMMANDS.items() if importlib.util.find_spec(f"malles.cli.{entry.module}")
]


def test_the_version_is_data_on_stdout(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr() == (f"malles {__version__}\n", "")


def test_help_lists_every_command_and_loads_none():
    program = (
        "import sys; from malles.cli import run; code = run(['--help'])\n"
        "heavy = {'numpy', 'polars', 'torch', 'numba', 'duckdb'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "sys.exit(code or bool(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in INSTALLED:
        assert re.search(rf"\b{name}\b", done.stdout)
        assert COMMANDS[name].help[:30] in " ".join(done.stdout.split())


@pytest.mark.parametrize("name", INSTALLED)
def test_every_command_explains_itself(name, capsys):
    assert run([name, "--help"]) == 0
    assert f"malles {name}" in capsys.readouterr().out
    assert load_command(name, COMMANDS[name]).name == name


def test_a_misspelt_command_is_answered_with_the_right_one(capsys):
    assert run(["rnus"]) == 2
    assert "There is no command 'rnus'. Did you mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["runs", "list", "--jsn"], ["runs", "show"], ["runs", "show", "a", "b"]]
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments, capsys):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("malles: ")
    assert err.count("\n") == 1


def _failing(monkeypatch: pytest.MonkeyPatch, problem: BaseException) -> int:
    def fail() -> None:
        """Fail."""
        raise problem

    monkeypatch.setattr(cli, "load_command", lambda name, entry: _single(fail))
    return run(["runs"])


def _single(function):
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return typer.main.get_command(app)


@pytest.mark.parametrize(
    ("problem", "code", "sentence"),
    [
        (DataError("orders.csv is empty."), 1, "malles: orders.csv is empty."),
        (UsageError("Name a file."), 2, "malles: Name a file."),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "malles: The disk is full while writing the run folder.",
        ),
        (FileNotFoundError(2, "No such file", "orders.csv"), 1, "malles: There is no file orders.csv."),
        (MemoryError(), 1, "malles: The memory of this machine is used up"),
        (KeyboardInterrupt(), 1, "malles: Stopped. Nothing is left in part."),
        (
            ZeroDivisionError("x"),
            1,
            "malles: ZeroDivisionError: x. This is a fault of malles; call it with -v",
        ),
        (BrokenPipeError(), 0, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_is_one_sentence_with_an_exit_code(monkeypatch, capfd, problem, code, sentence):
    assert _failing(monkeypatch, problem) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(sentence)
    assert "Traceback" not in err


def test_ctrl_c_tells_how_to_go_on(monkeypatch, capsys):
    stopped = KeyboardInterrupt()
    stopped.add_note("go on with: malles runs resume demo-1")
    assert _failing(monkeypatch, stopped) == 1
    assert capsys.readouterr().err == "malles: Stopped. go on with: malles runs resume demo-1\n"


def test_a_reader_that_leaves_early_is_no_failure(tmp_path):
    command = f"'{sys.executable}' -m malles.cli --help | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_a_command_that_is_not_installed_is_not_listed(monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "teleport", Entry("teleport", "teleport_command", "Not written."))
    assert run(["--help"]) == 0
    assert "teleport" not in capsys.readouterr().out
    assert run(["teleport"]) == 2


# ---- malles runs ----


@pytest.fixture
def root(tmp_path):
    with open_run(tmp_path / "demo-1", Manifest("demo-1", "demo", {"run": {"seed": 7}})) as opened:
        opened.step("one", "01.json", build=lambda: 1, save=lambda v, p: p.write_text("1"), load=lambda p: 1)
    (tmp_path / "demo-2").mkdir()
    write_manifest(tmp_path / "demo-2", Manifest("demo-2", "demo", {}))
    return tmp_path


def test_runs_are_listed_with_how_they_stand(root, capsys):
    assert run(["runs", "list", "--root", str(root), "--json"]) == 0
    listed = {r["id"]: r["status"] for r in json.loads(capsys.readouterr().out)}
    assert listed == {"demo-1": "success", "demo-2": "interrupted"}
    with open_run(root / "demo-2"):
        assert run(["runs", "list", "--root", str(root)]) == 0
    assert "running" in capsys.readouterr().out


def test_no_runs_is_no_failure(tmp_path, capsys):
    assert run(["runs", "list", "--root", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "malles demo" in err


def test_a_run_is_shown_with_stages_and_settings(root, capsys):
    assert run(["runs", "show", "demo-1", "--root", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "01.json" in shown
    assert "run.seed" in shown
    assert run(["runs", "show", "demo-1", "--root", str(root), "--json"]) == 0
    assert [s["name"] for s in json.loads(capsys.readouterr().out)["stages"]] == ["one"]


def test_resuming_an_unknown_or_a_running_run_is_one_sentence(root, capsys):
    assert run(["runs", "resume", "demo-9", "--root", str(root)]) == 1
    assert "There is no run 'demo-9'" in capsys.readouterr().err
    with open_run(root / "demo-2"):
        assert run(["runs", "resume", "demo-2", "--root", str(root)]) == 1
    assert "is being written by process" in capsys.readouterr().err


# ---- frame ----


def test_json_has_no_not_a_number(capsys):
    print_json({"a": float("nan"), "b": [1.5, float("inf")]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None]}


def test_markup_in_a_product_name_stays_text(capsys):
    print_table(("product", "share"), [("[red]X[/red]", 0.25)])
    assert "[red]X[/red]" in capsys.readouterr().out


def test_progress_is_quiet_without_a_terminal(capsys, monkeypatch):
    with progress() as tell:
        tell("occasions", 1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.delenv("MALLES_QUIET")
    with progress() as tell:
        tell("occasions", 1, 2)
        tell("occasions", 2, 2)
    assert capsys.readouterr() == ("", "malles: occasions\n")


# ---- documents ----


def test_the_page_of_commands_is_in_step_with_the_program():
    script = CLONE / "scripts" / "write_cli_docs.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_commands_named_in_the_readme_exist():
    named = set()
    for page in ("README.md", "CONTRIBUTING.md"):
        named |= set(re.findall(r"^\s*malles ([a-z]+)|`malles ([a-z]+)", (CLONE / page).read_text(), re.M))
    names = {a or b for a, b in named}
    assert names <= set(COMMANDS), f"not commands: {sorted(names - set(COMMANDS))}"
    targets = set(re.findall(r"^([a-z-]+):", (CLONE / "Makefile").read_text(), re.M))
    assert {"setup", "check", "test", "test-all", "demo", "bench", "docs", "clean"} <= targets
    for page in ("README.md", "CONTRIBUTING.md"):
        made = set(re.findall(r"`make ([a-z-]+)", (CLONE / page).read_text()))
        assert made <= targets
