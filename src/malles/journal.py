"""What a run has finished, so that a killed run resumes without repeating, losing or changing a decision.

Under every run lies one SQLite file (write-ahead log, synchronous FULL). An artefact is first written whole
beside its place, renamed, and only then acknowledged by one row; so after a kill at any moment a row means
"this is on the disk, with this digest", and whatever has no row is computed again.

    owner      the process that writes (`malles.owner`)
    stages     name → content key, artefact, digest, seconds
    shards     (stage, shard) → content key, digest: the commit of one part of a stage

    with open_run(folder, manifest) as run:
        rows = run.step("transactions", "01-transactions.parquet", build=..., save=..., load=...)
        fitted = run.step("models", "04-models", build=lambda: fit(rows.value), ..., inputs=[rows])
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from malles.errors import MallesError, RunError
from malles.owner import OWNER_TABLE, claim, release
from malles.store import (
    Manifest,
    adopt_artefact,
    artefact_digest,
    code_version,
    content_key,
    load_manifest,
    remember_artefact,
    remove,
    storage_errors,
    write_manifest,
    write_whole,
)

SCHEMA = 1
"""Version of the journal, kept in SQLite's `user_version`."""

CRASH_POINTS = (
    "stage started",
    "artefact written",
    "artefact renamed",
    "stage recorded",
    "shard written",
    "shard renamed",
    "shard recorded",
)
"""Moments at which the tests kill the process, in the order in which they are reached."""

T = TypeVar("T")

_TABLES = (
    OWNER_TABLE,
    "create table stages "
    "(name text primary key, artefact text, key text, digest text, seconds real, reused integer)",
    "create table shards "
    "(stage text, shard text, key text, digest text, seconds real, primary key (stage, shard))",
)


@dataclass
class Step(Generic[T]):
    """A finished stage. Its value is read from the disk only when somebody asks for it."""

    name: str
    key: str
    """Content key: the same stage, code, settings and inputs give the same key."""
    path: Path
    seconds: float
    """What computing it took, in the run that computed it."""
    reused: bool
    """True if it was there already, in this run or in another one."""
    _load: Callable[[Path], T]
    _value: T | None = None

    @property
    def value(self) -> T:
        """What the stage made; read by `load` once, then kept until `forget`."""
        if self._value is None:
            self._value = self._load(self.path)
        return self._value

    def forget(self) -> None:
        """Free the value's memory; the next use of `value` reads it again."""
        self._value = None


