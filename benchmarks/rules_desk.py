"""What the whole market answers to a change of all prices of a category, beside what units heads answer.

    malles run FILE.toml      (names = ["popularity", "head"])
    python benchmarks/rules_desk.py --run demo-1 --root runs --week 44 [--categories 300] [--seed 1]

Every category of the desk of `malles simulate`, one week, trips of the data, expected values without luck:
all prices times 0.8, 0.9, 1.1. Printed: change of the category's units, of its purchases, and of its units
given a purchase. The second half of the categories is answered by a rule whose one number is learnt on the
first half:

    units in the world = units today / (price over today's price) ^ e        (5 nodes)
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from malles.errors import OccasionError
from malles.population.simulation import Trips, slate_occasions
from malles.profiles.incidence import History, build_market, describe_trips
from malles.scenarios.category_market import CategoryMarket
from malles.scenarios.changes import PriceChange, Scenario
from malles.scenarios.cube_kernels import UNITS
from malles.scenarios.rehearsal import Desk
from malles.stages.rehearse import OpenMarket, open_market

MULTIPLIERS = (0.8, 0.9, 1.1)
FEWEST = 30.0
"""Expected purchases of a category in the week for it to count."""


def open_desks(market: OpenMarket, week: int) -> Iterator[Desk]:
    """The desk of every category that has a slate; the trips of the week are described once."""
    world = market.room.world
    past, shelf = world.purchases.before(week), world.shelves[week]
    history = History.empty(world.n_customers, world.n_stores, world.group)
    history.follow(past)
    offers = np.stack([world.shelves[w].chain_offer() for w in range(week - 8, week)])
    about = build_market(past, week, shelf, offers, world.n_stores)
    rows, true = world.purchases.week == week, world.purchases
    who = Trips(true.customer[rows], true.store[rows], true.timestamp[rows])
    X = describe_trips(history, about, who.customer, who.store, who.timestamp)
    for category in range(X.shape[1]):
        here = np.flatnonzero(shelf.row[who.store, category] >= 0)
        if not len(here):
            continue
        occasions = slate_occasions(shelf, who, here, np.full(len(here), category), week)
        last = history.memory.last_product[who.customer[here], category]
        usual = np.tile(about.offer_past[category], (len(here), 1))
        found = CategoryMarket(
            category, occasions, np.ones(len(here)), X[here, category].copy(), last, usual, 0
        )
        yield Desk.open(found, world, market.deciders)


def answer(desk: Desk, multiplier: float) -> tuple[float, float]:
    """Relative change of a category's units and of its purchases when all its prices change."""
    o = desk.market.occasions
    codes = np.unique(o.product[o.product >= 0])
    cut = Scenario("prices", tuple(PriceChange(int(p), relative=multiplier - 1) for p in codes))
    found = desk.rehearse(cut, draws=1, seed=1, households=False, luck=False)
    units = found.central[..., UNITS].sum((1, 2))
    buy = [(desk.weight * d.buy).sum() for d in (desk.before, desk.ask(cut.apply(o)))]
    return float(units[1] / units[0] - 1), float(buy[1] / buy[0] - 1)


def measure(market: OpenMarket, week: int, most: int, rng: np.random.Generator) -> dict[str, Any]:
    """Answers of all categories, and of a rule of one number on half of them."""
    names, units, purchases, refused = [], [], [], []
    for desk in open_desks(market, week):
        if float((desk.weight * desk.before.buy).sum()) < FEWEST or len(names) >= most:
            continue
        try:
            said = np.array([answer(desk, m) for m in MULTIPLIERS])
        except OccasionError as error:
            refused.append(str(error))
            continue
        names.append(market.catalogue.category_name[desk.market.category])
        units.append(said[:, 0])
        purchases.append(said[:, 1])
    change, bought = np.array(units), np.array(purchases)
    each = (1 + change) / (1 + bought) - 1
    half = rng.permutation(len(change)) < len(change) // 2
    elasticity = np.log1p(change) / np.log(MULTIPLIERS)
    e = -float(np.median(elasticity[half]))
    want = np.sign(1 - np.array(MULTIPLIERS))
    rows = []
    for k, m in enumerate(MULTIPLIERS):
        rule = m**-e - 1
        rows.append({
            "multiplier": m,
            "units_median": float(np.median(change[:, k])),
            "units_falls_with_price": _share(change[:, k], want[k]),
            "purchases_median": float(np.median(bought[:, k])),
            "each_median": float(np.median(each[:, k])), "each_falls_with_price": _share(each[:, k], want[k]),
            "rule": rule, "rule_same_sign": float(np.mean(np.sign(change[~half, k]) == np.sign(rule))),
            "desk_median_other_half": float(np.median(change[~half, k])),
        })  # fmt: skip
    return {
        "week": week, "categories": len(names), "refused": refused, "exponent": e,
        "elasticity_quartiles": np.quantile(elasticity, [0.25, 0.5, 0.75]).tolist(),
        "answers": rows, "processor_seconds": round(process_time(), 1),
    }  # fmt: skip


def _share(change: np.ndarray, sign: float) -> float:
    return float(np.mean(np.sign(change) == sign))


def main() -> None:
    """Measure one week of a finished run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True)
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--week", type=int, default=44)
    parser.add_argument("--categories", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    market = open_market(asked.root, asked.run, lambda text: None)
    found = measure(market, asked.week, asked.categories, np.random.default_rng(asked.seed))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
