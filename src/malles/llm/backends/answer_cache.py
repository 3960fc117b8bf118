"""Answers of a server, kept in one SQLite file: what was paid for once is not asked again.

    answers    key (SHA-256 of server, model, prompt, sampling settings and draw) → the usable reply, as JSON

Write-ahead log, synchronous FULL: an answer that was returned is on the disk. Prompts and keys are not kept.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from malles.errors import ModelError
from malles.store import storage_errors

SCHEMA = 1
"""Version of the file, kept in SQLite's `user_version`."""


def answer_key(server: str, request: Mapping[str, Any]) -> str:
    """Key of one call: equal server, model, messages, sampling settings and seed give the equal key."""
    text = json.dumps([server, request], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class AnswerCache:
    """Usable replies by key; several threads and processes may share one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._database = sqlite3.connect(path, timeout=30, check_same_thread=False)
                self._database.execute("pragma journal_mode = wal")
                self._database.execute("pragma synchronous = full")
                found = self._database.execute("pragma user_version").fetchone()[0]
                if found == 0:
                    with self._database:
                        self._database.execute(
                            "create table if not exists answers (key text primary key, reply text) "
                            "without rowid"
                        )
                        self._database.execute(f"pragma user_version = {SCHEMA}")
            except sqlite3.DatabaseError as problem:
                self.close()
                if isinstance(problem, sqlite3.OperationalError):
                    raise
                raise ModelError(
                    f"The cache of answers {path} is damaged ({problem}); delete it, answers are asked again."
                ) from problem
        if found not in (0, SCHEMA):
            self.close()
            raise ModelError(
                f"The cache of answers {path} has version {found}, this malles reads {SCHEMA}; "
                "delete it or name another file."
            )

    def get(self, key: str) -> dict[str, Any] | None:
        """The reply that was kept under this key, or None."""
        with self._lock, storage_errors(self.path):
            row = self._database.execute("select reply from answers where key = ?", (key,)).fetchone()
        if row is None:
            return None
        found = json.loads(row[0])
        return found if isinstance(found, dict) else None

    def put(self, key: str, reply: Mapping[str, Any]) -> None:
        """Keep a usable reply; the first one under a key stays."""
        text = json.dumps(reply, separators=(",", ":"), allow_nan=False)
        with self._lock, storage_errors(self.path), self._database:
            self._database.execute("insert or ignore into answers values (?, ?)", (key, text))

    def __len__(self) -> int:
        with self._lock:
            return int(self._database.execute("select count(*) from answers").fetchone()[0])

    def close(self) -> None:
        """Close the file; later calls fail."""
        if hasattr(self, "_database"):
            self._database.close()
