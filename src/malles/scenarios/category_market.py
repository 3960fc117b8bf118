"""One category of the market, ready for what-ifs: every trip of some weeks, and what its customers would do
there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32
from numpy import ndarray

from malles.errors import OccasionError
from malles.population.kernels import sample_systematic
from malles.population.simulation import Deciders, Trips, TripSource, World, simulate_trips, slate_occasions
from malles.profiles.incidence import History, Shelf, build_market, describe_trips, redescribe_shelves
from malles.scenarios.counterfactual import Decide, Demand
from malles.vocabulary import PADDING, Occasions

Units = Callable[[Occasions], Float[ndarray, "occasion alternative"]]
"""Expected units of each alternative, given that it is bought."""


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


def build_decide(
    market: CategoryMarket,
    world: World,
    deciders: Deciders,
    units: Units | None = None,
    *,
    consistent: bool = True,
) -> Decide:
    """The customers of a category market as a function of (possibly changed) occasions.

    Incidence sees the changed shelf through its offer columns; the choice model sees the changed occasions;
    units per purchase come from `units`, else from the incidence model's expected units of the category.

    Promotions of a category come in bundles, so the incidence model alone would credit one product's display
    with the others' promotions, and hand its customers to all of them. With `consistent`, the change is held
    within what utility maximisation allows (a nested logit with 0 <= λ <= 1): with U the unchanged
    alternatives and o = P(other),

        d = log(P_base(U) / P_new(U)),   o' = o / (o + (1 - o) e^d),   D = log(o + (1 - o) e^d)
        change of the incidence score = the model's, clipped to lie between 0 and D

    so that no unchanged alternative gains from another's price cut.

    Args:
        market: the trips.
        world: for the order lines before each week.
        deciders: incidence, choice and calibrated rate.
        units: quantity model; None = the category's expected units (unchanged alternatives keep those of the
            base world).
        consistent: hold incidence within the bounds of utility maximisation.

    Source: McFadden (1978) for the bounds of the inclusive value's coefficient.
    """
    rate = 1.0 if deciders.rate is None else float(deciders.rate[market.category])

    def ask(occasions: Occasions) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        row = np.zeros((1, 1), np.int32)  # one shelf per cell; no store looks its row up
        shelf = Shelf(
            row, occasions.product[:, 1:], occasions.price[:, 1:], occasions.list_price[:, 1:],
            occasions.promotion[:, 1:], occasions.rank[:, 1:].astype(np.int32),
        )  # fmt: skip
        X = redescribe_shelves(market.features, market.last_product, market.offer_past, shelf)
        said = deciders.incidence.predict(X, occasions.category)
        probability = np.zeros(occasions.product.shape)
        for week in np.unique(occasions.week):
            rows = np.flatnonzero(occasions.week == week)
            probability[rows] = deciders.choose(occasions.take(rows), world.lines.before(int(week)))
        if units is None:
            each = np.repeat(said.units.astype(float)[:, None], occasions.product.shape[1], 1)
        else:
            each = np.asarray(units(occasions), float)
        buy = np.minimum(said.buy.astype(float) * rate, 0.99)
        return buy, said.other.astype(float), probability, np.column_stack([said.units.astype(float), each])

    before = ask(market.occasions)

    def decide(occasions: Occasions) -> Demand:
        if len(occasions) != len(market.occasions):
            raise OccasionError(
                f"the market has {len(market.occasions)} occasions, got {len(occasions)}; change them with "
                "Scenario.apply, which keeps them all"
            )
        if occasions is market.occasions:
            buy, other, probability, each = before
            return Demand(buy, other, probability, each[:, 1:], each[:, 0])
        buy, other, probability, each = ask(occasions)
        if not consistent:
            return Demand(buy, other, probability, each[:, 1:], each[:, 0])
        buy0, other0, probability0, each0 = before
        base = market.occasions
        more = occasions.shape[1] - base.shape[1]  # columns of products that enter
        probability0, each0 = (np.pad(table, ((0, 0), (0, more))) for table in (probability0, each0))
        same = np.zeros(occasions.shape, bool)
        known = same[:, : base.shape[1]]
        known[:] = True
        for name in ("product", "price", "list_price", "promotion"):
            known &= getattr(occasions, name)[:, : base.shape[1]] == getattr(base, name)
        same[:, base.shape[1] :] = occasions.product[:, base.shape[1] :] == PADDING
        touched = ~same.all(1)
        old = np.maximum(np.where(same, probability0, 0).sum(1), 1e-6)
        new = np.maximum(np.where(same, probability, 0).sum(1), 1e-6)
        d = np.where(touched, np.log(old / new), 0.0)
        total = other0 + (1 - other0) * np.exp(d)
        D = np.log(total)
        score0 = np.log(buy0 / (1 - buy0))
        moved = np.log(buy / (1 - buy)) - score0
        score = score0 + np.clip(moved, np.minimum(D, 0.0), np.maximum(D, 0.0))
        quantity = each[:, 1:]
        if units is None:
            quantity = np.where(same, each0[:, 1:], quantity)
        return Demand(1 / (1 + np.exp(-score)), other0 / total, probability, quantity, each0[:, 0])

    return decide
