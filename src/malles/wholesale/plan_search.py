"""One quantity of every product, the best within a budget and a shelf: prices of both, then a small program.

    bound(λ, μ) = λ budget + μ shelf + Σ_i max_k (gain[i, k] − λ money[i, k] − μ space[i, k])

is at least the gain of every choice. A quantity whose term lies further below its product's best than the
bound lies above a choice that is known belongs to no better choice, and is left out: nothing is lost, and of
thousands of quantities a few remain. A mixed-integer program chooses among them.

Source: Sinha & Zoltners (1979), Operations Research 27: the multiple-choice knapsack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

CELLS = 20_000
"""Quantities of all products together that the program chooses among; of more, those of the best terms."""
GAP = 5e-5
"""Share of the gain below which a choice counts as the best."""
HALVINGS = 60
"""Of the interval of a price."""


@dataclass(frozen=True)
class Limits:
    """Of all products together; infinite = none."""

    money: float
    space: float

    def hold(self, money: ndarray | float, space: ndarray | float) -> ndarray:
        """Whether money and space lie within, but for rounding."""
        return np.asarray((money <= self.money + 1e-9) & (space <= self.space + 1e-9))


@dataclass(frozen=True)
class Menus:
    """The quantities of all products, one product after the other, fewest units first; none is always one."""

    start: ndarray
    """Place of each product's first quantity, which is 0 units."""
    owner: ndarray
    units: ndarray
    cost: ndarray
    """Per unit."""
    money: ndarray
    space: ndarray
    gain: ndarray
    """Expected profit beyond that of 0 units."""

    @classmethod
    def build(cls, offers: Sequence[tuple[ndarray, ndarray, ndarray, float]]) -> Menus:
        """From units, unit costs, gains and space per unit of every product."""
        sizes = [len(units) for units, *_ in offers]
        units, cost, gain = (np.concatenate([o[k] for o in offers]) for k in range(3))
        room = np.repeat([o[3] for o in offers], sizes)
        start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        owner = np.repeat(np.arange(len(offers)), sizes)
        return cls(start, owner, units, cost, cost * units, room * units, gain)

    def best(self, worth: ndarray) -> ndarray:
        """Place of every product's quantity of the highest worth; of equals the fewest units."""
        top = np.maximum.reduceat(worth, self.start)
        places = np.flatnonzero(worth >= top[self.owner])
        return places[np.unique(self.owner[places], return_index=True)[1]]


def find_choice(menus: Menus, limits: Limits, seconds: float) -> tuple[ndarray, float]:
    """(Place of every product's quantity, how far its gain can be below the best as a share of it).

    Args:
        menus: what every product offers.
        limits: of all together.
        seconds: for the program at most.
    """
    free = menus.best(menus.gain)
    if limits.hold(menus.money[free].sum(), menus.space[free].sum()):
        return free, 0.0
    price, rent = find_prices(menus, limits)
    worth = menus.gain - price * menus.money - rent * menus.space
    top = np.maximum.reduceat(worth, menus.start)
    bound = float(top.sum()) + sum(
        p * limit for p, limit in ((price, limits.money), (rent, limits.space)) if p > 0
    )
    chosen = better_alone(menus, _within(menus, limits, price, rent), limits)
    gain = float(menus.gain[chosen].sum())
    if bound - gain > GAP * gain:
        loss = top[menus.owner] - worth
        core = np.flatnonzero(loss <= bound - gain + 1e-9)
        whole = len(core) <= CELLS
        if not whole:
            near = core[np.argsort(loss[core], kind="stable")[: CELLS - len(chosen)]]
            core = np.union1d(near, chosen)
        found, above = _program(menus, core, limits, seconds)
        if found is not None:
            found = better_alone(menus, found, limits)
            if menus.gain[found].sum() > gain:
                chosen, gain = found, float(menus.gain[found].sum())
        if whole:
            bound = min(bound, max(above, gain))
    gap = max(bound - gain, 0.0)
    return chosen, gap / gain if gain > 0 else float(gap > 1e-9)


