"""The run folder: what a run leaves on disk, written whole or not at all.

    runs/demo-1/
      run.json               what was asked, with what, how it ended (the manifest)
      journal.sqlite         what was finished (`malles.journal`)
      01-transactions.parquet … 09-scores.json   numbered artefacts, files or folders
      report.html
    runs/.artefacts/KEY.json where the artefact with this content key lies, so that another run can reuse it

Every file is written under a temporary name, flushed to the disk, and renamed: a reader sees the old file or
the new one, never half of one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from malles import __version__
from malles.errors import RunError, StorageError, UsageError, did_you_mean

SCHEMA = 1
"""Version of the manifest and of the layout of the run folder."""

RUN_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Names of runs and data sets: safe as a folder name on every system."""

PACKAGES = ("numpy", "polars", "numba", "scipy", "duckdb", "pyarrow", "lightgbm", "torch")
"""Packages whose versions can change a result; recorded in the manifest."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Manifest:
    """`run.json`: what was asked for, with what, and how it ended."""

    id: str
    command: str
    """The command that made the run, for example 'demo'; `malles runs resume` calls it again."""
    config: dict[str, Any]
    """The resolved configuration, every default written out."""
    seeds: dict[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    """Content digest of the data set; empty until it is known."""
    versions: dict[str, str] = field(default_factory=dict)
    status: str = "started"
    """started, success or error; a `started` run without a living writer was interrupted."""
    error: str = ""
    started: str = ""
    """UTC, ISO 8601."""
    finished: str = ""
    seconds: float = 0.0
    stages: tuple[dict[str, Any], ...] = ()
    """name, artefact, key, digest, seconds, reused of every finished stage, in order."""
    schema: int = SCHEMA


def check_run_id(name: str) -> str:
    """The name itself if it may name a run or a data set.

    Raises:
        UsageError: it does not match `[a-z0-9][a-z0-9._-]{0,63}`.

    >>> check_run_id("demo-1")
    'demo-1'
    """
    if not RUN_ID.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot name a run; use 1 to 64 small letters, digits, '.', '_' or '-', "
            "beginning with a letter or a digit."
        )
    return name


def create_run_folder(root: Path, name: str) -> Path:
    """Make the next free folder `NAME-1`, `NAME-2`, ... under the root and return it."""
    check_run_id(f"{name}-1")
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        taken = [p.name.removeprefix(f"{name}-") for p in root.glob(f"{name}-*")]
        number = 1 + max((int(t) for t in taken if t.isdigit()), default=0)
        while True:
            folder = root / check_run_id(f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return folder


def find_run(root: Path, run: str) -> Path:
    """The folder of an existing run.

    Raises:
        RunError: there is no such run; the message names close ones.
    """
    folder = root / check_run_id(run)
    if folder.is_symlink() or not (folder / "run.json").is_file():
        known = [p.parent.name for p in root.glob("*/run.json")]
        hint = did_you_mean(run, known) or "See them with: malles runs list"
        raise RunError(f"There is no run {run!r} in {root}. {hint}")
    return folder


def load_manifest(folder: Path) -> Manifest:
    """Read `run.json`.

    Raises:
        RunError: it is missing, unreadable, or of another schema version.
    """
    path = folder / "run.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise RunError(
            f"{path} cannot be read ({problem}); the folder is not a run or is damaged."
        ) from problem
    found = read.get("schema") if isinstance(read, dict) else None
    if found != SCHEMA:
        raise RunError(
            f"Run {folder.name!r} has layout version {found!r}, this malles {__version__} reads {SCHEMA}; "
            "open it with the malles that wrote it, or run it again."
        )
    try:
        return Manifest(**{**read, "stages": tuple(read["stages"])})
    except (KeyError, TypeError) as problem:
        raise RunError(f"{path} is not a manifest ({problem}); the folder is damaged.") from problem


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `run.json` in one piece; the versions of this environment are filled in if they are missing."""
    if not manifest.versions:
        manifest = replace(manifest, versions=package_versions())
    write_json(folder / "run.json", asdict(manifest))


def load_runs(root: Path) -> list[Manifest]:
    """Every readable run under the root, oldest first; damaged and foreign folders are left out."""
    runs = []
    for path in root.glob("*/run.json"):
        try:
            runs.append(load_manifest(path.parent))
        except RunError:
            continue
    return sorted(runs, key=lambda m: (m.started, m.id))


