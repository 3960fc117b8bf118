"""Do customers react to what the market has been doing? Shares, prices and availability of the weeks before.

    python benchmarks/reactions.py --run demo-1 [--root runs] [--weeks 37 44]

Customers that no model was fitted on; the market's own choice model is the offset. Of every alternative, two
weeks before the occasion's against the eight before those:

    shares         log of its share in the category's units
    prices         log of its mean price on the shelves
    availability   part of the stores with a slate of the category that carry it

All three are estimated together, with standard errors clustered by household; none moves within its week.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from malles.occasions.build import build_occasions
from malles.occasions.splits import build_split
from malles.population.mean_field import fit_reactions, share_deviation
from malles.population.week import product_shares
from malles.profiles.incidence import Shelf
from malles.road import be_silent
from malles.stages.occasions import occasion_rules
from malles.stages.rehearse import OpenMarket, open_market

SHORT, LONG = 2, 8
PARTS = ("shares", "prices", "availability")


def shelf_means(market: OpenMarket, weeks: range) -> tuple[np.ndarray, np.ndarray]:
    """Mean log price (NaN without one) and part of the stores that carry it, by product, over some weeks."""
    n = len(market.catalogue.products)
    total, carried, stores = np.zeros(n), np.zeros(n), np.zeros(n)
    category = market.catalogue.products.category
    for week in weeks:
        shelf: Shelf = market.room.world.shelves[week]
        store, c = np.nonzero(shelf.row >= 0)
        row = shelf.row[store, c]
        there = shelf.product[row] >= 0
        product = shelf.product[row][there]
        total += np.bincount(product, np.log(shelf.price[row][there]), minlength=n)
        carried += np.bincount(product, minlength=n)
        with_slate = np.bincount(c, minlength=shelf.row.shape[1])
        stores += np.where(category >= 0, with_slate[np.maximum(category, 0)], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / carried, carried / np.maximum(stores, 1)


def main() -> None:
    """Estimate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="demo-1")
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--weeks", type=int, nargs=2, default=(37, 44))
    asked = parser.parse_args()
    market = open_market(asked.root, asked.run, be_silent)
    cold = build_split(market.catalogue).cold_customer
    rules = occasion_rules(market.catalogue, market.config.occasions)
    o = build_occasions(market.catalogue, rules, tuple(asked.weeks), cold).occasions
    world = market.room.world
    probability = market.deciders.choose(o, world.lines)
    seen = np.zeros((*o.shape, len(PARTS)))
    for week in np.unique(o.week):
        w, rows = int(week), o.week == week
        short, long = (
            product_shares(
                world.purchases.before(end), end, window, world.category_of_product, len(world.group)
            )
            for end, window in ((w, SHORT), (w - SHORT, LONG))
        )
        new, old = (shelf_means(market, r) for r in (range(w - SHORT, w), range(w - SHORT - LONG, w - SHORT)))
        of_product = np.stack(
            [share_deviation(short, long), np.nan_to_num(new[0] - old[0]), new[1] - old[1]], axis=1
        )
        product = o.product[rows]
        seen[rows] = np.where((product >= 0)[:, :, None], of_product[np.maximum(product, 0)], 0.0)
    found = fit_reactions(probability, seen, o.chosen, o.customer)
    print(f"weeks {asked.weeks[0]} to {asked.weeks[1]}, {len(o):,} occasions of customers outside the fit")
    print("| part | spread of x | reaction | standard error | z |\n|---|---|---|---|---|")
    for k, (name, r) in enumerate(zip(PARTS, found, strict=True)):
        spread = seen[o.product >= 0, k].std()
        z = r.coefficient / max(r.standard_error, 1e-12)
        print(f"| {name} | {spread:.3f} | {r.coefficient:+.3f} | {r.standard_error:.3f} | {z:+.1f} |")


if __name__ == "__main__":
    main()