class Run:
    """An open run: the only writer of its folder. Made by `open_run`."""

    def __init__(
        self, folder: Path, manifest: Manifest, database: sqlite3.Connection, *, reuse: bool
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.reuse = reuse
        self.on_stage: Callable[[str, str], None] = lambda name, event: None
        """Told (stage, 'started' | 'finished' | 'reused' | 'shard i of n'), for progress bars."""
        self.at: Callable[[str], None] = lambda point: None
        """Told every crash point as it is reached."""
        self._database = database

    def step(
        self,
        name: str,
        artefact: str,
        *,
        build: Callable[[], T],
        save: Callable[[T, Path], object],
        load: Callable[[Path], T],
        settings: object = None,
        inputs: Sequence[Step[Any]] = (),
        code: Sequence[str] = (),
    ) -> Step[T]:
        """One stage: read from the disk if nothing it depends on has changed, else computed and kept.

        Args:
            name: the stage, unique in the run.
            artefact: file or folder in the run folder, for example '02-occasions.parquet'.
            build: computes the value; called only if the artefact cannot be reused.
            save: writes the value to the given (temporary) path, as a file or as a new folder.
            load: reads what `save` wrote, without loss: a resumed run must give the same bytes.
            settings: everything else the value depends on (a config section, seeds); JSON or pydantic.
            inputs: the stages whose values `build` uses.
            code: rooms of malles whose code the value depends on; empty means all of malles.

        Raises:
            StorageError: the disk is full or read-only; what was recorded before is intact.
        """
        key = self._key(name, settings, inputs, code)
        path = self.folder / artefact
        found = self._find(name, artefact, key)
        if found is not None:
            self.on_stage(name, "reused")
            return Step(name, key, path, found, True, load)
        self.on_stage(name, "started")
        self.at("stage started")
        began = time.monotonic()
        value = build()
        with write_whole(path) as temporary:
            save(value, temporary)
            self.at("artefact written")
        self.at("artefact renamed")
        seconds = time.monotonic() - began
        self._record(name, artefact, key, artefact_digest(path), seconds, reused=False)
        self.at("stage recorded")
        self.on_stage(name, "finished")
        return Step(name, key, path, seconds, False, load, value)

    def shards(
        self,
        name: str,
        artefact: str,
        shards: Sequence[str],
        *,
        build: Callable[[str], T],
        save: Callable[[T, Path], object],
        load: Callable[[Path], Any],
        settings: object = None,
        inputs: Sequence[Step[Any]] = (),
        code: Sequence[str] = (),
    ) -> Step[Any]:
        """A stage made in parts, each recorded exactly once: a killed run goes on at the first missing part.

        Args:
            name: as in `step`.
            artefact: a folder; part `s` becomes the file or folder `artefact/s`.
            shards: names of the parts, in order, for example ['week=41.parquet', 'week=42.parquet'].
                A part may read the parts before it from the folder.
            build: computes one part from its name.
            save: writes one part.
            load: reads the whole folder.
            settings: as in `step`.
            inputs: as in `step`.
            code: as in `step`.
        """
        key = self._key(name, [settings, list(shards)], inputs, code)
        path = self.folder / artefact
        found = self._find(name, artefact, key)
        if found is not None:
            self.on_stage(name, "reused")
            return Step(name, key, path, found, True, load)
        self.on_stage(name, "started")
        self.at("stage started")
        self._begin_shards(name, key, path)
        for number, shard in enumerate(shards):
            self.on_stage(name, f"shard {number + 1} of {len(shards)}")
            if self._shard_is_recorded(name, shard, key, path / shard):
                continue
            began = time.monotonic()
            with write_whole(path / shard) as temporary:
                save(build(shard), temporary)
                self.at("shard written")
            self.at("shard renamed")
            row = (name, shard, key, artefact_digest(path / shard), time.monotonic() - began)
            with storage_errors(self.folder), self._database:
                self._database.execute("insert into shards values (?, ?, ?, ?, ?)", row)
            self.at("shard recorded")
        query = "select coalesce(sum(seconds), 0) from shards where stage = ? and key = ?"
        seconds = float(self._database.execute(query, (name, key)).fetchone()[0])
        self._record(name, artefact, key, artefact_digest(path), seconds, reused=False)
        self.at("stage recorded")
        self.on_stage(name, "finished")
        return Step(name, key, path, seconds, False, load)

    def note(self, **changes: Any) -> None:
        """Change fields of the manifest, for example `fingerprint` or `seeds`, and write it."""
        self.manifest = replace(self.manifest, stages=self.stages(), **changes)
        write_manifest(self.folder, self.manifest)

    def stages(self) -> tuple[dict[str, Any], ...]:
        """The finished stages, in the order in which they were finished."""
        return _stages(self._database)

    def _key(self, name: str, settings: object, inputs: Sequence[Step[Any]], code: Sequence[str]) -> str:
        return content_key(name, code_version(tuple(code)), settings, [step.key for step in inputs])

    def _find(self, name: str, artefact: str, key: str) -> float | None:
        """Seconds of an intact stage with this key, from this run or adopted from another; else None."""
        path = self.folder / artefact
        query = "select digest, seconds, reused from stages where name = ? and artefact = ? and key = ?"
        row = self._database.execute(query, (name, artefact, key)).fetchone()
        if row is not None and path.exists() and artefact_digest(path) == row[0]:
            return float(row[1])
        if not self.reuse:
            return None
        adopted = adopt_artefact(self.folder.parent, key, path)
        if adopted is None:
            return None
        self._record(name, artefact, key, adopted, 0.0, reused=True)
        return 0.0

    def _record(
        self, name: str, artefact: str, key: str, digest: str, seconds: float, *, reused: bool
    ) -> None:
        row = (name, artefact, key, digest, seconds, int(reused))
        with storage_errors(self.folder), self._database:
            self._database.execute("delete from stages where name = ?", (name,))
            self._database.execute("insert into stages values (?, ?, ?, ?, ?, ?)", row)
        if not reused:
            remember_artefact(self.folder.parent, key, self.folder.name, artefact, digest)

    def _begin_shards(self, name: str, key: str, path: Path) -> None:
        """Forget parts that were made from other inputs."""
        with storage_errors(self.folder), self._database:
            self._database.execute("delete from shards where stage = ? and key <> ?", (name, key))
        known = {r[0] for r in self._database.execute("select shard from shards where stage = ?", (name,))}
        for part in path.iterdir() if path.is_dir() else ():
            if part.name not in known:
                remove(part)

    def _shard_is_recorded(self, name: str, shard: str, key: str, path: Path) -> bool:
        query = "select digest from shards where stage = ? and shard = ? and key = ?"
        row = self._database.execute(query, (name, shard, key)).fetchone()
        if row is None:
            return False
        if path.exists() and artefact_digest(path) == row[0]:
            return True
        with storage_errors(self.folder), self._database:  # the file was removed or changed behind our back
            self._database.execute("delete from shards where stage = ? and shard = ?", (name, shard))
        return False


@contextmanager
def open_run(folder: Path, manifest: Manifest | None = None, *, reuse: bool = True) -> Iterator[Run]:
    """Open a run folder as its only writer; at the end write how the run went into `run.json`.

    Args:
        folder: `runs/ID`, made if it is missing.
        manifest: what is run; None reads `run.json`, to resume.
        reuse: whether finished artefacts of other runs may be used.

    Raises:
        RunError: another living process writes this run, or the journal is of another version.
        StorageError: the disk is full or cannot be written.
    """
    began = time.monotonic()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        database = _connect(folder / "journal.sqlite")
    try:
        claim(database, folder)
        try:
            for left in folder.glob(".*.tmp"):
                remove(left)
            opened = replace(manifest or load_manifest(folder), status="started", error="", finished="")
            run = Run(folder, opened, database, reuse=reuse)
            run.note(started=opened.started or _now())
            try:
                yield run
            except BaseException as problem:
                if isinstance(problem, KeyboardInterrupt):
                    problem.add_note(_how_to_resume(folder))
                sentence = (
                    str(problem)
                    if isinstance(problem, MallesError)
                    else f"{type(problem).__name__}: {problem}"
                )
                stopped = isinstance(problem, KeyboardInterrupt)
                _finish(run, "interrupted" if stopped else "error", sentence or "stopped", began)
                raise
            _finish(run, "success", "", began)
        finally:
            release(database)
    finally:
        database.close()


def load_stages(folder: Path) -> tuple[dict[str, Any], ...]:
    """The finished stages of a run, also while another process writes it."""
    path = folder / "journal.sqlite"
    if not path.is_file():
        return ()
    database = _connect(path)
    try:
        return _stages(database)
    finally:
        database.close()


def _stages(database: sqlite3.Connection) -> tuple[dict[str, Any], ...]:
    names = ("name", "artefact", "key", "digest", "seconds", "reused")
    rows = database.execute(f"select {', '.join(names)} from stages order by rowid").fetchall()  # noqa: S608
    return tuple({**dict(zip(names, row, strict=True)), "reused": bool(row[-1])} for row in rows)


def _finish(run: Run, status: str, error: str, began: float) -> None:
    """Write the end into the manifest; a full disk must not hide the error that is already under way."""
    seconds = run.manifest.seconds + time.monotonic() - began
    try:
        run.note(status=status, error=error, finished=_now(), seconds=round(seconds, 3))
    except Exception:
        if status == "success":
            raise


def _how_to_resume(folder: Path) -> str:
    root = "" if folder.parent == Path("runs") else f" --root {folder.parent}"
    return f"What was finished is kept; go on with: malles runs resume {folder.name}{root}"


def _connect(path: Path) -> sqlite3.Connection:
    """Open or create the journal; refuse another version or a file that is no journal."""
    with storage_errors(path):
        try:
            database = sqlite3.connect(path, timeout=30, isolation_level="IMMEDIATE")
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = full")
            with database:
                database.execute("begin immediate")  # two processes may create it at once
                version = int(database.execute("pragma user_version").fetchone()[0])
                if version == 0:
                    for statement in _TABLES:
                        database.execute(statement)
                    database.execute(f"pragma user_version = {SCHEMA}")
        except sqlite3.DatabaseError as problem:
            if isinstance(problem, sqlite3.OperationalError):
                raise
            raise RunError(
                f"{path} is not a journal of malles ({problem}); the file is damaged."
            ) from problem
    if version not in (0, SCHEMA):
        database.close()
        age = "newer" if version > SCHEMA else "older"
        raise RunError(
            f"{path} was written by a {age} malles (journal version {version}, this one reads {SCHEMA}); "
            "open it with the malles that wrote it, or run it again."
        )
    return database


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
