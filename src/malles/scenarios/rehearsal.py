"""One scenario on one category, decided and drawn: units, revenue and levies by draw, world, week, segment
and product.

    changes → what customers pay → what the models say → draws of people, parameters and luck → cube

`Desk` is made once per category and week; each scenario asks the models once and then only draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray

from malles.errors import OccasionError
from malles.population.simulation import Deciders, World
from malles.scenarios import cube_kernels as kernels
from malles.scenarios.category_market import CategoryMarket
from malles.scenarios.changes import Scenario
from malles.scenarios.conflicts import require_consistent, require_shelves
from malles.scenarios.counterfactual import Decide, Demand
from malles.scenarios.decide import build_ask, find_expansion, find_price_response, require_price_response
from malles.scenarios.inclusive_value import find_anchors, log_odds, unchanged_cells
from malles.scenarios.newcomer import Newcomer, add_column, drop_columns, join_newcomer, judge_newcomer
from malles.scenarios.policy import Pricing, pay_the_seller
from malles.scenarios.responses import Responses, certain, offer_columns
from malles.vocabulary import OTHER, PADDING, Occasions

NOTHING = np.float32(-1e30)
"""Log-probability of what is not there."""
EVERYONE = "everyone"


@dataclass(frozen=True)
class Segments:
    """Which segment each customer belongs to."""

    name: str
    label: tuple[str, ...]
    of_customer: Int[ndarray, " customer"]


@dataclass(frozen=True)
class Rehearsal:
    """What a scenario does, by draw and cell; quantities are units, revenue, levy."""

    product: Int[ndarray, " product"]
    """Codes; the last is `OTHER`, products outside the slates."""
    week: Int[ndarray, " cell"]
    segment: Int[ndarray, " cell"]
    segments: Segments
    central: Float[ndarray, "world cell product quantity"]
    """Expected, at the estimated parameters."""
    expected: Float[ndarray, "draw world cell product quantity"]
    """Expected, by draw of households and parameters."""
    drawn: Float[ndarray, "draw world cell product quantity"]
    """The same with the luck of every trip."""
    central_surplus: Float[ndarray, " cell"]
    """Change of consumer surplus by prices, - sum of (units before + after) / 2 x change of what is paid,
    currency; NaN where products leave or enter.
    """
    surplus: Float[ndarray, "draw cell"]
    parameter: Float[ndarray, "draw parameter"]
    occasions: int
    households: int
    customers: float
    """Customers that the households stand for."""


@dataclass
class Desk:
    """A category market with its models, ready for scenario after scenario."""

    market: CategoryMarket
    ask: Decide
    before: Demand
    weight: Float[ndarray, " occasion"]
    customers: float
    _response: list[float] = field(default_factory=list)
    _expansion: list[float] = field(default_factory=list)

    @classmethod
    def open(
        cls, market: CategoryMarket, world: World, deciders: Deciders, *, customers: float | None = None
    ) -> Self:
        """Ask the models once about the base world.

        Args:
            market: every trip of the category in some weeks.
            world: order lines before each week.
            deciders: incidence, choice and calibrated rate.
            customers: how many customers the households stand for; None = themselves.
        """
        ask = build_ask(market, world, deciders)
        return cls.of(market, ask, customers=customers)

    @classmethod
    def of(cls, market: CategoryMarket, ask: Decide, *, customers: float | None = None) -> Self:
        """The same of any function from occasions to demand."""
        people = len(np.unique(market.occasions.customer))
        scale = 1.0 if customers is None else customers / people
        return cls(market, ask, ask(market.occasions), market.weight * scale, customers or float(people))

    @property
    def price_response(self) -> float:
        """η of the category, - d utility / d log price; asked for once."""
        if not self._response:
            self._response.append(find_price_response(self.market, self.ask, self.before, self.weight))
        return self._response[0]

    @property
    def expansion(self) -> float:
        """λ of the category: how far purchases follow the inclusive value; asked for once."""
        if not self._expansion:
            self._expansion.append(find_expansion(self.market, self.ask, self.before, self.weight))
        return self._expansion[0]

    def rehearse(
        self,
        scenario: Scenario,
        *,
        newcomers: Sequence[tuple[int, Newcomer]] = (),
        pricing: Callable[[Occasions], Pricing] | None = None,
        segments: Segments | None = None,
        stock: Mapping[int, int] | None = None,
        responses: Responses | None = None,
        draws: int = 200,
        seed: int,
        households: bool = True,
        luck: bool = True,
    ) -> Rehearsal:
        """Both worlds, decided once and drawn `draws` times.

        Args:
            scenario: edits of the shelf.
            newcomers: new products, each with a code that the catalogue does not have.
            pricing: what policies make of the shelf; None = customers pay its prices to the seller.
            segments: customers in groups, for the outcome tables.
            stock: units of a product that a week has in the scenario.
            responses: response parameters and their spread; None = the model is taken for the truth.
            draws: resamples of households, parameters and luck.
            seed: of everything drawn.
            households: whether households are resampled; without it the panel is the population.
            luck: whether trips are drawn; without it `drawn` is `expected`.

        Raises:
            ConfigError: changes contradict each other.
            OccasionError: a shelf is left empty, or nothing is left to compare the worlds by.
        """
        require_consistent(scenario.changes)
        shelf = scenario.apply(self.market.occasions)
        require_shelves(shelf)
        for code, newcomer in newcomers:
            shelf = add_column(shelf, newcomer, code)
        priced = (pricing or pay_the_seller)(shelf)
        return _draw(self, priced, self._answer(priced.paid, newcomers), segments, stock or {},
                     responses or certain(), draws, seed, households, luck)  # fmt: skip

    def _answer(self, paid: Occasions, newcomers: Sequence[tuple[int, Newcomer]]) -> Demand:
        if paid is self.market.occasions:
            return self.before
        known = drop_columns(paid, len(newcomers))
        said = self.ask(known)
        price = paid.price[:, known.shape[1] :]
        found = [
            judge_newcomer(self.ask, known, said, newcomer, price[:, k])
            for k, (_, newcomer) in enumerate(newcomers)
        ]
        for value, units in found:
            said = join_newcomer(said, value, units)
        return said


def _draw(
    desk: Desk, pricing: Pricing, said: Demand, segments: Segments | None, stock: Mapping[int, int],
    responses: Responses, draws: int, seed: int, households: bool, luck: bool,
) -> Rehearsal:  # fmt: skip
    base, after, before = desk.market.occasions, pricing.paid, desk.before
    more = ((0, 0), (0, after.shape[1] - base.shape[1]))
    anchors = find_anchors(base, after)
    same = unchanged_cells(base, after)
    units0 = np.pad(before.units, more, constant_values=1.0)
    price0 = np.pad(base.price, more)
    value0 = log_probability(np.pad(before.probability, more), np.pad(base.available, more))
    value1 = log_probability(said.probability, after.available)
    (log_price0, bits0), (log_price1, bits1) = offer_columns(base), offer_columns(after)
    response = desk.price_response if anchors.by_price.any() else 0.0
    if anchors.by_price.any():
        require_price_response(response, desk.market.category)
    old = np.pad(base.product, more, constant_values=PADDING)
    stays = (old >= 0) & (old == after.product)
    dearer = np.where(stays, after.price.astype(float) - price0, 0.0)
    whole = np.zeros(len(base), bool) if pricing.whole is None else pricing.whole
    score = log_odds(before.buy)
    moved = log_odds(said.buy) - score
    follow = np.full(len(base), np.nan)
    level = (after.list_price[:, : base.shape[1]] != base.list_price).any(1) & anchors.touched
    if level.any():  # the usual price itself moves, which is no promotion
        follow[level] = desk.expansion
    codes = np.unique(np.concatenate([o.product[o.product >= 0] for o in (base, after)]))
    place = np.where(after.product >= 0, np.searchsorted(codes, np.maximum(after.product, 0)), len(codes))
    place = np.where(old >= 0, np.searchsorted(codes, np.maximum(old, 0)), place)
    groups = segments or Segments(EVERYONE, (EVERYONE,), np.zeros(int(base.customer.max()) + 1, int))
    weeks, week = np.unique(base.week, return_inverse=True)
    segment = groups.of_customer[base.customer]
    cell = segment * len(weeks) + week
    who, household = np.unique(base.customer, return_inverse=True)
    limit = np.full((len(weeks), len(codes) + 1), -1, np.int64)
    for code, units in stock.items():
        if code not in codes:
            raise OccasionError(f"product {code} stands on no shelf of these weeks, so its stock is no limit")
        limit[:, np.searchsorted(codes, code)] = units
    order = np.lexsort((np.arange(len(base)), base.timestamp))  # stock goes to those who come first
    rng = np.random.default_rng([seed, 72])
    count = np.ones((draws, len(who)))
    if households:
        count = np.stack([
            np.bincount(rng.integers(0, len(who), len(who)), minlength=len(who)) for _ in range(draws)
        ]).astype(float)  # fmt: skip
    given: tuple[Any, ...] = (
        value0, value1, np.pad(log_price0, more), log_price1, np.pad(bits0, more), bits1,
        anchors.known, pricing.shift.astype(np.float32), (-response * anchors.utility).astype(np.float32),
        score, moved, follow, before.other, units0, np.where(same, units0, said.units), before.other_units,
        dearer, whole, place, price0.astype(float), pricing.net, pricing.levy, cell, week,
        desk.weight, household, np.arange(len(base)),
    )  # fmt: skip
    if (np.diff(order) != 1).any():
        given = tuple(g[order] if isinstance(g, ndarray) else g for g in given)
    cells = len(groups.label) * len(weeks)

    def fill(parameter: ndarray, times: ndarray, lucky: bool) -> tuple[ndarray, ndarray, ndarray]:
        shape = (len(parameter), 2, cells, len(codes) + 1, 3)
        expected, drawn = np.zeros(shape), np.zeros(shape if lucky else (0, *shape[1:]))
        surplus = np.zeros((len(parameter), cells))
        fill_cube: Callable[..., None] = kernels.fill_cube
        fill_cube(*given, parameter, times, limit, seed, lucky, expected, drawn, surplus)
        return expected, drawn, surplus

    parameter = responses.draw(draws, seed)
    expected, drawn, surplus = fill(parameter, count, luck or bool(stock))
    central, _, middle = fill(responses.value[None], np.ones((1, len(who))), False)
    if ((old >= 0) & ~stays).any() or ((after.product >= 0) & ~stays).any():
        surplus[:], middle[:] = np.nan, np.nan  # what a product's presence is worth is not told
    if stock:  # what is sold out has no closed form
        expected, central = drawn, drawn.mean(0, keepdims=True)
    return Rehearsal(
        np.append(codes, OTHER), np.tile(weeks, len(groups.label)),
        np.repeat(np.arange(len(groups.label)), len(weeks)),
        groups, central[0], expected, drawn if luck else expected, middle[0], surplus, parameter,
        len(base), len(who), desk.customers,
    )  # fmt: skip


def log_probability(
    probability: Float[ndarray, "occasion alternative"], available: ndarray
) -> Float32[ndarray, "occasion alternative"]:
    """Logarithms; -1e30 where there is nothing."""
    there = (probability > 0) & available
    return np.where(there, np.log(np.where(there, probability, 1.0)), NOTHING).astype(np.float32)
