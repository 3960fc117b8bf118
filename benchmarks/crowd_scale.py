"""What a crowd with state costs: processor time, memory and bytes written; 20 products, 52 weeks.

    python benchmarks/crowd_scale.py --customers 100000 1000000 10000000 --plot cost.svg
    python benchmarks/crowd_scale.py --customers 10000000 --workers 2 --keep FOLDER

Each size runs in a process of its own, so that peak memory is its own. `--keep` writes decisions and states.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from malles.journal import open_run
from malles.population.crowd_market import build_example
from malles.scale.crews import Crew, OneProcess, Processes
from malles.scale.memory import memory_needed
from malles.scale.rollout import RolloutSettings, roll_out
from malles.store import Manifest


def measure(customers: int, weeks: int, workers: int, keep: Path | None) -> dict[str, Any]:
    """One roll-out. Memory: the peak of this process and, for each worker, of the largest of them."""
    laws, plan = build_example(periods=weeks, stock_per_customer=0.05, customers=customers)
    settings = RolloutSettings(customers, weeks, seed=1, workers=workers, decisions=keep is not None)
    warm = RolloutSettings(1000, 2, seed=1)
    roll_out(warm, laws, plan, OneProcess())  # compiled, or read from numba's cache
    crew: Crew = OneProcess() if workers == 1 else Processes()
    began, wall = _processor(), time.monotonic()
    if keep is None:
        totals = roll_out(settings, laws, plan, crew)
    else:
        shutil.rmtree(keep / f"crowd-{customers}", ignore_errors=True)
        asked = Manifest(id=f"crowd-{customers}", command="run", config={})
        with open_run(keep / asked.id, asked, reuse=False) as run:
            totals = roll_out(settings, laws, plan, crew, run)
    seconds, wall = _processor() - began, time.monotonic() - wall
    here, workers_peak = (
        resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    written = sum(p.stat().st_size for p in keep.rglob("*") if p.is_file()) if keep else 0
    return {
        "customers": customers,
        "weeks": weeks,
        "workers": workers,
        "processor_seconds": round(seconds, 2),
        "wall_seconds": round(wall, 2),
        "million_customer_weeks_per_processor_second": round(customers * weeks / seconds / 1e6, 2),
        "peak_memory_gb": round((here + workers * workers_peak * (workers > 1)) / 1e9, 3),
        "memory_said_gb": round(memory_needed(customers, 6, settings.shard_size, workers) / 1e9, 3),
        "gigabytes_written": round(written / 1e9, 3),
        "choices": int(sum(t.counts[:, 1:, 0].sum() for t in totals)),
        "units": int(sum(t.units.sum() for t in totals)),
    }


def exponentials_per_second() -> float:
    """The bound: the kernels' own exponential on numbers that stay in the nearest cache, and nothing else."""
    from numba import njit

    from malles.population.crowd_kernels import _exp

    @njit
    def run(v: Any, out: Any, times: int) -> None:
        for _ in range(times):
            for i in range(len(v)):
                out[i] = _exp(v[i])
            v[0] = out[1]  # each pass needs the one before

    v, out = np.linspace(-3, 3, 4096).astype(np.float32), np.empty(4096, np.float32)
    run(v, out, 10)
    best = 0.0
    for _ in range(5):
        began = time.process_time()
        run(v, out, 20_000)
        best = max(best, 20_000 * 4096 / (time.process_time() - began))
    return best


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def main() -> None:
    """One line for each size, and how far the cost per customer-week is from that of the first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--bound", action="store_true", help="exponentials per second, and end")
    parser.add_argument(
        "--plot", type=Path, help="also draw the cost over the number of customers, .svg or .png"
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.bound:
        print(
            json.dumps({"million_exponentials_per_processor_second": round(exponentials_per_second() / 1e6)})
        )
        return
    if asked.one:
        print(json.dumps(measure(asked.customers[0], asked.weeks, asked.workers, asked.keep)))
        return
    first, drawn = 0.0, []
    for customers in asked.customers:
        command = [
            sys.executable,
            __file__,
            "--one",
            "--customers",
            str(customers),
            "--weeks",
            str(asked.weeks),
        ]
        command += ["--workers", str(asked.workers), *(["--keep", str(asked.keep)] if asked.keep else [])]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        cost = found["processor_seconds"] / customers
        first = first or cost
        drawn.append((customers, found["processor_seconds"]))
        print(json.dumps({**found, "cost_per_customer_against_first": round(cost / first, 3)}), flush=True)
    if asked.plot is not None:
        draw_cost(drawn, asked.plot)


def draw_cost(drawn: list[tuple[int, float]], file: Path) -> None:
    """Processor-seconds over customers, beside a cost in proportion to the first size and 15 % about it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    n, seconds = np.array(drawn, float).T
    line = seconds[0] * n / n[0]
    axes.fill_between(n, 0.85 * line, 1.15 * line, alpha=0.2, label="in proportion, within 15 %")
    axes.loglog(n, seconds, marker="o", label="measured")
    axes.set_xlabel("customers")
    axes.set_ylabel("processor-seconds")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=144)


if __name__ == "__main__":
    main()
