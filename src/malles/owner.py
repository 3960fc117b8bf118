"""Who writes a run: one process at a time; a second one is refused, a dead one is replaced.

The owner stands in the journal itself, so taking a run over is one SQLite transaction on every system.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from malles.errors import RunError
from malles.store import storage_errors

OWNER_TABLE = (
    "create table owner "
    "(one integer primary key check (one = 1), pid integer, host text, born text, since text)"
)


def claim(database: sqlite3.Connection, folder: Path) -> None:
    """Become the owner, in one transaction, unless a living process is."""
    with storage_errors(folder), database:
        database.execute("begin immediate")
        owner = _living_owner(database)
        if owner is not None:
            raise RunError(f"Run {folder.name!r} is being written by {owner}; wait for it or stop it first.")
        database.execute("delete from owner")
        row = (
            1,
            os.getpid(),
            platform.node(),
            _born(os.getpid()),
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        database.execute("insert into owner values (?, ?, ?, ?, ?)", row)


def release(database: sqlite3.Connection) -> None:
    """Stop being the owner; a process that dies before this is replaced by the next one."""
    with database:
        database.execute("delete from owner where pid = ? and host = ?", (os.getpid(), platform.node()))


def find_owner(folder: Path) -> str | None:
    """Who writes this run now, as 'process 123 on host X since TIME', or None if nobody does."""
    path = folder / "journal.sqlite"
    if not path.is_file():
        return None
    try:
        database = sqlite3.connect(path, timeout=5)
        try:
            return _living_owner(database)
        finally:
            database.close()
    except sqlite3.Error:
        return None


def _living_owner(database: sqlite3.Connection) -> str | None:
    row = database.execute("select pid, host, born, since from owner").fetchone()
    if row is None:
        return None
    pid, host, born, since = row
    if host == platform.node() and not _lives(pid, born):
        return None
    return f"process {pid} on {host} since {since}"


def _lives(pid: int, born: str) -> bool:
    """Whether the process still runs and is not another one that was given the same number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _born(pid) == born


def _born(pid: int) -> str:
    """When a process began, in the kernel's own ticks; '' where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
