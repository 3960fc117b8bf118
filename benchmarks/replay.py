"""The real market replayed: units and shares by week against what was sold, and what each part is worth.

    python benchmarks/replay.py [--part 0.1]       fitted to 36, calibrated on 37-40, weeks 41-44
    python benchmarks/replay.py --test             fitted to 40, calibrated on 41-44, weeks 45-53

One week ahead (true past, trips of the data) and free-running (own past from the first simulated week on,
trips simulated), with and without calibration (rates of incidence, followed product shares), with and without
the mean field (usual shares of W = 5 or 10 weeks; W = none: customers look at nobody). Printed: units by
category and week and by product and week (weighted absolute error), shares of categories in a week (total
variation), shares of products within category and week (KL and total variation, weighted by units; sampling
floor not taken off). Intervals draw categories with replacement; differences are paired.

`--part` of the households is simulated and compared, a random sample. The followed shares and the reaction
are those of all households, and so are, one week ahead, the order lines that the choice model knows and the
shares that customers see; otherwise the chain is the part. One week ahead the variants of choice share the
trips and purchases of one simulation, with equal weight for every purchase of a category. `--test` is to be
run once per closing note.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from market_room import KEPT, open_room, part_of, weeks_config

from malles.calibration.drift import DriftPrior, ShareDrift, follow_shares
from malles.calibration.rate import fit_rate_map
from malles.config import change_config
from malles.evaluation.bootstrap import bootstrap_interval, cluster_sums, draw_weights, paired_difference
from malles.evaluation.weekly_units import compare_weekly_units
from malles.occasions.build import build_occasions
from malles.occasions.families import product_families
from malles.population.mean_field import NO_REACTION, Reaction, solve_week
from malles.population.simulation import Deciders, Mode, TripSource, simulate
from malles.population.week import WeekResult, outside_units, product_shares
from malles.population.world import World
from malles.stages.choice_drift import calibrated
from malles.stages.market import MarketRoom, weekly_baselines
from malles.stages.occasions import occasion_rules
from malles.vocabulary import Lines, Occasions

LEAST = 25
"""Units that a category needs in a week for its product shares to be compared."""

AHEAD, FREE = "one week ahead", "free-running"


def main() -> None:
    """Simulate, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--part", type=float, default=1.0, help="part of the households")
    parser.add_argument("--windows", type=int, nargs="*", default=[0, 5, 10])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--keep", type=Path, default=KEPT, help="folder of the fitted models")
    asked = parser.parse_args()
    fit_until, weeks = (40, (45, 53)) if asked.test else (36, (41, 44))
    config = weeks_config(fit_until, weeks, run={"workers": 1})
    room, incidence = open_room(config, asked.seed, keep=asked.keep)
    early, whole = config.calibration.weeks, room.world
    reactions = {w: reaction_of(room, early, w) for w in asked.windows}
    drift = follow(room, (early[0], weeks[1]))
    note("product shares followed, reactions estimated")
    households = np.random.default_rng(asked.seed).random(whole.n_customers) < asked.part
    room.world = part_of(whole, households)

    def walk(deciders: Deciders, span: tuple[int, int], mode: Mode, trips: TripSource) -> list[WeekResult]:
        steps = range(span[0], span[1] + 1)
        found = simulate(room.world, deciders, steps, mode=mode, trips=trips, seed=asked.seed)
        note(f"weeks {span[0]} to {span[1]}, {mode.value}")
        return list(found.weeks)

    before = walk(Deciders(incidence, evenly), early, Mode.ONE_WEEK_AHEAD, TripSource.DATA)
    rate = fit_rate_map(room.actual(early), units_of(before), centre=None).rate
    seen: dict[int, tuple[Occasions, np.ndarray]] = {}

    def record(occasions: Occasions, lines: Lines) -> np.ndarray:
        week = int(occasions.week[0])
        seen[week] = occasions, room.choose(occasions, whole.lines.before(week))
        return seen[week][1]

    ahead = walk(Deciders(incidence, record, rate=rate), weeks, Mode.ONE_WEEK_AHEAD, TripSource.DATA)
    units = {AHEAD: units_of(ahead), f"{AHEAD}, rates not calibrated": units_of(ahead) / rate[:, None]}
    products = {
        label(AHEAD, followed, w): np.stack([
            choose_again(whole, week, *seen[week.week], drift if followed else None, reactions[w], w)
            for week in ahead
        ], 1)
        for followed in (False, True)
        for w in asked.windows
    }  # fmt: skip
    for followed, w in [(False, 0), *((True, w) for w in asked.windows)]:
        choose = calibrated(room.choose, drift if followed else None, weeks[0])
        deciders = Deciders(incidence, choose, reactions.get(w, NO_REACTION), rate, w)
        free = walk(deciders, weeks, Mode.FREE_RUNNING, TripSource.SIMULATED)
        name = label(FREE, followed, w)
        units[name], products[name] = units_of(free), np.stack([f.product_units for f in free], 1)
    print(json.dumps({
        "fitted until": fit_until, "calibrated on": early, "weeks": weeks,
        "households": int(households.sum()), "seed": asked.seed,
        "reactions": {f"W = {w}": str(r) for w, r in reactions.items() if w},
        **compare(room, units, products, weeks, asked.seed, asked.draws),
    }, indent=1))  # fmt: skip


