"""A small run in a process of its own, for the tests that kill it.

    python journal_victim.py FOLDER LOG [CRASH_POINT TIMES]

Every part that is computed appends its name to LOG; at the given passage of the crash point the process
kills itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from malles.journal import Run, open_run
from malles.store import Manifest, write_json

SHARDS = [f"week={week}.json" for week in range(41, 47)]


def walk(run: Run, log: Path) -> None:
    """Three stages: numbers, decisions in six parts, and their total."""

    def compute(name: str) -> list[int]:
        with log.open("a") as file:
            file.write(name + "\n")
        time.sleep(0.01)
        seed = sum(name.encode())
        return [int(x) for x in np.random.default_rng(seed).integers(0, 1000, 2000)]

    def save(value: object, path: Path) -> None:
        path.write_text(json.dumps(value))

    def load(path: Path) -> list[int]:
        found: list[int] = json.loads(path.read_text())
        return found

    def load_all(path: Path) -> list[int]:
        return [sum(load(path / shard)) for shard in SHARDS]

    numbers = run.step(
        "numbers", "01-numbers.json", build=lambda: compute("numbers"), save=save, load=load, code=("store",)
    )
    decisions = run.shards(
        "decisions",
        "02-decisions",
        SHARDS,
        build=compute,
        save=save,
        load=load_all,
        inputs=[numbers],
        code=("store",),
    )
    run.step(
        "total",
        "03-total.json",
        build=lambda: [sum(numbers.value), *decisions.value],
        save=save,
        load=load,
        inputs=[numbers, decisions],
        code=("store",),
    )


def main() -> None:
    folder, log = Path(sys.argv[1]), Path(sys.argv[2])
    with open_run(folder, Manifest(folder.name, "victim", {})) as run:
        if len(sys.argv) > 3:
            point, left = sys.argv[3], int(sys.argv[4])

            def at(reached: str) -> None:
                nonlocal left
                left -= reached == point
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            run.at = at
        print("open", flush=True)
        walk(run, log)
    write_json(log.with_suffix(".done"), 1)


if __name__ == "__main__":
    main()
