"""Small markets whose customers follow a known logit, for tests of what-ifs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from malles.scenarios.category_market import CategoryMarket
from malles.scenarios.counterfactual import Demand
from malles.scenarios.rehearsal import Pricing
from malles.vocabulary import OTHER, OUTSIDE, PADDING, Occasions

PRODUCTS = 5


def shelf_of(
    price: ndarray, *, customer: ndarray | None = None, week: ndarray | None = None,
    promotion: ndarray | None = None, available: ndarray | None = None,
) -> Occasions:  # fmt: skip
    """Occasions with products 0, 1, ... in columns 1, 2, ...; column 0 is the outside option."""
    n, J = price.shape
    there = np.ones((n, J), bool) if available is None else available

    def beside(table: ndarray, first: float, dtype: type) -> ndarray:
        return np.column_stack([np.full(n, first), table]).astype(dtype)

    zero = np.zeros(n, np.int32)
    return Occasions(
        customer=zero + np.arange(n, dtype=np.int32) if customer is None else customer.astype(np.int32),
        store=zero, basket=np.arange(n), week=(zero + 9 if week is None else week).astype(np.int16),
        timestamp=np.arange(n)[::-1].copy(), category=zero,
        product=beside(np.where(there, np.arange(J), PADDING), OUTSIDE, np.int32),
        price=beside(np.where(there, price, 0), 0, np.float32),
        list_price=beside(np.where(there, price, 0), 0, np.float32),
        promotion=beside(np.zeros((n, J)) if promotion is None else promotion * there, 0, np.uint8),
        available=beside(there, 0, bool), rank=beside(np.where(there, np.arange(J), -1), -1, np.int16),
        chosen=np.full(n, -1, np.int16), units=zero,
    )  # fmt: skip


def market_of(occasions: Occasions, weight: ndarray | None = None) -> CategoryMarket:
    """The market of these occasions alone, for a desk that asks a function."""
    n = len(occasions)
    return CategoryMarket(
        0, occasions, np.ones(n) if weight is None else weight, np.zeros((n, 1), np.float32),
        np.zeros(n, np.int32), np.zeros((n, 3)), 0,
    )  # fmt: skip


@dataclass(frozen=True)
class Logit:
    """V = constant - 2 log price + 0.5 display + 0.3 mailer; log-odds to buy = level + pull x log sum."""

    slope: float = 2.0
    level: float = -1.0
    pull: float = 0.7
    """Part of the inclusive value that incidence knows."""
    other: float = 0.1
    units: float = 1.5
    other_units: float = 1.2

    def utility(self, o: Occasions) -> ndarray:
        constant = 0.3 * np.maximum(o.product, 0)
        price = np.log(np.where(o.price > 0, o.price, 1.0).astype(float))
        V = constant - self.slope * price + 0.5 * (o.promotion & 1) + 0.15 * (o.promotion & 2)
        return np.where(o.available, V, -np.inf)

    def __call__(self, o: Occasions) -> Demand:
        weight = np.exp(self.utility(o))
        total, n = weight.sum(1), len(o)
        buy = 1 / (1 + np.exp(-self.level - self.pull * np.log(np.maximum(total, 1e-9))))
        units = np.where(o.product == 0, 1.0, self.units)
        return Demand(
            buy, np.full(n, self.other), weight / total[:, None], units, np.full(n, self.other_units)
        )


def random_market(n: int = 60, weeks: int = 2, seed: int = 0) -> CategoryMarket:
    """Trips of two weeks with their own prices, promotions, gaps on the shelf and weights."""
    rng = np.random.default_rng(seed)
    available = rng.random((n, PRODUCTS)) < 0.8
    available[:, [0, 4]] = True
    occasions = shelf_of(
        rng.uniform(1, 3, (n, PRODUCTS)).round(2), customer=np.sort(rng.integers(0, n // 2, n)),
        week=rng.integers(8, 8 + weeks, n), promotion=rng.integers(0, 4, (n, PRODUCTS)), available=available,
    )  # fmt: skip
    return market_of(occasions, rng.uniform(0.5, 2.5, n))


def tax_and_hint(shelf: Occasions) -> Pricing:
    """Customers pay a tenth more for products 1 and 2, which the state gets; product 2 is also worth less."""
    taxed = np.isin(shelf.product, (1, 2))
    paid = replace(shelf, price=np.where(taxed, shelf.price * np.float32(1.1), shelf.price))
    net = shelf.price.astype(float)
    return Pricing(paid, net, paid.price - net, np.where(shelf.product == 2, -0.4, 0.0))


def twin_of_the_cube(
    base: Occasions, pricing: Pricing, before: Demand, said: Demand, theta: ndarray, weight: ndarray,
    cell: ndarray, codes: ndarray, cells: int, response: float = 2.0,
) -> ndarray:  # fmt: skip
    """Expected [world, cell, product, quantity] at one parameter vector, row by row, from the formulas.

    P' proportional to P^s exp(θ x + u);  d = log(sum P exp(δ) / sum P') over the anchors;
    o' = o / (o + (1 - o) e^d), D = log(o + (1 - o) e^d),
    score' = score + level + clip(moved (1 + move), 0, D)
    """
    s, price, display, mailer, level, move = theta
    out = np.zeros((2, cells, len(codes), 3))
    place = {int(code): k for k, code in enumerate(codes)}
    for i in range(len(base)):
        worlds = []
        for o, P, shift in (
            (base, before.probability, None),
            (pricing.paid, said.probability, pricing.shift),
        ):
            weights = {}
            for j, code in enumerate(o.product[i].tolist()):
                if not o.available[i, j] or P[i, j] <= 0:
                    continue
                bits = int(o.promotion[i, j])
                x = price * np.log(float(o.price[i, j])) + display * (bits & 1 > 0) + mailer * (bits & 2 > 0)
                weights[code] = P[i, j] ** s * np.exp(x + (0.0 if shift is None else shift[i, j]))
            total = sum(weights.values())
            worlds.append({code: w / total for code, w in weights.items()})
        old, new = worlds
        column = {int(c): j for j, c in enumerate(base.product[i]) if c >= 0}
        after = {int(c): j for j, c in enumerate(pricing.paid.product[i]) if c >= 0}

        def alike(code: int, names: tuple[str, ...], i=i, column=column, after=after) -> bool:
            both = code in column and code in after
            return both and all(
                getattr(base, n)[i, column[code]] == getattr(pricing.paid, n)[i, after[code]] for n in names
            )

        anchors = [c for c in new if alike(c, ("price", "list_price", "promotion"))]
        step = 0.0
        if not anchors:
            anchors, step = [c for c in new if alike(c, ("promotion",))], -s * response + price
        delta = {
            c: pricing.shift[i, after[c]]
            + step * np.log(pricing.paid.price[i, after[c]] / float(base.price[i, column[c]]))
            for c in anchors
        }
        d = np.log(sum(old[c] * np.exp(delta[c]) for c in anchors) / sum(new[c] for c in anchors))
        o0 = before.other[i]
        total = o0 + (1 - o0) * np.exp(d)
        room = np.log(total)
        odds = [np.log(b[i] / (1 - b[i])) for b in (before.buy, said.buy)]
        shifted = (odds[1] - odds[0]) * (1 + move)
        scores = odds[0] + level, odds[0] + level + np.clip(shifted, min(room, 0), max(room, 0))
        for w, (score, off, P) in enumerate(zip(scores, (o0, o0 / total), worlds, strict=True)):
            buys = weight[i] / (1 + np.exp(-score))
            for code, p in P.items():
                j = (column if w == 0 else after)[code]
                unchanged = alike(code, ("price", "list_price", "promotion"))
                each = before.units[i, column[code]] if w == 0 or unchanged else said.units[i, j]
                units = buys * (1 - off) * p * each
                money = units * (float(base.price[i, j]) if w == 0 else pricing.net[i, j])
                levy = 0.0 if w == 0 else units * pricing.levy[i, j]
                out[w, cell[i], place[code]] += units, money, levy
            out[w, cell[i], place[OTHER], 0] += buys * off * before.other_units[i]
    return out
