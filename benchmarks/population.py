"""One job for every engine of agents: `consumer_choice_v1`, agent-steps per processor second.

    python benchmarks/population.py [--customers 1000000] [--steps 5] [--engines ours,numpy,torch]
    make bench-peers            # the same, beside mesa-frames and agent-torch in environments of their own

The job. Every customer has tastes W (4), a price sensitivity, wealth and income; each of 20 products has
features X (4), a price and a mean-field term mu. One step:

    U[i, k] = W[i] · X[k] − alpha[i] · price[k] + mu[k] + Gumbel; Gumbel alone for buying nothing
    choice  = the largest U
    units   = floor(wealth / (10 · price)) within 1 and 5; none where they cannot be paid
    wealth  = wealth + income − units · price
    mu      = 0.9 mu + 0.05 log(20 · share + 0.001)
    price   = price · (1 + 0.01 · (20 · share − 1)), within 0.5 and 20

All engines begin in the same state, float32, one thread. They draw from different streams, so `demand_sum`
(units of the last step) agrees up to luck: at 10^6 customers after 1 + 5 steps 2.576 million (numpy) and
2.577 million (torch). Ours draws by inverse distribution function: the same law as the largest U. Each engine
runs in a process of its own, so that memory is its own; processor time is compared, because the machine may
be busy with other things. Growth per step is by resident memory, from the first timed step to the last.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PRODUCTS, FEATURES = 20, 4
F = np.float32


def start(customers: int) -> dict[str, Any]:
    """The state before the first step: drawn once, in this order, from seed 0."""
    rng = np.random.default_rng(0)
    return {
        "W": rng.standard_normal((customers, FEATURES), dtype=F) * F(0.5),
        "alpha": rng.uniform(0.1, 0.6, customers).astype(F),
        "wealth": rng.uniform(50, 300, customers).astype(F),
        "income": rng.uniform(2, 12, customers).astype(F),
        "X": rng.standard_normal((PRODUCTS, FEATURES), dtype=F),
        "price": rng.uniform(2, 10, PRODUCTS).astype(F),
        "mu": np.zeros(PRODUCTS, F),
    }


def move_market(s: dict[str, Any], demand: np.ndarray) -> None:
    """Mean-field term and prices after a step."""
    share = (demand / max(demand.sum(), 1)).astype(F)
    s["mu"] = (0.9 * s["mu"] + 0.05 * np.log(share * PRODUCTS + 1e-3)).astype(F)
    s["price"] = np.clip(s["price"] * (1 + 0.01 * (share * PRODUCTS - 1)), 0.5, 20).astype(F)


def ours(customers: int) -> Callable[[int], float]:
    """The crowd's choice kernel, then the job's own rules for units and wealth."""
    from numba import njit

    from malles.population.crowd import draw_alternatives

    @njit(cache=False)
    def buy(pick: Any, price: Any, wealth: Any, income: Any, demand: Any) -> None:
        for i in range(len(pick)):
            k, w = pick[i], wealth[i]
            spent = np.float32(0)
            if k > 0:
                p = price[k - 1]
                units = min(max(np.floor(w / (np.float32(10) * p)), np.float32(1)), np.float32(5))
                if units * p <= w:
                    demand[k - 1] += np.int64(units)
                    spent = units * p
            wealth[i] = (w + income[i]) - spent

    s = start(customers)
    taste = np.ascontiguousarray(np.vstack([s.pop("W").T, s.pop("alpha")[None]]))

    def step(period: int) -> float:
        x = np.zeros((PRODUCTS + 1, FEATURES + 1), F)  # row 0: buying nothing, utility 0
        x[1:, :FEATURES], x[1:, FEATURES] = s["X"], -s["price"]
        pick = draw_alternatives(taste, x, np.concatenate([[0], s["mu"]]).astype(F), seed=1, period=period)
        demand = np.zeros(PRODUCTS, np.int64)
        buy(pick, s["price"], s["wealth"], s["income"], demand)
        move_market(s, demand)
        return float(demand.sum())

    return step


def plain_numpy(customers: int) -> Callable[[int], float]:
    """The same in numpy, largest utility plus Gumbel noise."""
    s, rng = start(customers), np.random.default_rng(1)

    def step(period: int) -> float:
        U = np.zeros((customers, PRODUCTS + 1), F)
        U[:, 1:] = s["W"] @ s["X"].T - s["alpha"][:, None] * s["price"] + s["mu"]
        noise = rng.standard_exponential(U.shape, dtype=F)
        noise += F(1e-20)
        U -= np.log(noise, out=noise)
        pick = U.argmax(1)
        p = s["price"][np.maximum(pick - 1, 0)]
        units = np.clip(np.floor(s["wealth"] / (10 * p)), 1, 5) * (pick > 0)
        units *= units * p <= s["wealth"]
        s["wealth"] += s["income"] - units * p
        demand = np.bincount(np.maximum(pick - 1, 0), weights=units, minlength=PRODUCTS)
        move_market(s, demand)
        return float(demand.sum())

    return step


def plain_torch(customers: int) -> Callable[[int], float]:
    """The same in PyTorch, one thread."""
    import torch

    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(1)
    s = {k: torch.from_numpy(v) for k, v in start(customers).items()}

    @torch.no_grad()
    def step(period: int) -> float:
        U = torch.zeros(customers, PRODUCTS + 1)
        U[:, 1:] = s["W"] @ s["X"].T - s["alpha"][:, None] * s["price"] + s["mu"]
        U -= torch.empty_like(U).exponential_(generator=rng).log_()
        pick = U.argmax(1)
        p = s["price"][(pick - 1).clamp(min=0)]
        units = (s["wealth"] / (10 * p)).floor().clamp(1, 5) * (pick > 0)
        units = units * (units * p <= s["wealth"])
        s["wealth"] = s["wealth"] + s["income"] - units * p
        demand = torch.bincount((pick - 1).clamp(min=0), weights=units, minlength=PRODUCTS)
        share = demand / demand.sum().clamp(min=1)
        s["mu"] = 0.9 * s["mu"] + 0.05 * (share * PRODUCTS + 1e-3).log()
        s["price"] = (s["price"] * (1 + 0.01 * (share * PRODUCTS - 1))).clamp(0.5, 20)
        return float(demand.sum())

    return step


ENGINES = {"ours": ours, "numpy": plain_numpy, "torch": plain_torch}


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(name: str, step: Callable[[int], float], customers: int, steps: int) -> dict[str, Any]:
    """One warm step, then the timed ones."""
    step(0)
    times, held, demand = [], [], 0.0
    for period in range(1, steps + 1):
        began = time.process_time()
        demand = step(period)
        times.append(time.process_time() - began)
        held.append(resident())
    return {
        "engine": name,
        "customers": customers,
        "steps": steps,
        "million_agent_steps_per_processor_second": round(customers / float(np.median(times)) / 1e6, 2),
        "best": round(customers / min(times) / 1e6, 2),
        "growth_per_step_bytes": max(0, held[-1] - held[0]) // max(1, steps - 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "demand_sum": demand,
    }


def measure_asked(name: str, build: Callable[[int], Callable[[int], float]]) -> None:
    """Measure one engine as the command line asks, and print one line: how `benchmarks/peers/` report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    print(json.dumps(measure(name, build(asked.customers), asked.customers, asked.steps)))