def package_versions() -> dict[str, str]:
    """Versions of malles, Python and every installed package that can change a result."""
    import platform

    versions = {"malles": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


# ---- writing whole or not at all ----


@contextmanager
def storage_errors(place: Path | str) -> Iterator[None]:
    """Turn a full or read-only disk into a StorageError that says what is safe and what to do."""
    try:
        yield
    except Exception as problem:
        sentence = storage_sentence(problem, place)
        if sentence is None or isinstance(problem, StorageError):
            raise
        raise StorageError(sentence) from problem


def storage_sentence(problem: BaseException, place: Path | str) -> str | None:
    """What a full or read-only disk means for the user, or None if the problem is another one.

    Libraries report a full disk by the number of the error or only by its text; both are understood.
    """
    number = getattr(problem, "errno", None) if isinstance(problem, OSError) else None
    text = str(problem)
    kept = "Finished stages are kept; run the same command again to go on."
    if number in _FULL or re.search(r"No space left|os error 28|disk is full|quota exceeded", text, re.I):
        return f"The disk is full while writing {place}. Free some space. {kept}"
    if number in _READ_ONLY or re.search(
        r"readonly database|Read-only file system|unable to open database", text, re.I
    ):
        return f"{place} cannot be written ({text}). Make it writable or choose another folder. {kept}"
    return None


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, flush what stands there and rename it.

    The block may make a file or a folder. If it fails, nothing is left behind and an older `path`
    stays as it was.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove(temporary)
            yield temporary
            _flush(temporary)
            if temporary.is_dir() or path.is_dir():
                remove(path)  # a folder cannot be renamed over another
            temporary.replace(path)
            _flush_one(path.parent)
    finally:
        remove(temporary)


def write_json(path: Path, value: object) -> None:
    """Write JSON in one piece: sorted keys, so that the same value is the same bytes."""
    with write_whole(path) as temporary:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    if path.is_dir():
        for inner in sorted(path.rglob("*")):
            _flush_one(inner)
    _flush_one(path)


def _flush_one(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---- content keys ----


def content_key(*parts: object) -> str:
    """Key of anything that can be written as JSON: equal parts give the equal key, on every machine.

    >>> content_key("scores", {"seed": 1}) == content_key("scores", {"seed": 1})
    True
    >>> content_key("scores", {"seed": 1}) == content_key("scores", {"seed": 2})
    False
    """
    text = json.dumps(parts, sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: object) -> object:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)


def artefact_digest(path: Path) -> str:
    """Digest of a file's bytes, or of the names and bytes of everything in a folder."""
    if path.is_dir():
        inner = [
            (p.relative_to(path).as_posix(), artefact_digest(p))
            for p in sorted(path.rglob("*"))
            if p.is_file()
        ]
        return content_key(inner)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()[:32]


@cache
def code_version(rooms: tuple[str, ...] = ()) -> str:
    """Digest of malles' own source, whole or of some rooms: a stage computed by other code is not reused.

    Args:
        rooms: folders or files under `malles`, for example ("data", "stages/market"); empty means all.
    """
    base = Path(__file__).parent
    paths: Iterable[Path] = base.rglob("*.py")
    if rooms:
        missing = [r for r in rooms if not (base / r).is_dir() and not (base / f"{r}.py").is_file()]
        if missing:
            raise RunError(f"malles has no room {missing[0]!r} whose code a stage could depend on.")
        inside = tuple(f"{r}/" for r in rooms) + tuple(f"{r}.py" for r in rooms)
        paths = (p for p in paths if p.relative_to(base).as_posix().startswith(inside))
    return content_key(
        __version__, [(p.relative_to(base).as_posix(), artefact_digest(p)) for p in sorted(paths)]
    )


def remember_artefact(root: Path, key: str, run: str, artefact: str, digest: str) -> None:
    """Note where the artefact with this key lies, for other runs under the same root."""
    write_json(root / ".artefacts" / f"{key}.json", {"run": run, "artefact": artefact, "digest": digest})


def adopt_artefact(root: Path, key: str, target: Path) -> str | None:
    """Bring the artefact with this key from another run to `target`: its digest, or None if none is intact.

    Files are hard-linked where the file system can, else copied; the digest is checked first.
    """
    note = root / ".artefacts" / f"{key}.json"
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        source = root / check_run_id(known["run"]) / known["artefact"]
        if not source.resolve().is_relative_to(root.resolve()) or artefact_digest(source) != known["digest"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None
    if source != target:
        with write_whole(target) as temporary:
            if source.is_dir():
                shutil.copytree(source, temporary, copy_function=_link)
            else:
                _link(str(source), str(temporary))
    return str(known["digest"])


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
