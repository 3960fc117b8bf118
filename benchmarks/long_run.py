"""A free run of 52 weeks: does the market stay a market when it lives on its own purchases?

    python benchmarks/long_run.py [--part 0.1] [--weeks 52] [--keep FOLDER]

Models fitted to week 36, rates calibrated on weeks 37 to 40; from week 41 on trips are simulated and every
customer remembers only what it bought in the simulation. The shelves are those of weeks 41 to 44, then of
weeks 10 to 44 again. Every simulated week is checked (units and spend per customer, active customers,
category shares, prices); one that explodes or dies stops the run with a sentence. The last half of the run is
held against the real weeks that had the same shelves. `--part` of the households is simulated, and the real
ones are the same households. Prints the table of all weeks and the two figures; their intervals draw
households with replacement, the same in the real and in the simulated weeks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from market_room import KEPT, open_room, part_of, weeks_config

from malles.calibration.rate import fit_rate_map
from malles.evaluation.bootstrap import draw_weights, interval_of
from malles.evaluation.long_run import MacroWeek, check_week, macro_table
from malles.population.simulation import Deciders, Mode, TripSource, World, simulate
from malles.population.week import WeekResult, drawn_lines
from malles.profiles.incidence import Purchases, Shelf

START, FIRST, LAST = 41, 10, 44
"""First simulated week; the weeks whose shelves are repeated (weeks 1 to 9 have no slates)."""


def main() -> None:
    """Run, check, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", type=float, default=0.1)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--keep", type=Path, default=KEPT, help="folder of the fitted models")
    asked = parser.parse_args()
    room, incidence = open_room(weeks_config(36, (START, LAST)), asked.seed, keep=asked.keep)
    households = np.random.default_rng(asked.seed).random(room.world.n_customers) < asked.part
    world = replace(part_of(room.world, households), shelves=shelves_until(room.world, START + asked.weeks))
    n, categories = int(households.sum()), len(world.group)
    began = time.process_time()
    early = simulate(
        world, Deciders(incidence, room.choose), range(37, 41), mode=Mode.ONE_WEEK_AHEAD,
        trips=TripSource.DATA, seed=asked.seed,
    )  # fmt: skip
    real = world.purchases.units_by_week(np.arange(LAST + 1), categories)
    rate = fit_rate_map(real[:, 37:41], early.units, centre=None).rate
    usual = float(real[:, FIRST : LAST + 1].sum() / (LAST + 1 - FIRST) / n)
    checked: list[MacroWeek] = []
    late: dict[int, np.ndarray] = {}

    def watch(week: WeekResult) -> str:
        checked.append(macro_week(week, world, n))
        if week.week >= START + 26:
            late[week.week] = units_of(week.purchases, households, categories)
        print(week.week, round(time.process_time() - began), "processor-seconds", file=sys.stderr, flush=True)
        return check_week(checked[-1], usual)

    found = simulate(
        world, Deciders(incidence, room.choose, rate=rate), range(START, START + asked.weeks),
        mode=Mode.FREE_RUNNING, trips=TripSource.SIMULATED, seed=asked.seed, watch=watch,
    )  # fmt: skip
    table = macro_table(checked, real[:, FIRST : LAST + 1].sum(axis=1), usual)
    shown = [world.purchases.take(world.purchases.week == shelf_week(w)) for w in late]
    same = [units_of(purchases, households, categories) for purchases in shown]
    print(json.dumps({
        "households": n, "usual units per customer": usual, "stopped": found.stopped,
        **judge(list(late.values()), same, np.random.default_rng([asked.seed, 7]), asked.draws),
        "weeks": table.to_dicts(),
    }, indent=1))  # fmt: skip


def shelves_until(world: World, end: int) -> dict[int, Shelf]:
    """Shelves of every week before `end`."""
    real = {w: s for w, s in world.shelves.items() if w <= LAST}
    return real | {week: world.shelves[shelf_week(week)] for week in range(LAST + 1, end)}


def shelf_week(week: int) -> int:
    """The real week whose shelves stand in a simulated one."""
    return week if week <= LAST else FIRST + (week - LAST - 1) % (LAST + 1 - FIRST)


def macro_week(week: WeekResult, world: World, customers: int) -> MacroWeek:
    """What was drawn in a week."""
    lines = drawn_lines(week.purchases, world.shelves[week.week])
    spend = float((lines.price * lines.quantity).sum())
    worth = float((lines.list_price * lines.quantity).sum())
    buys = np.diff(week.purchases.start) > 0
    active = len(np.unique(week.purchases.customer[buys]))
    index = spend / worth if worth > 0 else 1.0
    return MacroWeek(week.week, week.drawn_units.astype(float), spend, active, customers, index)


def units_of(purchases: Purchases, households: np.ndarray, categories: int) -> np.ndarray:
    """Units [household, category] of the households that are simulated."""
    place = np.cumsum(households) - 1
    cell = place[purchases.customer[purchases.trip]] * categories + purchases.category
    size = int(households.sum()) * categories
    return np.bincount(cell, purchases.units, size).reshape(-1, categories).astype(np.float32)


def judge(
    simulated: list[np.ndarray], real: list[np.ndarray], rng: np.random.Generator, draws: int
) -> dict[str, object]:
    """Weeks 27 on against the real weeks with the same shelves: units, and how far shares move in a week."""
    if len(simulated) < 2:
        return {"late weeks": len(simulated)}
    households = len(real[0])
    weight = np.concatenate([np.ones((1, households)), draw_weights(households, draws, rng)])  # first: all
    true, made = (np.stack([weight @ week for week in weeks], 1) for weeks in (real, simulated))
    a, m = (units / np.maximum(units.sum(axis=2, keepdims=True), 1e-12) for units in (true, made))

    def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(one - other).sum(axis=2).mean(axis=1) / 2)

    moves = apart(a[:, 1:], a[:, :-1])
    figures = {
        "units per customer, real": true.sum(axis=(1, 2)) / households / len(real),
        "units per customer, simulated": made.sum(axis=(1, 2)) / households / len(real),
        "ratio (asked: within 10 %)": made.sum(axis=(1, 2)) / true.sum(axis=(1, 2)),
        "share distance of consecutive weeks, real": moves,
        "share distance of consecutive weeks, simulated": apart(m[:, 1:], m[:, :-1]),
        "share distance simulated to real": apart(m, a),
        "over the real week-to-week distance (asked: at most 1.5)": apart(m, a) / moves,
    }
    intervals = {
        name: asdict(interval_of(float(v[0]), v[1:], centred="distance" in name))
        for name, v in figures.items()
    }
    return {"late weeks": len(real), **intervals}


if __name__ == "__main__":
    main()