def main() -> None:
    """Every engine in a process of its own, in turns; then the medians and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engines", default="ours,numpy,torch")
    parser.add_argument("--peers", type=Path, help="folder with the environments of scripts/setup_peers.sh")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        result = measure(asked.one, ENGINES[asked.one](asked.customers), asked.customers, asked.steps)
        print(json.dumps(result))
        return
    here = Path(__file__).resolve()
    size = ["--customers", str(asked.customers), "--steps", str(asked.steps)]
    commands = {name: [sys.executable, str(here), "--one", name, *size] for name in asked.engines.split(",")}
    for peer in ("mesa-frames", "agent-torch") if asked.peers else ():
        python = asked.peers / peer / "bin" / "python"
        script = here.parent / "peers" / f"{peer.replace('-', '_')}_job.py"
        if python.exists():
            commands[peer] = [str(python), "-W", "ignore", str(script), *size]
        else:
            print(
                f"{peer}: not installed here ({python} is missing), so it is not in this table",
                file=sys.stderr,
            )
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    threads = {
        "OMP_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    for _ in range(asked.repeats):
        for name, command in commands.items():
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=os.environ | threads
            )
            if done.returncode:
                print(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                continue
            found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(json.dumps(found[name][-1]), file=sys.stderr, flush=True)
    key = "million_agent_steps_per_processor_second"
    rates = {name: float(np.median([r[key] for r in runs])) for name, runs in found.items() if runs}
    others = {name: rate for name, rate in rates.items() if name != "ours"}
    table = {
        name: {
            "million_agent_steps_per_processor_second": rate,
            "growth_per_step_bytes": max(r["growth_per_step_bytes"] for r in found[name]),
            "peak_memory_mb": max(r["peak_memory_mb"] for r in found[name]),
            "demand_sum": found[name][-1]["demand_sum"],
        }
        for name, rate in rates.items()
    }
    best = max(others, key=lambda n: others[n]) if others else None
    ratio = round(rates["ours"] / others[best], 2) if best and "ours" in rates else None
    out = {"customers": asked.customers, "engines": table, "best_other": best, "ours_over_best": ratio}
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
