"""One simulated week: incidence in rounds, choice in the mean field, and the purchases drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from malles.errors import DataError
from malles.population.fixed_point import FixedPoint
from malles.population.kernels import choose, draw_units, uniform
from malles.population.mean_field import NO_REACTION, MeanField, WeekField, build_mean_field, solve_week
from malles.population.world import Deciders, Trips, World
from malles.profiles.incidence import History, Purchases, Shelf, build_market, describe_trips
from malles.vocabulary import OTHER, OUTSIDE, PADDING, Lines, Occasions

UNITS, PRODUCTS, ADJUST, PICKS = 1 << 30, 1 << 31, 1 << 32, 1 << 40
"""Where the draw keys of units, of the number of products, of calibrated units, of products begin; purchases
begin at 0.
"""

MOST_PRODUCTS = 4
"""Most distinct products drawn for one purchase; 0.4 % of the purchases in the Complete Journey data have
more.
"""


@dataclass(frozen=True)
class WeekResult:
    """One simulated week."""

    week: int
    trips: int
    expected_units: Float[ndarray, " category"]
    """Expected units of each category: all products, on the shelf or off it."""
    drawn_units: Int[ndarray, " category"]
    expected_purchases: Float[ndarray, " category"]
    other_units: Float[ndarray, " category"]
    """Part of `expected_units` that is bought outside the slates."""
    shelf_units: Float[ndarray, " product"]
    """Expected units of every product, bought off a slate it stands on."""
    product_units: Float[ndarray, " product"]
    """Expected units of every product: `shelf_units`, and its part of `other_units` as bought outside slates
    lately.
    """
    purchases: Purchases
    """What was drawn."""
    mean_field: MeanField
    """The state of the market in this week's drawn purchases on the shelves."""
    solved: WeekField
    """The mean field that the week's customers decided in."""
    asked: int
    """Occasions that the choice model decided."""

    @property
    def fixed_point(self) -> FixedPoint:
        """How the week's mean field was solved."""
        return self.solved.fixed_point


def slate_occasions(
    shelf: Shelf,
    trips: Trips,
    trip: Int[ndarray, " occasion"],
    category: Int[ndarray, " occasion"],
    week: int,
) -> Occasions:
    """Occasions of trips that buy in a category on the shelf: column 0 unavailable, then the slate.

    Args:
        shelf: shelves of the week; every (store, category) asked for must have a row.
        trips: all trips of the week.
        trip: trip of each occasion; also stands as its basket code.
        category: category of each occasion.
        week: the week.
    """
    row = shelf.row[trips.store[trip], category]
    if (row < 0).any():
        raise DataError(
            f"{int((row < 0).sum())} occasions have no slate; leave them out (they buy another product)"
        )
    n, J = len(row), shelf.product.shape[1] + 1

    def widen(values: ndarray, first: int) -> ndarray:
        table = np.empty((n, J), values.dtype)
        table[:, 0] = first
        table[:, 1:] = values[row]
        return table

    product = widen(shelf.product.astype(np.int32), OUTSIDE)
    product[:, 1:] = np.where(product[:, 1:] < 0, PADDING, product[:, 1:])
    return Occasions(
        customer=trips.customer[trip], store=trips.store[trip], basket=trip.astype(np.int64),
        week=np.full(n, week, np.int16), timestamp=trips.timestamp[trip], category=category.astype(np.int32),
        product=product, price=widen(shelf.price.astype(np.float32), 0),
        list_price=widen(shelf.list_price.astype(np.float32), 0), promotion=widen(shelf.promotion, 0),
        available=product >= 0, rank=widen(shelf.rank.astype(np.int16), -1),
        chosen=np.full(n, -1, np.int16), units=np.zeros(n, np.int32),
    )  # fmt: skip


