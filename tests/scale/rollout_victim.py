"""A small roll-out in a process of its own, for the tests that kill it.

python rollout_victim.py FOLDER [CRASH_POINT TIMES]
"""

import os
import signal
import sys
from pathlib import Path

from malles.journal import open_run
from malles.population.crowd_market import build_example
from malles.scale.crews import OneProcess
from malles.scale.rollout import RolloutSettings, roll_out
from malles.store import Manifest

SETTINGS = RolloutSettings(
    customers=600, periods=7, seed=3, shard_size=250, workers=1, decisions=True, state_every=3
)


def main(folder: Path, point: str = "", times: int = 0) -> None:
    """Roll out; kill this process when the crash point is passed for the given time."""
    laws, plan = build_example(products=4, periods=7, stock_per_customer=0.05, customers=600)
    passed = 0

    def at(reached: str) -> None:
        nonlocal passed
        passed += reached == point
        if reached == point and passed == times:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_run(folder, Manifest(id=folder.name, command="run", config={}), reuse=False) as run:
        run.at = at
        roll_out(SETTINGS, laws, plan, OneProcess(), run)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        sys.argv[2] if len(sys.argv) > 2 else "",
        int(sys.argv[3]) if len(sys.argv) > 3 else 0,
    )
