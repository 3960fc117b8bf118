"""A run killed anywhere resumes: no recorded decision is lost, repeated or changed; one writer at a time."""

from __future__ import annotations

import errno
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from house import journal_victim
from malles import store
from malles.errors import DataError, RunError, StorageError
from malles.journal import CRASH_POINTS, open_run
from malles.owner import find_owner
from malles.store import Manifest, load_manifest

VICTIM = Path(journal_victim.__file__)


def start(folder: Path, *crash: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(VICTIM), str(folder), str(folder.parent / "log"), *crash]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_to_the_end(folder: Path) -> None:
    _, problem = (victim := start(folder)).communicate(timeout=60)
    assert victim.returncode == 0, problem


def artefacts(folder: Path) -> dict[str, bytes]:
    """Bytes of everything a run leaves but the manifest and the journal, which hold times."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in files
        if not p.name.startswith(("journal.sqlite", "run.json"))
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("unbroken") / "a-1"
    run_to_the_end(folder)
    made = artefacts(folder)
    assert len(made) == 8
    return made


def recorded(folder: Path) -> set[str]:
    """What the journal acknowledges."""
    if not (folder / "journal.sqlite").exists():
        return set()
    database = sqlite3.connect(folder / "journal.sqlite")
    try:
        names = database.execute("select shard from shards union all select name from stages").fetchall()
    except sqlite3.OperationalError:  # killed before the tables were made
        names = []
    finally:
        database.close()
    assert len(names) == len(set(names)), "a decision was recorded twice"
    return {name for (name,) in names}


def assert_it_resumes(folder: Path, unbroken: dict[str, bytes]) -> None:
    log = folder.parent / "log"
    kept = recorded(folder)
    before = log.read_text().split() if log.exists() else []
    run_to_the_end(folder)
    again = log.read_text().split()[len(before) :]
    assert not kept & set(again), "what was recorded was computed again"
    assert artefacts(folder) == unbroken
    assert recorded(folder) == {*journal_victim.SHARDS, "numbers", "decisions", "total"}
    assert load_manifest(folder).status == "success"
    assert find_owner(folder) is None


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_run_killed_at_a_named_point_resumes(tmp_path, unbroken, point):
    folder = tmp_path / "runs" / "a-1"
    victim = start(folder, point, "3" if point.startswith("shard") else "1")
    victim.communicate(timeout=60)
    assert victim.returncode == -9
    assert_it_resumes(folder, unbroken)


@pytest.mark.parametrize("seed", range(13))
def test_a_run_killed_at_a_random_time_resumes(tmp_path, unbroken, seed):
    _kill_and_resume(tmp_path, unbroken, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_a_run_killed_at_any_of_100_times_resumes(tmp_path, unbroken, seed):
    _kill_and_resume(tmp_path, unbroken, seed)


def _kill_and_resume(tmp_path: Path, unbroken: dict[str, bytes], seed: int) -> None:
    folder = tmp_path / "runs" / "a-1"
    victim = start(folder)
    assert victim.stdout is not None
    victim.stdout.readline()  # 'open'
    time.sleep(random.Random(seed).uniform(0, 0.25))
    victim.kill()
    victim.communicate(timeout=60)
    assert_it_resumes(folder, unbroken)


def test_a_second_writer_is_refused_with_the_pid_of_the_first(tmp_path):
    folder = tmp_path / "a-1"
    with open_run(folder, Manifest("a-1", "test", {})):
        assert f"process {os.getpid()} on " in str(find_owner(folder))
        victim = start(folder)
        _, problem = victim.communicate(timeout=60)
        assert victim.returncode == 1
        assert f"Run 'a-1' is being written by process {os.getpid()} on" in problem
        with pytest.raises(RunError, match="is being written by process"), open_run(folder):
            pass
        assert load_manifest(folder).status == "started"
    assert find_owner(folder) is None


@pytest.mark.parametrize("version", [99, -1])
def test_a_journal_of_another_version_is_refused_with_the_reason(tmp_path, version):
    folder = tmp_path / "a-1"
    with open_run(folder, Manifest("a-1", "test", {})):
        pass
    database = sqlite3.connect(folder / "journal.sqlite")
    database.execute(f"pragma user_version = {version}")
    database.close()
    age = "newer" if version > 0 else "older"
    with pytest.raises(RunError, match=f"was written by a {age} malles"), open_run(folder):
        pass


def test_a_damaged_journal_is_one_sentence(tmp_path):
    (tmp_path / "journal.sqlite").write_bytes(b"no journal" * 1000)
    with pytest.raises(RunError, match="is not a journal"), open_run(tmp_path, Manifest("a", "test", {})):
        pass


def _step(run, value, *, settings=None, name="one", calls=None):
    def build():
        if calls is not None:
            calls.append(name)
        return value

    return run.step(
        name,
        f"01-{name}.json",
        build=build,
        save=lambda v, p: p.write_text(json.dumps(v)),
        load=lambda p: json.loads(p.read_text()),
        settings=settings,
        code=("store",),
    )


def test_an_unchanged_stage_is_reused_by_another_run_and_a_changed_one_is_not(tmp_path):
    calls: list[str] = []
    for run_id, seed in (("a-1", 1), ("a-2", 1), ("a-3", 2)):
        with open_run(tmp_path / run_id, Manifest(run_id, "test", {})) as run:
            found = _step(run, {"seed": seed}, settings={"seed": seed}, calls=calls)
            assert found.value == {"seed": seed}
            assert found.reused is (run_id == "a-2")
    assert len(calls) == 2
    assert [s["reused"] for s in load_manifest(tmp_path / "a-2").stages] == [True]


def test_without_reuse_other_runs_are_ignored(tmp_path):
    for run_id in ("a-1", "a-2"):
        with open_run(tmp_path / run_id, Manifest(run_id, "test", {}), reuse=False) as run:
            assert _step(run, 1).reused is False


def test_a_removed_or_changed_artefact_is_made_again(tmp_path):
    for damage in (Path.unlink, lambda path: path.write_text("2")):
        with open_run(tmp_path / "a-1", Manifest("a-1", "test", {})) as run:
            assert _step(run, 1).reused is False
        damage(tmp_path / "a-1" / "01-one.json")


def test_a_key_depends_on_the_keys_of_the_inputs(tmp_path):
    keys = set()
    for seed in (1, 2):
        with open_run(tmp_path / f"a-{seed}", Manifest("a", "test", {})) as run:
            first = _step(run, 1, settings=seed)
            keys.add(
                run.step(
                    "two",
                    "02.json",
                    build=lambda: 1,
                    save=lambda v, p: p.write_text("1"),
                    load=lambda p: 1,
                    inputs=[first],
                ).key
            )
    assert len(keys) == 2


def test_a_failed_run_says_why_and_goes_on_where_it_stopped(tmp_path):
    folder = tmp_path / "a-1"
    with pytest.raises(DataError), open_run(folder, Manifest("a-1", "test", {})) as run:
        _step(run, 1)
        raise DataError("orders.csv is empty.")
    assert load_manifest(folder).status == "error"
    assert load_manifest(folder).error == "orders.csv is empty."
    with open_run(folder) as run:
        assert _step(run, 1).reused is True
    assert load_manifest(folder).status == "success"


def test_a_full_disk_stops_a_run_that_then_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / "a-1"
    calls: list[str] = []

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        monkeypatch.context() as patched,
        pytest.raises(StorageError, match="Free some space"),
        open_run(folder, Manifest("a-1", "test", {})) as run,
    ):
        _step(run, 1, name="one", calls=calls)
        patched.setattr(store.os, "fsync", full)
        _step(run, 2, name="two", calls=calls)
    with open_run(folder) as run:
        _step(run, 1, name="one", calls=calls)
        assert _step(run, 2, name="two", calls=calls).value == 2
    assert calls == ["one", "two", "two"]
    assert not list(folder.glob(".*.tmp"))


def test_ctrl_c_tells_how_to_go_on(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stopped, open_run(tmp_path / "a-1", Manifest("a-1", "t", {})):
        raise KeyboardInterrupt
    assert stopped.value.__notes__ == [
        f"What was finished is kept; go on with: malles runs resume a-1 --root {tmp_path}"
    ]


def test_a_value_is_read_only_when_it_is_asked_for(tmp_path):
    with open_run(tmp_path / "a-1", Manifest("a-1", "t", {})) as run:
        _step(run, 1)
    unused = {"build": lambda: pytest.fail("built"), "save": lambda v, p: pytest.fail("saved")}
    with open_run(tmp_path / "a-1") as run:
        found = run.step("one", "01-one.json", **unused, load=lambda p: "read", code=("store",))
        assert found._value is None
        assert found.value == "read"
        found.forget()
        assert found._value is None