def simulate_week(
    world: World, deciders: Deciders, week: int, trips: Trips, past: Purchases, lines: Lines,
    history: History,     offers: ndarray, seed: int,
) -> WeekResult:  # fmt: skip
    """Simulate the trips of one week; `history` moves on in place.

    Args:
        world: shelves and codes.
        deciders: the models.
        week: the week.
        trips: who goes where and when.
        past: purchases of earlier weeks.
        lines: order lines of earlier weeks, for the choice model.
        history: what households remember at the start of the week.
        offers: `Shelf.chain_offer` of up to eight earlier weeks.
        seed: of every draw.
    """
    shelf, C = world.shelves[week], len(world.group)
    market = build_market(past, week, shelf, offers, world.n_stores)
    rate = np.ones(C) if deciders.rate is None else deciders.rate
    first = np.ones(len(trips), bool)
    first[1:] = np.diff(trips.customer) != 0
    at = np.arange(len(trips))
    turn = at - np.maximum.accumulate(np.where(first, at, 0))  # 0 = the household's first trip of the week
    units, other, buys = np.zeros(C), np.zeros(C), np.zeros(C)
    best, likely = (
        np.zeros(C),
        np.zeros((2, C)),
    )  # the likeliest cell on a shelf: its trip, its expected units
    # of the purchases drawn: trip, category, units drawn, E[units], E[products], P(other)
    cells: list[ndarray] = []
    for r in range(int(turn.max(initial=-1)) + 1):
        rows = np.flatnonzero(turn == r)
        X = describe_trips(history, market, trips.customer[rows], trips.store[rows], trips.timestamp[rows])
        category = np.tile(np.arange(C), len(rows))
        said = deciders.incidence.predict(X.reshape(len(category), -1), category)
        del X
        trip = np.repeat(rows, C)
        buy = np.minimum(said.buy * rate[category], 0.99)
        off = np.where(shelf.row[trips.store[trip], category] < 0, 1.0, said.other)
        units += np.bincount(category, buy * said.units, minlength=C)
        other += np.bincount(category, buy * said.units * off, minlength=C)
        buys += np.bincount(category, buy, minlength=C)
        u = uniform(seed, week, trips.customer[trip], turn[trip] * C + category)
        hit = np.flatnonzero(u < buy)
        shelf_units = (buy * said.units * (1 - off)).reshape(len(rows), C)
        top = shelf_units.argmax(0)
        better = shelf_units[top, np.arange(C)] > best
        best[better] = shelf_units[top, np.arange(C)][better]
        likely[:, better] = np.stack([rows[top], best])[:, better]
        draw = turn[trip[hit]] * C + category[hit]
        # for the memory of this week's next trip the category and the units matter, the product does not yet
        count = draw_units(said.units[hit], uniform(seed, week, trips.customer[trip[hit]], UNITS + draw))
        if deciders.adjust_units is not None:
            luck = uniform(seed, week, trips.customer[trip[hit]], ADJUST + draw)
            count = deciders.adjust_units(count.astype(np.int64), luck)
        cells.append(
            np.stack([trip[hit], category[hit], count, said.units[hit], said.products[hit], off[hit]]).astype(
                float
            )
        )
        ones = np.ones(len(hit), np.int64)
        history.follow(
            _build_purchases(
                trips, rows, trip[hit], category[hit], ones, np.full(len(hit), OTHER), count, week
            )
        )
    table = np.concatenate(cells, 1) if cells else np.zeros((6, 0))
    table = table[:, np.lexsort((table[1], table[0]))]
    trip, category, count = (table[i].astype(np.int64) for i in range(3))
    expected, off = table[3], table[5]
    on_shelf = np.flatnonzero(shelf.row[trips.store[trip], category] >= 0)
    # a category that nobody happened to buy on a shelf still has expected units: its likeliest trip
    # stands for them
    alone = np.flatnonzero((best > 0) & (np.bincount(category[on_shelf], minlength=C) == 0))
    asked_trip = np.concatenate([trip[on_shelf], likely[0, alone].astype(np.int64)])
    asked_category = np.concatenate([category[on_shelf], alone])
    occasions = slate_occasions(shelf, trips, asked_trip, asked_category, week)
    probability = np.asarray(deciders.choose(occasions, lines), float)
    weight = np.concatenate([(expected * (1 - off))[on_shelf], likely[1, alone]])
    by_category = np.bincount(asked_category, weight, minlength=C)
    weight = weight * ((units - other) / np.maximum(by_category, 1e-9))[asked_category]
    short, long = (
        product_shares(past, end, max(w, 1), world.category_of_product, C)
        for end, w in ((week, 1), (week - 1, deciders.window))
    )
    reaction = deciders.reaction if deciders.window else NO_REACTION
    solved = solve_week(
        probability, occasions.product, weight, short, long, reaction, world.category_of_product, C
    )
    probability = solved.probability
    there = occasions.product >= 0
    shelf_units = np.bincount(
        occasions.product[there],
        (probability * weight[:, None])[there],
        minlength=len(world.category_of_product),
    )
    product_units = shelf_units + outside_units(world, past, week, other)
    # the products drawn: each is another product, or one of the slate that was not drawn before
    distinct = np.minimum(
        draw_units(table[4], uniform(seed, week, trips.customer[trip], PRODUCTS + trip * C + category)), count
    )
    place = np.full(len(trip), -1)
    place[on_shelf] = np.arange(len(on_shelf))
    left = probability.copy()
    picks: list[ndarray] = []
    for k in range(MOST_PRODUCTS):
        rows = np.flatnonzero(distinct > k)
        key = PICKS + (trip[rows] * C + category[rows]) * (2 * MOST_PRODUCTS) + 2 * k
        u, v = (uniform(seed, week, trips.customer[trip[rows]], key + i) for i in range(2))
        item = np.full(len(trip), PADDING, np.int64)
        item[rows] = OTHER
        take = rows[(place[rows] >= 0) & (u >= off[rows])]
        column = choose(left[place[take]], v[np.isin(rows, take)])
        item[take] = np.where(column >= 0, occasions.product[place[take], column], OTHER)
        left[place[take], np.maximum(column, 0)] = 0.0
        picks.append(item)
    distinct = np.minimum(distinct, MOST_PRODUCTS)
    items = np.stack(picks, 1)
    share = np.where(np.arange(MOST_PRODUCTS) < distinct[:, None], 1, 0)
    share[:, 0] += count - distinct
    used = share > 0
    final = _build_purchases(
        trips, np.arange(len(trips)), trip, category, distinct, items[used], share[used], week
    )
    history.memory.last_product[trips.customer[trip], category] = items[:, 0]
    bought = drawn_lines(final, shelf)
    field = build_mean_field(
        bought.product, bought.quantity.astype(float), bought.price, bought.list_price,
        world.category_of_product, C, shelf.row >= 0,
    )  # fmt: skip
    return WeekResult(
        week=week, trips=len(trips), expected_units=units,
        drawn_units=np.bincount(category, count, minlength=C).astype(np.int64), expected_purchases=buys,
        other_units=other, shelf_units=shelf_units, product_units=product_units, purchases=final,
        mean_field=field, solved=solved, asked=len(occasions),
    )  # fmt: skip


