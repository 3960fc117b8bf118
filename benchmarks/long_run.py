"""A free run of 52 weeks: does the market stay a market when it lives on its own purchases?

    python benchmarks/long_run.py [--part 0.1] [--weeks 52]

Models fitted to week 36, rates calibrated on weeks 37 to 40; from week 41 on trips are simulated and every
customer remembers only what it bought in the simulation. The shelves are those of weeks 41 to 44, then of
weeks 10 to 44 again. Every simulated week is checked (units and spend per customer, active customers,
category shares, prices); one that explodes or dies stops the run with a sentence. The last half of the run is
held against the real weeks that had the same shelves. `--part` of the households is simulated, and the real
ones are the same households. Prints the table of all weeks and the two figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from market_room import open_room, weeks_config

from malles.calibration.distances import total_variation_distance
from malles.calibration.rate import fit_rate_map
from malles.evaluation.long_run import MacroWeek, check_week, macro_table
from malles.population.simulation import Deciders, Mode, TripSource, World, simulate
from malles.population.week import WeekResult, drawn_lines

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
    asked = parser.parse_args()
    room, incidence = open_room(weeks_config(36, (START, LAST)), asked.seed)
    households = np.random.default_rng(asked.seed).random(room.world.n_customers) < asked.part
    world = part_of(room.world, households, asked.weeks)
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

    def watch(week: WeekResult) -> str:
        checked.append(macro_week(week, world, n))
        print(week.week, round(time.process_time() - began), "processor-seconds", file=sys.stderr, flush=True)
        return check_week(checked[-1], usual)

    found = simulate(
        world, Deciders(incidence, room.choose, rate=rate), range(START, START + asked.weeks),
        mode=Mode.FREE_RUNNING, trips=TripSource.SIMULATED, seed=asked.seed, watch=watch,
    )  # fmt: skip
    table = macro_table(checked, real[:, FIRST : LAST + 1].sum(axis=1), usual)
    late = [w for w in checked if w.week >= START + 26]
    print(json.dumps({
        "households": n, "usual units per customer": usual, "stopped": found.stopped,
        **judge(late, real, n), "weeks": table.to_dicts(),
    }, indent=1))  # fmt: skip


def part_of(world: World, households: np.ndarray, weeks: int) -> World:
    """The world of some households, with shelves for the whole run."""
    shelves = {w: s for w, s in world.shelves.items() if w <= LAST}
    shelves |= {week: world.shelves[shelf_week(week)] for week in range(LAST + 1, START + weeks)}
    return replace(
        world, purchases=world.purchases.take(households[world.purchases.customer]),
        lines=world.lines.take(households[world.lines.customer]), shelves=shelves,
    )  # fmt: skip


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


def judge(late: list[MacroWeek], real: np.ndarray, customers: int) -> dict[str, object]:
    """Weeks 27 on against the real weeks with the same shelves: units, and how far shares move in a week."""
    if len(late) < 2:
        return {"late weeks": len(late)}
    true = np.stack([real[:, shelf_week(w.week)] for w in late], 1)
    made = np.stack([w.units for w in late], 1)

    def moves(units: np.ndarray) -> float:
        steps = range(1, units.shape[1])
        return float(np.mean([total_variation_distance(units[:, i - 1], units[:, i]) for i in steps]))

    apart = [total_variation_distance(true[:, i], made[:, i]) for i in range(true.shape[1])]
    return {
        "late weeks": len(late),
        "units per customer, real": float(true.sum() / customers / len(late)),
        "units per customer, simulated": float(made.sum() / customers / len(late)),
        "ratio (asked: within 10 %)": float(made.sum() / true.sum()),
        "share distance of consecutive weeks, real": moves(true),
        "share distance of consecutive weeks, simulated": moves(made),
        "share distance simulated to real": float(np.mean(apart)),
        "over the real week-to-week distance (asked: at most 1.5)": float(np.mean(apart) / moves(true)),
    }


if __name__ == "__main__":
    main()
