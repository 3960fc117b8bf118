"""One category of the market, ready for what-ifs: every trip of some weeks as it is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32
from numpy import ndarray

from malles.errors import OccasionError
from malles.population.kernels import sample_systematic
from malles.population.simulation import Deciders, Trips, TripSource, World, simulate_trips, slate_occasions
from malles.profiles.incidence import History, build_market, describe_trips
from malles.vocabulary import Occasions


@dataclass(frozen=True)
class CategoryMarket:
    """Every trip of some weeks that could buy in one category, as it is known at the start of each week."""

    category: int
    occasions: Occasions
    weight: Float[ndarray, " occasion"]
    """Trips that each occasion stands for."""
    features: Float32[ndarray, "occasion feature"]
    """Incidence features under the true shelves."""
    last_product: Int32[ndarray, " occasion"]
    offer_past: Float[ndarray, "occasion three"]
    skipped: int
    """Trips to stores without a slate of the category; a change of the shelf cannot reach them."""


def build_category_market(
    world: World,
    deciders: Deciders,
    category: int,
    weeks: Sequence[int],
    *,
    trips: TripSource,
    seed: int,
    most: int | None = None,
) -> CategoryMarket:
    """Collect the trips of `weeks` with what is known before each week begins.

    Args:
        world: true history and shelves.
        deciders: incidence model (used to draw a sample only).
        category: choice category.
        weeks: weeks of the what-if; each is one week ahead of the true history.
        trips: trips of the data, or simulated.
        seed: of simulated trips and of the sample.
        most: keep a systematic sample of so many occasions, drawn by the chance of a purchase; None = all.
    """
    parts: list[Occasions] = []
    tables: list[tuple[ndarray, ndarray, ndarray]] = []
    skipped = 0
    for week in weeks:
        past = world.purchases.before(week)
        history = History.empty(world.n_customers, world.n_stores, world.group)
        history.follow(past)
        shelf = world.shelves[week]
        earlier = [world.shelves[w].chain_offer() for w in range(week - 8, week) if w in world.shelves]
        offers = np.stack(earlier) if earlier else np.zeros((0, len(world.group), 4))
        market = build_market(past, week, shelf, offers, world.n_stores)
        if trips is TripSource.DATA:
            rows, true = world.purchases.week == week, world.purchases
            who = Trips(true.customer[rows], true.store[rows], true.timestamp[rows])
        else:
            who = simulate_trips(past, week, seed=seed)
        here = np.flatnonzero(shelf.row[who.store, category] >= 0)
        skipped += len(who) - len(here)
        X = describe_trips(history, market, who.customer[here], who.store[here], who.timestamp[here])[
            :, category
        ]
        parts.append(slate_occasions(shelf, who, here, np.full(len(here), category), week))
        last = history.memory.last_product[who.customer[here], category]
        tables.append((X.copy(), last, np.tile(market.offer_past[category], (len(here), 1))))
    occasions = Occasions(
        **{f: np.concatenate([getattr(p, f) for p in parts]) for f in Occasions.__dataclass_fields__}
    )
    features, last, usual = (np.concatenate(column) for column in zip(*tables, strict=True))
    if not len(occasions):
        raise OccasionError(
            f"no trip of weeks {list(weeks)} meets a slate of category {category}; choose another"
        )
    weight = np.ones(len(occasions))
    if most is not None and most < len(occasions):
        buy = deciders.incidence.probability(features, occasions.category).astype(float)
        keep, times = np.unique(sample_systematic(buy, 0.5, most), return_counts=True)
        weight = times * buy.sum() / (most * buy[keep])
        occasions, features, last, usual = occasions.take(keep), features[keep], last[keep], usual[keep]
    return CategoryMarket(category, occasions, weight, features, last, usual, skipped)