def label(mode: str, followed: bool, window: int) -> str:
    """Name of a variant of choice."""
    return f"{mode}, {'followed' if followed else 'not followed'}, W = {window or 'none'}"


def evenly(occasions: Occasions, lines: Lines) -> np.ndarray:
    """Every alternative alike: for weeks of which only the units of categories are wanted."""
    return occasions.available / np.maximum(occasions.available.sum(axis=1, keepdims=True), 1)


def reaction_of(room: MarketRoom, weeks: tuple[int, int], window: int) -> Reaction:
    """The reaction to shares whose usual level is that of `window` weeks."""
    if not window:
        return NO_REACTION
    usual = room.config
    room.config = change_config(usual, {"market.window": window})
    try:
        return room.fit_reaction(weeks)
    finally:
        room.config = usual


def follow(room: MarketRoom, weeks: tuple[int, int]) -> ShareDrift:
    """Product shares followed in the choices of all households; the prior is that of Complete Journey."""
    catalogue = room.catalogue
    family = product_families(catalogue.products.category, catalogue.products.size)
    o = build_occasions(catalogue, occasion_rules(catalogue, room.config.occasions), weeks).occasions
    parts = [o.take(np.arange(a, min(a + 20_000, len(o)))) for a in range(0, len(o), 20_000)]
    p = np.concatenate([room.choose(part, catalogue.lines) for part in parts])
    return follow_shares(
        p, o.available, o.chosen.astype(np.int64), o.product, o.week, family=family, prior=DriftPrior()
    )


def choose_again(
    world: World, week: WeekResult, o: Occasions, said: np.ndarray, drift: ShareDrift | None,
    reaction: Reaction, window: int,
) -> np.ndarray:  # fmt: skip
    """Units by product if the purchases of a simulated week had been shared out by other probabilities."""
    categories, code = len(world.group), world.category_of_product
    p = calibrated(lambda occasions, lines: said, drift)(o, world.lines)
    on_shelf = week.expected_units - week.other_units
    weight = (on_shelf / np.maximum(np.bincount(o.category, minlength=categories), 1))[o.category]
    past = world.purchases.before(week.week)
    if window:
        short = product_shares(past, week.week, 1, code, categories)
        usual = product_shares(past, week.week - 1, window, code, categories)
        p = solve_week(p, o.product, weight, short, usual, reaction, code, categories).probability
    there = o.product >= 0
    units = np.bincount(o.product[there], (p * weight[:, None])[there], minlength=len(code))
    return np.asarray(units + outside_units(world, past, week.week, week.other_units))


