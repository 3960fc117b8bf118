"""What a plan may set: prices and displays of some products in some weeks, and what can be counted of it.

A plan is one option for every axis. "As today" is an option of every axis, so the base world is a plan too.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from malles.vocabulary import Occasions, Promotion

PROMOTED = 0.05
"""Part below the list price from which a week counts as a promotion."""

LOOKED_AT = 50
"""Plans that are counted for every plan that a grid may ask."""

Plan = tuple[int, ...]
"""Number of the option of every axis."""
Option = float | bool | None
"""A price, a display on or off; None = as today."""


@dataclass(frozen=True)
class Today:
    """A product in one week of the base world."""

    week: int
    price: float
    """Median over its trips, currency."""
    list_price: float
    display: bool
    """Whether it is on display for most of its trips."""


@dataclass(frozen=True)
class Lever:
    """A product in the weeks that are decided together."""

    product: int
    today: tuple[Today, ...]
    prices: tuple[float | None, ...]
    """In the order of their height; None = as today stands among them."""
    displays: tuple[bool | None, ...]


@dataclass(frozen=True)
class Axis:
    """One decision."""

    lever: int
    field: str
    """"price" or "display"."""
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Limits:
    """What can be counted without asking the market; None = no limit."""

    most_displays: int | None = None
    promo_weeks_at_most: int | None = None
    price_change_at_most: float | None = None


@dataclass(frozen=True)
class PlannedWeek:
    """One row of the table of a plan."""

    product: int
    week: int
    price_today: float
    price: float
    display_today: bool
    display: bool
    changed: bool
    """Whether anything is set anew."""
    promoted: bool
    """On display, or at least 5 % below the list price."""


@dataclass(frozen=True)
class PlanSpace:
    """Every plan that can be written down."""

    levers: tuple[Lever, ...]
    limits: Limits = Limits()

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """Decisions with more than one option."""
        every = (
            Axis(i, field, options)
            for i, lever in enumerate(self.levers)
            for field, options in (("price", lever.prices), ("display", lever.displays))
        )
        return tuple(axis for axis in every if len(axis.options) > 1)

    @property
    def base(self) -> Plan:
        """Everything as today."""
        return tuple(axis.options.index(None) for axis in self.axes)

    def decisions(self, plan: Plan) -> list[tuple[Lever, float | None, bool | None]]:
        """Price and display of every lever; None = as today."""
        found: dict[tuple[int, str], Option] = {
            (axis.lever, axis.field): axis.options[place] for axis, place in zip(self.axes, plan, strict=True)
        }
        out = []
        for i, lever in enumerate(self.levers):
            price, display = found.get((i, "price")), found.get((i, "display"))
            out.append(
                (lever, None if price is None else float(price), None if display is None else bool(display))
            )
        return out

    def rows(self, plan: Plan) -> list[PlannedWeek]:
        """The plan by product and week."""
        rows = []
        for lever, price, display in self.decisions(plan):
            for now in lever.today:
                then = now.price if price is None else price
                shown = now.display if display is None else display
                rows.append(PlannedWeek(
                    lever.product, now.week, now.price, then, now.display, shown,
                    price is not None or display is not None,
                    shown or _is_promotion(then, now),
                ))  # fmt: skip
        return sorted(rows, key=lambda row: (_first(self.levers, row.product), row.week))

    def slack(self, plan: Plan) -> dict[str, float]:
        """How far every counted limit is from being broken; below 0 = broken."""
        rows, out = self.rows(plan), {}
        if self.limits.most_displays is not None:
            shown = Counter(row.week for row in rows if row.display)
            out["most_displays"] = float(self.limits.most_displays - max(shown.values(), default=0))
        if self.limits.promo_weeks_at_most is not None:
            weeks = Counter(row.product for row in rows if row.promoted)
            out["promo_weeks_at_most"] = float(
                self.limits.promo_weeks_at_most - max(weeks.values(), default=0)
            )
        if self.limits.price_change_at_most is not None:
            moved = max(abs(row.price / row.price_today - 1) for row in rows)
            out["price_change_at_most"] = float(self.limits.price_change_at_most - moved)
        return out

    def holds(self, plan: Plan) -> bool:
        """Whether no counted limit is broken."""
        if self.limits.most_displays is None and self.limits.promo_weeks_at_most is None:
            return True  # prices too far from today's are no options
        return min(self.slack(plan).values(), default=0.0) >= -1e-9

    @cached_property
    def calm(self) -> Plan:
        """As few displays and promotions as can be, and otherwise as near to today as can be."""
        plan = list(self.base)
        for i, axis in enumerate(self.axes):
            lever = self.levers[axis.lever]
            if axis.field == "display" and False in axis.options:
                plan[i] = axis.options.index(False)
            if axis.field == "price" and any(_is_promotion(now.price, now) for now in lever.today):
                full = [
                    j for j, price in enumerate(axis.options)
                    if price is not None and not any(_is_promotion(float(price), now) for now in lever.today)
                ]  # fmt: skip
                plan[i] = min(full, default=len(axis.options) - 1)
        return tuple(plan)

    def repair(self, plan: Plan, order: Sequence[int]) -> Plan:
        """A plan near this one that breaks no counted limit, if there is any.

        The calm plan takes over the levers of this one in a given order, each if nothing breaks.
        """
        if self.holds(plan):
            return plan
        out = self.calm
        for lever in order:
            mine = [i for i, axis in enumerate(self.axes) if axis.lever == lever]
            tried = tuple(plan[i] if i in mine else option for i, option in enumerate(out))
            out = tried if self.holds(tried) else out
        return out

    @property
    def size(self) -> int:
        """How many plans there are."""
        return math.prod(len(axis.options) for axis in self.axes)

    def neighbours(self, plan: Plan) -> Iterator[Plan]:
        """Every plan one or two steps away on one axis or on each of two, the nearest first.

        Steps on two axes follow the edge of a constraint: what one gives up, the other takes.
        """
        near = (-1, 1, -2, 2)
        moves: list[tuple[tuple[int, int], ...]] = [
            ((i, step),) for i in range(len(self.axes)) for step in near
        ]
        pairs = itertools.combinations(range(len(self.axes)), 2)
        moves += [((i, a), (k, b)) for i, k in pairs for a in near for b in near]
        for move in sorted(moves, key=lambda move: sum(abs(step) for _, step in move)):
            out = list(plan)
            for i, step in move:
                out[i] += step
            if all(0 <= out[i] < len(self.axes[i].options) for i, _ in move):
                yield tuple(out)


def _is_promotion(price: float, now: Today) -> bool:
    return price <= (1 - PROMOTED) * now.list_price + 1e-9


def build_lever(
    base: Occasions, product: int, weeks: Sequence[int], points: Sequence[float], *,
    display: bool, price_change_at_most: float | None = None,
) -> Lever | None:  # fmt: skip
    """The options of a product in weeks that are decided together; None if it stands on no shelf there.

    Args:
        base: trips of the base world.
        product: code.
        weeks: decided together.
        points: price points; those farther from a week's price than allowed are left out.
        display: whether it may be put on display or taken off.
        price_change_at_most: relative distance from today's price.
    """
    cells = (base.product == product) & base.available
    here = {int(w): cells & (base.week == w)[:, None] for w in weeks}
    here = {week: there for week, there in here.items() if there.any()}
    if not here:
        return None
    shown = (base.promotion & int(Promotion.DISPLAY)) > 0
    today = tuple(
        Today(
            week, float(np.median(base.price[there])), float(np.median(base.list_price[there])),
            bool(shown[there].mean() > 0.5),
        )
        for week, there in here.items()
    )  # fmt: skip
    every = np.logical_or.reduce(list(here.values()))
    paid, where = base.price[every], shown[every]
    far = np.inf if price_change_at_most is None else price_change_at_most + 1e-9
    kept = [p for p in points if max(abs(p / now.price - 1) for now in today) <= far]
    kept = [p for p in kept if not np.allclose(paid, p, rtol=1e-6, atol=0)]  # today's price for every trip
    middle = float(np.median(paid))
    prices = (*(p for p in kept if p <= middle), None, *(p for p in kept if p > middle))
    off, on = (() if not where.any() else (False,)), (() if where.all() else (True,))
    return Lever(product, today, prices, (*off, None, *on) if display else (None,))


@dataclass(frozen=True)
class Grid:
    """Plans that are all asked."""

    plans: tuple[Plan, ...]
    """Those that break no counted limit."""
    words: str
    """How many options of how many."""
    whole: bool
    """Whether it holds every plan of the space that breaks no counted limit."""


def build_grid(space: PlanSpace, most: int) -> Grid:
    """Every plan that breaks no counted limit, or evenly thinned options where these are more than `most`.

    Options are thinned to no fewer than two an axis; where that is still too many, weeks of a product are
    decided together, and then thinned as far as it takes. Today's plan is always one point more.
    """
    full = [len(axis.options) for axis in space.axes]
    count = _thin(full, LOOKED_AT * most, 2)
    while math.prod(count) <= LOOKED_AT * most:
        options = [_spread(n, k) for n, k in zip(full, count, strict=True)]
        plans = _holding(space, itertools.product(*options))
        if len(plans) <= most:
            whole = count == full
            words = _times(full) if whole else f"{_times(count)} of {_times(full)}"
            return Grid(plans if whole else _with(space, plans), words, whole)
        if max(count, default=0) <= 2:
            break
        count = _thin(count, math.prod(count) - 1, 2)
    groups: dict[tuple[int, str], list[int]] = {}
    for i, axis in enumerate(space.axes):
        groups.setdefault((space.levers[axis.lever].product, axis.field), []).append(i)
    shared = [_shared(space, members) for members in groups.values()]
    count = _thin([len(options) for options in shared], most, 1)
    chosen = [
        [options[j] for j in _spread(len(options), k)] for options, k in zip(shared, count, strict=True)
    ]

    def alike(values: Sequence[Option]) -> Plan:
        plan = list(space.base)
        for members, value in zip(groups.values(), values, strict=True):
            for i in members:
                plan[i] = space.axes[i].options.index(value)
        return tuple(plan)

    words = f"{_times(count)} of {_times([len(s) for s in shared])}, all weeks of a product alike"
    plans = _holding(space, (alike(values) for values in itertools.product(*chosen)))
    return Grid(_with(space, plans), words, False)


def _holding(space: PlanSpace, plans: Iterable[Plan]) -> tuple[Plan, ...]:
    return tuple(plan for plan in plans if space.holds(plan))


def _shared(space: PlanSpace, members: Sequence[int]) -> list[Option]:
    """Options that every axis of a group knows."""
    axes = [space.axes[i] for i in members]
    return [value for value in axes[0].options if all(value in axis.options for axis in axes)]


def _thin(count: Sequence[int], most: int, least: int) -> list[int]:
    """Options per axis, the longest axis shortened first, until their product is at most `most`."""
    out = list(count)
    while math.prod(out) > most and max(out) > least:
        out[int(np.argmax(out))] -= 1
    return out


def _spread(n: int, k: int) -> list[int]:
    return [int(i) for i in np.unique(np.linspace(0, n - 1, k).round())] if k > 1 else [n // 2]


def _with(space: PlanSpace, plans: tuple[Plan, ...]) -> tuple[Plan, ...]:
    return tuple(dict.fromkeys((*_holding(space, [space.base]), *plans)))


def _times(count: Sequence[int]) -> str:
    return " x ".join(map(str, count)) or "1"


def _first(levers: Sequence[Lever], product: int) -> int:
    return next(i for i, lever in enumerate(levers) if lever.product == product)