def _build_purchases(
    trips: Trips, rows: ndarray, trip: ndarray, category: ndarray, distinct: ndarray, item: ndarray,
    units: ndarray, week: int,
) -> Purchases:  # fmt: skip
    """Purchases of the trips `rows`; purchases and items in order of (trip, category)."""

    def starts(counts: ndarray) -> ndarray:
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    counts = np.bincount(np.searchsorted(rows, trip), minlength=len(rows))
    return Purchases(
        trips.customer[rows], trips.store[rows], -1 - (np.int64(week) << 32) - rows.astype(np.int64),
        np.full(len(rows), week, np.int32), trips.timestamp[rows], starts(counts), category.astype(np.int32),
        starts(distinct), item.astype(np.int32), units.astype(np.int32),
    )  # fmt: skip


def outside_units(world: World, past: Purchases, week: int, other: ndarray) -> ndarray:
    """Units outside the slates by product, in proportion to what was bought outside them in the last eight
    weeks.
    """
    C, bought = len(other), np.zeros(len(world.category_of_product))
    for w in range(week - 8, week):
        if w in world.shelves:
            then = past.take(past.week == w)
            trip = then.trip[then.purchase_of_item]
            shelf = world.shelves[w]
            row = shelf.row[then.store[trip], then.category[then.purchase_of_item]]
            off = (then.item >= 0) & ((row < 0) | ~(shelf.product[row] == then.item[:, None]).any(1))
            bought += np.bincount(then.item[off], then.item_units[off], minlength=len(bought))
    category = np.maximum(world.category_of_product, 0)
    bought[world.category_of_product < 0] = 0.0
    total = np.bincount(category, bought, minlength=C)
    return np.asarray(bought * (other / np.maximum(total, 1e-12))[category])


def product_shares(
    past: Purchases, week: int, window: int, category_of_product: ndarray, n_categories: int
) -> ndarray:
    """Share of every product in its category's units over the weeks before `week`; other products count in
    the total.
    """
    rows = (past.week >= week - window) & (past.week < week)
    recent = past.take(rows)
    known = recent.item >= 0
    units = np.bincount(recent.item[known], recent.item_units[known], minlength=len(category_of_product))
    total = np.bincount(recent.category, recent.units, minlength=n_categories)
    share = units / np.maximum(total[np.maximum(category_of_product, 0)], 1.0)
    return np.where(category_of_product >= 0, share, 0.0)


def drawn_lines(purchases: Purchases, shelf: Shelf) -> Lines:
    """Order lines of simulated purchases; products outside the slates have no code and make no line."""
    known = purchases.item >= 0
    purchase = purchases.purchase_of_item[known]
    trip = purchases.trip[purchase]
    item = purchases.item[known]
    row = shelf.row[purchases.store[trip], purchases.category[purchase]]
    column = (shelf.product[row] == item[:, None]).argmax(1)
    return Lines(
        purchases.customer[trip], purchases.store[trip], item, purchases.basket[trip],
        purchases.week[trip].astype(np.int16), purchases.timestamp[trip], purchases.item_units[known],
        shelf.price[row, column].astype(np.float32), shelf.list_price[row, column].astype(np.float32),
    )  # fmt: skip


def append_lines(lines: Lines, more: Lines) -> Lines:
    """Both tables, sorted by (timestamp, basket, product)."""
    names = Lines.__dataclass_fields__
    both = Lines(**{name: np.concatenate([getattr(lines, name), getattr(more, name)]) for name in names})
    return both.take(np.lexsort((both.product, both.basket, both.timestamp)))