def compare(
    room: MarketRoom, units: dict[str, np.ndarray], products: dict[str, np.ndarray],
    weeks: tuple[int, int], seed: int, draws: int,
) -> dict[str, object]:  # fmt: skip
    """Every table of the replay."""
    actual, code = room.actual(weeks), room.world.category_of_product
    units = {n: np.maximum(u, 0) for n, u in (units | weekly_baselines(room, weeks, seed)).items()}
    note("baselines")
    rng = np.random.default_rng([seed, 7])
    cells = np.repeat(np.arange(len(actual)), actual.shape[1])
    flat = {n: u.ravel() for n, u in units.items()}
    by_category = compare_weekly_units(actual.ravel(), flat, cells, "LightGBM Poisson", rng, draws=draws)
    sold = sold_by_product(room.world, weeks[0] - 8, weeks[1])
    usual = np.stack([sold[:, i : i + 8].mean(axis=1) for i in range(sold.shape[1] - 8)], 1)
    sold = sold[:, 8:]
    tables = {**products, "mean of 8 weeks": usual}
    kept = (code >= 0) & (sold.sum(axis=1) + sum(t.sum(axis=1) for t in tables.values()) > 0)
    by_product = compare_weekly_units(
        sold[kept].ravel(), {n: t[kept].ravel() for n, t in tables.items()},
        np.repeat(code[kept], sold.shape[1]), "mean of 8 weeks", rng, draws=draws,
    )  # fmt: skip
    weight = draw_weights(len(actual), draws, rng)
    raw = f"{AHEAD}, rates not calibrated"
    pair = {n: flat[n] for n in (raw, AHEAD)}
    rates = compare_weekly_units(actual.ravel(), pair, cells, raw, rng, draws=draws)
    shown = ("wape_error", "wape_difference", "bias")
    return {
        "units by category and week": [r for r in by_category.to_dicts() if r["metric"] in shown],
        "units by product and week": [r for r in by_product.to_dicts() if r["metric"] in shown],
        "calibration of rates": [r for r in rates.to_dicts() if r["metric"] == "wape_difference"],
        "shares of categories by week": share_table(
            {n: category_sums(actual, u) for n, u in units.items()},
            ("total_variation_distance",), weight, lambda mode: "LightGBM Poisson",
        ),
        "shares of products by category and week": share_table(
            {n: product_sums(sold, t, code, len(actual)) for n, t in tables.items()},
            ("kl_distance", "total_variation_distance"), weight, lambda mode: label(mode, False, 0),
        ),
    }  # fmt: skip


def share_table(
    sums: dict[str, np.ndarray], distances: tuple[str, ...], weight: np.ndarray,
    reference: Callable[[str], str],
) -> list[dict[str, object]]:  # fmt: skip
    """Distances with intervals, and paired differences to a reference of the same mode."""
    rows: list[dict[str, object]] = []
    for name, own in sums.items():
        base = reference(FREE if name.startswith(FREE) else AHEAD)
        for k, distance in enumerate(distances):
            ratio = lambda s, k=k: s[..., k] / np.maximum(s[..., -1], 1e-12)  # noqa: E731
            found = bootstrap_interval(own, weight, ratio)
            apart = paired_difference(own, sums[base], weight, ratio)
            row = {"model": name, "distance": distance, **asdict(found), "difference to": base}
            rows.append(row | {"difference": [apart.value, apart.low, apart.high]})
    return rows


def category_sums(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Sums per category over weeks: half the distance of its shares of all units, and the true share."""
    a, p = (units / units.sum(axis=0) for units in (actual, expected))
    return np.column_stack([np.abs(a - p).sum(axis=1) / 2, a.sum(axis=1)])


def product_sums(sold: np.ndarray, expected: np.ndarray, code: np.ndarray, categories: int) -> np.ndarray:
    """Sums per category over weeks of enough units: units x KL, units x total variation, units."""
    rows = [(c, 0.0, 0.0, 0.0) for c in range(categories)]
    for c in range(categories):
        here = np.flatnonzero(code == c)
        for a, e in zip(sold[here].T, expected[here].T + 1e-3, strict=True):
            if a.sum() >= LEAST:
                q, p = a / a.sum(), e / e.sum()
                some = q > 0
                kl, apart = np.sum(q[some] * np.log(q[some] / p[some])), np.abs(q - p).sum() / 2
                rows.append((c, a.sum() * kl, a.sum() * apart, a.sum()))
    table = np.array(rows)
    return cluster_sums(table[:, 1:], table[:, 0].astype(np.int64))


def sold_by_product(world: World, first: int, last: int) -> np.ndarray:
    """Units really sold [product, week]."""
    lines, size = world.lines, len(world.category_of_product)
    weeks = (lines.week == week for week in range(first, last + 1))
    return np.stack([np.bincount(lines.product[w], lines.quantity[w], size) for w in weeks], 1)


def units_of(weeks: list[WeekResult]) -> np.ndarray:
    """Expected units [category, week]."""
    return np.stack([w.expected_units for w in weeks], 1)


def note(what: str) -> None:
    """Say on stderr what was done, and how much processor time has gone by."""
    print(f"{what}: {time.process_time():.0f} processor-seconds", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