def find_prices(menus: Menus, limits: Limits) -> tuple[float, float]:
    """Prices of money and of space at which the bound is lowest; with both limits, to a few digits."""
    if np.isinf(limits.space):
        return _halve(menus, menus.gain, menus.money, limits.money), 0.0
    if np.isinf(limits.money):
        return 0.0, _halve(menus, menus.gain, menus.space, limits.space)
    price = rent = 0.0
    for _ in range(8):  # each in turn: any pair bounds the gain, a better one only leaves more out
        price = _halve(menus, menus.gain - rent * menus.space, menus.money, limits.money)
        rent = _halve(menus, menus.gain - price * menus.money, menus.space, limits.space)
    return price, rent


def _halve(menus: Menus, worth: ndarray, weight: ndarray, limit: float) -> float:
    """The lowest price of a weight at which what every product likes best stays within the limit."""
    some = weight > 1e-9
    low, high = 0.0, float(np.max(worth[some] / weight[some], initial=0.0)) * (1 + 1e-9) + 1e-12
    if weight[menus.best(worth)].sum() <= limit:
        return 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if weight[menus.best(worth - middle * weight)].sum() <= limit:
            high = middle
        else:
            low = middle
        if high - low <= 1e-12 * high:
            break
    return high


def _within(menus: Menus, limits: Limits, price: float, rent: float) -> ndarray:
    """What every product likes best at prices, raised until the limits hold; just below, what fits."""

    def liked(raised: float) -> ndarray:
        return menus.best(menus.gain - raised * (price * menus.money + rent * menus.space))

    def held(chosen: ndarray) -> bool:
        return bool(limits.hold(menus.money[chosen].sum(), menus.space[chosen].sum()))

    raises = (1.05**k for k in range(200))
    chosen = next((c for c in map(liked, raises) if held(c)), menus.start).copy()
    more = liked(1 - 1e-9)
    for i in np.flatnonzero(more != chosen):  # of products that waver, as many as fit take the larger one
        before, chosen[i] = chosen[i], more[i]
        if not held(chosen):
            chosen[i] = before
    return chosen


def better_alone(menus: Menus, chosen: ndarray, limits: Limits) -> ndarray:
    """The choice after every change of one product that adds gain within the limits, the largest first."""
    chosen = chosen.copy()
    while True:
        money = menus.money[chosen].sum() - menus.money[chosen][menus.owner] + menus.money
        space = menus.space[chosen].sum() - menus.space[chosen][menus.owner] + menus.space
        added = np.where(limits.hold(money, space), menus.gain - menus.gain[chosen][menus.owner], -np.inf)
        place = int(added.argmax())
        if added[place] <= 1e-9:
            return chosen
        chosen[menus.owner[place]] = place


def _program(menus: Menus, core: ndarray, limits: Limits, seconds: float) -> tuple[ndarray | None, float]:
    """(The best choice among some places, None if the time was too short; no gain among them is above)."""
    owner, gain = menus.owner[core], menus.gain[core]
    products, row = np.unique(owner, return_inverse=True)
    cells = np.arange(len(core))
    one = csr_array((np.ones(len(core)), (row, cells)), shape=(len(products), len(core)))
    rows = [LinearConstraint(one, 1, 1)]
    for weight, limit in ((menus.money, limits.money), (menus.space, limits.space)):
        if np.isfinite(limit):
            rows.append(LinearConstraint(csr_array(weight[core][None, :]), -np.inf, limit + 1e-9))
    found = milp(
        -gain, constraints=rows, integrality=np.ones(len(core)), bounds=Bounds(0, 1),
        options={"time_limit": seconds, "mip_rel_gap": GAP},
    )  # fmt: skip
    above = np.inf if found.mip_dual_bound is None else -float(found.mip_dual_bound)
    if found.x is None:
        return None, above
    taken = core[found.x > 0.5]  # the program rounds: what is not within the limits is no choice
    held = len(taken) == len(products) and limits.hold(menus.money[taken].sum(), menus.space[taken].sum())
    return (taken if held else None), above
