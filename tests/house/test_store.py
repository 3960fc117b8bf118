"""The run folder: whole files or none, clear sentences, keys that mean what they say."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles import store
from malles.errors import RunError, StorageError, UsageError
from malles.store import (
    Manifest,
    adopt_artefact,
    artefact_digest,
    check_run_id,
    code_version,
    content_key,
    create_run_folder,
    find_run,
    load_manifest,
    load_runs,
    remember_artefact,
    write_json,
    write_manifest,
    write_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("name", ["demo", "demo-1", "a.b_c", "0", "a" * 64])
def test_a_plain_name_may_name_a_run(name):
    assert check_run_id(name) == name


@given(
    st.text(max_size=70)
    | st.sampled_from(["..", "../x", "a/b", "a\\b", ".hidden", "A", "nul\0", "é", "a" * 65])
)
def test_a_name_never_leaves_the_root(name):
    try:
        check_run_id(name)
    except UsageError:
        return
    assert name[0].isalnum() and name.isascii() and name == name.lower()
    assert "/" not in name and "\\" not in name and len(name) <= 64


def test_run_folders_are_counted(tmp_path):
    assert [create_run_folder(tmp_path, "demo").name for _ in range(3)] == ["demo-1", "demo-2", "demo-3"]


def test_a_manifest_reads_back_as_itself(tmp_path):
    manifest = Manifest(
        id="a", command="demo", config={"run": {"seed": 1}}, versions={"malles": "0"}, seeds={"run": 1}
    )
    write_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_a_run_of_another_layout_is_refused_with_the_reason(tmp_path, version):
    (tmp_path / "run.json").write_text(json.dumps({"schema": version, "id": "a"}))
    with pytest.raises(RunError, match=r"has layout version .* open it with the malles that wrote it"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "stages": 3}'])
def test_a_damaged_manifest_is_one_sentence(tmp_path, text):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "run.json").write_text(text)
    with pytest.raises(RunError):
        load_manifest(folder)
    assert load_runs(tmp_path) == []


def test_an_unknown_run_is_answered_with_close_names(tmp_path):
    (tmp_path / "demo-1").mkdir()
    write_manifest(tmp_path / "demo-1", Manifest("demo-1", "demo", {}))
    with pytest.raises(RunError, match=r"no run 'demo-2' .* Did you mean 'demo-1'\?"):
        find_run(tmp_path, "demo-2")


def test_a_linked_run_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    write_manifest(tmp_path / "elsewhere", Manifest("x", "demo", {}))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError):
        find_run(tmp_path / "runs", "x")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="half"), write_whole(path) as temporary:
        temporary.write_text("half")
        raise ValueError("half")
    assert path.read_text() == "1\n"
    assert names(tmp_path) == ["a.json"]


def test_a_folder_replaces_a_file_and_a_file_a_folder(tmp_path):
    path = tmp_path / "model"
    for make_folder in (False, True, True, False):
        with write_whole(path) as temporary:
            if make_folder:
                temporary.mkdir()
                (temporary / "x").write_text("x")
            else:
                temporary.write_text("y")
        assert path.is_dir() is make_folder
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("where", ["fsync", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(tmp_path, monkeypatch, where, number):
    path = tmp_path / "a.json"
    write_json(path, 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(store.os, where, full)
        with pytest.raises(StorageError, match=r"The disk is full while writing .*a\.json. Free some space"):
            write_json(path, 2)
    assert path.read_text() == "1\n"
    assert names(tmp_path) == ["a.json"]


def test_a_full_disk_is_known_by_its_text_too():
    """Libraries written in other languages report it so."""
    assert "disk is full" in str(
        store.storage_sentence(RuntimeError("No space left on device (os error 28)"), "x")
    )
    assert store.storage_sentence(RuntimeError("something else"), "x") is None


def test_a_read_only_place_is_one_sentence(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(store.os, "fsync", refuse)
    with pytest.raises(StorageError, match="cannot be written"):
        write_json(tmp_path / "a.json", 2)


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.floats(allow_nan=False)), st.randoms())
def test_a_key_does_not_depend_on_the_order_of_settings(values, shuffle):
    names = list(values)
    shuffle.shuffle(names)
    assert content_key(values) == content_key({name: values[name] for name in names})


def test_the_digest_of_a_folder_sees_names_and_bytes(tmp_path):
    (tmp_path / "a").write_text("1")
    first = artefact_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = artefact_digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, artefact_digest(tmp_path)}) == 3


def test_code_versions_differ_between_rooms_and_unknown_rooms_are_refused():
    assert code_version(("choice",)) != code_version(("data",)) != code_version()
    with pytest.raises(RunError, match="no room 'nowhere'"):
        code_version(("nowhere",))


def test_an_artefact_is_adopted_only_if_it_is_intact(tmp_path):
    (tmp_path / "a-1").mkdir()
    source = tmp_path / "a-1" / "x.json"
    write_json(source, 1)
    remember_artefact(tmp_path, "k", "a-1", "x.json", artefact_digest(source))
    assert adopt_artefact(tmp_path, "k", tmp_path / "a-2" / "x.json") == artefact_digest(source)
    assert (tmp_path / "a-2" / "x.json").read_text() == "1\n"
    source.write_text("changed")
    assert adopt_artefact(tmp_path, "k", tmp_path / "a-3" / "x.json") is None
    assert adopt_artefact(tmp_path, "unknown", tmp_path / "a-3" / "x.json") is None


def test_a_note_cannot_point_outside_the_root(tmp_path):
    outside = tmp_path / "secret"
    outside.write_text("s")
    root = tmp_path / "runs"
    remember_artefact(root, "k", "a-1", "../../secret", artefact_digest(outside))
    (root / "a-1").mkdir()
    assert adopt_artefact(root, "k", root / "a-2" / "x") is None
