"""How fast is a what-if? One category, one week, 100,000 customers.

    python benchmarks/what_if_speed.py                           a made-up market: every customer is another
    python benchmarks/what_if_speed.py --run demo-1 --root runs  and the largest category of a finished run

Every row is one question (20 % off one product) to a desk that is open: the models are asked about the
scenario, and both worlds are drawn. Prints wall and processor seconds, the median of five after one that is
not counted, the processor's in parts; and the bound: both worlds of every household drawn, at the
exponentials per second of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numba
import numpy as np
from numba import njit
from numpy import ndarray

from malles.population.crowd_kernels import _exp
from malles.scenarios.category_market import CategoryMarket, build_category_market
from malles.scenarios.changes import PriceChange, Scenario
from malles.scenarios.counterfactual import Demand
from malles.scenarios.rehearsal import Desk
from malles.scenarios.responses import Responses, certain
from malles.vocabulary import OUTSIDE, Occasions

CUSTOMERS, ALTERNATIVES = 100_000, 20
UNSURE = Responses(certain().value, np.diag([0.05, 0.2, 0.1, 0.1, 0.05, 0.2]) ** 2)


@njit(cache=True)
def exponentials(x: ndarray, times: int) -> float:
    """Sum of exponentials of a short table, again and again."""
    total = np.float32(0.0)
    out = np.empty_like(x)
    for t in range(times):
        for i in range(len(x)):
            out[i] = _exp(x[i] + np.float32(t) * np.float32(1e-6))
        total += out[t % len(x)]
    return total


def timed(what: Callable[[], object], times: int = 5) -> tuple[float, float]:
    """Median wall and processor seconds after one call that is not counted."""
    what()
    wall, busy = [], []
    for _ in range(times):
        a, b = time.perf_counter(), time.process_time()
        what()
        wall.append(time.perf_counter() - a)
        busy.append(time.process_time() - b)
    return median(wall), median(busy)


def crowd(
    customers: int, alternatives: int, seed: int
) -> tuple[CategoryMarket, Callable[[Occasions], Demand]]:
    """One trip of every customer; each customer values every product in another way."""
    rng = np.random.default_rng(seed)
    shape, zero = (customers, alternatives), np.zeros(customers, np.int32)
    taste = rng.normal(0, 1, shape).astype(np.float32)
    level = rng.normal(-1, 0.5, customers)

    def beside(first: float, table: ndarray, dtype: type) -> ndarray:
        return np.column_stack([np.full(customers, first), np.broadcast_to(table, shape)]).astype(dtype)

    price = rng.uniform(1, 4, alternatives)
    occasions = Occasions(
        customer=np.arange(customers, dtype=np.int32), store=zero, basket=np.arange(customers),
        week=np.ones(customers, np.int16), timestamp=np.arange(customers), category=zero,
        product=beside(OUTSIDE, np.arange(alternatives), np.int32), price=beside(0, price, np.float32),
        list_price=beside(0, price, np.float32),
        promotion=beside(0, rng.integers(0, 2, alternatives), np.uint8),
        available=beside(0, np.ones(shape), bool), rank=beside(-1, np.arange(alternatives), np.int16),
        chosen=np.full(customers, -1, np.int16), units=zero,
    )  # fmt: skip
    market = CategoryMarket(
        0,
        occasions,
        np.ones(customers),
        np.zeros((customers, 1), np.float32),
        zero,
        np.zeros((customers, 3)),
        0,
    )

    def ask(o: Occasions) -> Demand:
        V = taste - 2 * np.log(o.price[:, 1:]) + 0.5 * (o.promotion[:, 1:] & 1)
        weight = np.exp(V.astype(np.float32))
        total = weight.sum(1)
        P = np.zeros(o.product.shape, np.float32)
        P[:, 1:] = weight / total[:, None]
        score = level + 0.5 * np.log(total)
        one = np.ones(customers)
        return Demand(1 / (1 + np.exp(-score)), 0.1 * one, P, np.full(P.shape, 1.3), one)

    return market, ask


def largest_category(root: Path, run: str) -> tuple[Desk, int]:
    """A desk for the category with the most order lines of a finished run, and its most bought product."""
    from malles.head.incidence import FittedIncidence
    from malles.population.simulation import TripSource
    from malles.stages.finished import open_finished
    from malles.stages.market import DRIFT, MarketRoom, read_drift

    found = open_finished(root, run, lambda *_: None)
    name = "head" if "head" in found.config.models.names else ""
    room = MarketRoom(
        found.catalogue, found.config, lambda: found.model(name), lambda: read_drift(found.folder / DRIFT)
    )
    deciders = room.deciders(
        FittedIncidence.load(found.folder / "03-models" / "incidence"),
        json.loads((found.folder / "06-rates.json").read_text()),
    )
    bought = found.catalogue.lines.product
    code = found.catalogue.products.category[bought]
    category = int(np.bincount(code[code >= 0]).argmax())
    week = int(found.config.market.weeks[1])
    market = build_category_market(
        room.world, deciders, category, [week], trips=TripSource.DATA, seed=1, most=20_000
    )
    shelf = market.occasions.product
    there = np.bincount(bought[np.isin(bought, shelf[shelf >= 0])])
    print(f"{found.catalogue.category_name[category]}, week {week}: {shelf.shape} cells")
    return Desk.open(market, room.world, deciders, customers=float(CUSTOMERS)), int(there.argmax())


def report(name: str, desk: Desk, product: int, draws: int, rate: float) -> None:
    """One question, in parts."""
    scenario = Scenario("cut", (PriceChange(product, relative=-0.2),))
    after = scenario.apply(desk.market.occasions)
    asking = timed(lambda: desk.ask(after))
    for kind, known in (("certain", certain()), ("unsure", UNSURE)):
        whole = timed(lambda known=known: desk.rehearse(scenario, responses=known, draws=draws, seed=1))
        plain = timed(
            lambda known=known: desk.rehearse(scenario, responses=known, draws=draws, seed=1, luck=False)
        )
        people = len(np.unique(desk.market.occasions.customer))
        cells = len(after) * (1 - (1 - 1 / people) ** people) * desk.before.probability.shape[1]
        bound = 2 * cells * draws / rate
        print(
            f"| {name}, parameters {kind} | {draws} | {whole[0]:.2f} | {whole[1]:.2f} | {asking[1]:.2f} | "
            f"{whole[1] - asking[1]:.2f} | {whole[1] - plain[1]:.2f} | {bound:.2f} |",
            flush=True,
        )


def main() -> None:
    """Time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="")
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    x = np.random.default_rng(asked.seed).normal(size=4096).astype(np.float32)
    _, busy = timed(lambda: exponentials(x, 5000))
    _, plain = timed(lambda: [np.exp(x) for _ in range(5000)])
    rate = 4096 * 5000 / busy
    print(
        f"{rate / 1e9:.2f} billion exponentials a second (numpy: {4096 * 5000 / plain / 1e9:.2f}), "
        f"{numba.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}"
    )
    print("| market | draws | wall | processor | asking | drawing | of it luck | bound (exponentials) |")
    print("|---|---|---|---|---|---|---|---|")
    market, ask = crowd(CUSTOMERS, ALTERNATIVES, asked.seed)
    report("made up, 100,000 x 20", Desk.of(market, ask), 3, asked.draws, rate)
    if asked.run:
        desk, product = largest_category(asked.root, asked.run)
        report(f"{asked.run}, largest category", desk, product, asked.draws, rate)


if __name__ == "__main__":
    main()
