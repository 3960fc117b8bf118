"""Lines of named products to choice occasions whose answer the popularity of the products does not give away.

For each invoice one line (in training up to two for A0 and four for B) is held out. Its product stands among
19 others of the same pool that are about as popular: the pool is ranked by invoices of the last 56 days, a
window of W ranks is laid so that the bought product's place in it is uniform, and 19 are drawn from it.
"""

from __future__ import annotations

import datetime
import zlib
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from numpy import ndarray

from malles.data.named_lines import NamedLines
from malles.errors import DataError
from malles.occasions.name_groups import held_out, name_groups
from malles.occasions.named_kernels import median_prices, newest_first
from malles.occasions.named_table import ALTERNATIVES, BASKET, HISTORY, REGIMES, SPLITS, NamedOccasions
from malles.vocabulary import PADDING


def day_number(text: str) -> int:
    """Days since 1970-01-01.

    >>> day_number("1970-01-03")
    2
    """
    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days


@dataclass(frozen=True)
class NamedRules:
    """How occasions are formed; the values of the benchmark are the defaults."""

    train: tuple[str, str] = ("2010-03-01", "2010-07-31")
    valid: tuple[str, str] = ("2010-08-01", "2010-08-31")
    test: tuple[str, str] = ("2010-09-01", "2010-11-30")
    new_days: int = 28
    """A product is new on the days 1 to 28 after its first sale."""
    sales_days: int = 56
    """Days that popularity and prices are taken from."""
    fewest_products: int = 3
    """Distinct products on the invoice."""
    fewest_history: int = 10
    """Distinct products bought on earlier days."""
    window: int = 100
    window_new: int = 25
    """W of B and CB: their pools are small, and a wider window would reveal popularity."""
    train_lines: dict[str, int] = field(default_factory=lambda: {"A": 1, "A0": 2, "B": 4})
    """Lines held out per invoice of the training days, by regime; everywhere else one."""
    seed: int = 1

    def days(self) -> tuple[tuple[int, int], ...]:
        """First and last day of every split."""
        return tuple((day_number(a), day_number(b)) for a, b in (self.train, self.valid, self.test))


@dataclass(frozen=True)
class Sales:
    """What was sold before each day, of every product."""

    first: int
    """Day of row 0."""
    invoices: Int32[ndarray, "day product"]
    """Invoices with the product on the days before the row's day, cumulated."""
    price: Float32[ndarray, "day product"]
    """Median unit price of the last 56 days; NaN where nothing was sold."""
    first_day: Int32[ndarray, " product"]
    """Day of the first sale; a day far ahead for a product that is never sold."""

    def within(self, day: int, days: int) -> Int32[ndarray, " product"]:
        """Invoices with each product on the last `days` days before a day."""
        row = day - self.first
        return np.asarray(self.invoices[row] - self.invoices[max(row - days, 0)])


def build_sales(lines: NamedLines, days: int = 56) -> Sales:
    """Cumulated invoices and median prices of every product before every day."""
    products, first, last = len(lines.names), int(lines.day.min()), int(lines.day.max()) + 1
    once = np.unique(np.column_stack([lines.day, lines.product, lines.invoice]), axis=0)
    daily = np.zeros((last - first + 1, products), np.int32)
    np.add.at(daily, (once[:, 0] - first + 1, once[:, 1]), 1)
    order = np.lexsort((lines.day, lines.product))
    first_day = np.full(products, np.iinfo(np.int32).max, np.int32)
    np.minimum.at(first_day, lines.product, lines.day)
    return Sales(
        first,
        daily.cumsum(axis=0, dtype=np.int32),
        median_prices(
            lines.product[order], lines.day[order], lines.price[order], products, first, last, days
        ),
        first_day,
    )


@dataclass(frozen=True)
class Pasts:
    """Lines of known customers sorted by customer and day, and where each customer's lie."""

    lines: NamedLines
    key: Int64[ndarray, " line"]

    def span(self, customer: ndarray, day: ndarray) -> tuple[ndarray, ndarray]:
        """First and one after the last line of each customer before each day."""
        base = customer.astype(np.int64) << 32
        return np.searchsorted(self.key, base), np.searchsorted(self.key, base + day)


def build_pasts(lines: NamedLines) -> Pasts:
    """Customers' lines in order of time."""
    known = np.flatnonzero(lines.customer >= 0)
    mine = lines.take(known[np.lexsort((known, lines.day[known], lines.customer[known]))])
    return Pasts(mine, (mine.customer.astype(np.int64) << 32) + mine.day)


def build_named_occasions(lines: NamedLines, rules: NamedRules | None = None) -> NamedOccasions:
    """All occasions of training, validation and test days.

    Nothing of the occasion's day or later decides candidates, prices or history; only which product was
    bought, and what else stood on the invoice.

    Raises:
        DataError: no invoice qualifies.
    """
    rules = rules or NamedRules()
    sales, pasts = build_sales(lines, rules.sales_days), build_pasts(lines)
    groups = name_groups(lines.names)
    hidden = held_out(groups)
    first_line, last_line, split = _invoices(lines, rules)
    customer, day = lines.customer[first_line], lines.day[first_line]
    history, number = newest_first(
        pasts.lines.product, *pasts.span(customer, day), len(lines.names), len(lines.names), PADDING
    )
    skipped = dict.fromkeys(("fewer products on the invoice", "shorter history", "pool of fewer than 20"), 0)
    rows: list[tuple[ndarray, ndarray, int, int, int, int]] = []
    for n in np.lexsort((lines.invoice[first_line], day)):
        basket = np.unique(lines.product[first_line[n] : last_line[n]])
        if len(basket) < rules.fewest_products:
            skipped["fewer products on the invoice"] += 1
            continue
        if number[n] < rules.fewest_history:
            skipped["shorter history"] += 1
            continue
        key = zlib.crc32(lines.invoice_key[lines.invoice[first_line[n]]].encode())
        rng = np.random.default_rng([rules.seed, key])
        past = history[n, : number[n]]
        train = split[n] == 0
        for r, offered in _pools(sales, hidden, int(day[n]), rules).items():
            regime = REGIMES.index(r)
            if train and regime > 2:
                continue
            pool = offered.copy()
            if r != "A":
                pool[past] = False
            targets = basket[pool[basket]]
            count = rules.train_lines.get(r, 1) if train else 1
            for target in rng.permutation(targets)[:count]:
                free = pool.copy()
                free[basket] = False
                free[target] = True
                ranked = _ranked(sales.within(int(day[n]), rules.sales_days), free, rng)
                width = rules.window_new if r in ("B", "CB") else rules.window
                shown = _candidates(ranked, int(target), width, rng)
                if shown is None:
                    skipped["pool of fewer than 20"] += 1
                    continue
                others = rng.permutation(basket[basket != target])
                rows.append((shown, others, int(n), regime, int(target), int(split[n])))
    if not rows:
        raise DataError(
            "no invoice became an occasion of named products: "
            + ", ".join(f"{v:,} {k}" for k, v in skipped.items())
            + ". They need 20 products on sale and customers with a history between the days of the rules."
        )
    of = np.array([r[2] for r in rows])
    product = np.array([r[0] for r in rows], np.int32)
    train = np.array([r[5] for r in rows]) == 0
    target = np.array([r[4] for r in rows])
    return NamedOccasions(
        product=product,
        price=np.take_along_axis(sales.price[day[of] - sales.first], product, 1),
        chosen=(product == target[:, None]).argmax(1).astype(np.int16),
        history=_padded([history[n, : number[n]] for n in of], train, hidden, HISTORY),
        basket=_padded([r[1] for r in rows], train, hidden, BASKET),
        regime=np.array([r[3] for r in rows], np.uint8),
        split=np.array([r[5] for r in rows], np.uint8),
        customer=customer[of],
        invoice=lines.invoice[first_line[of]],
        day=day[of],
        names=lines.names,
        group=groups,
        held_out=hidden,
        first_day=sales.first_day,
        skipped=skipped,
    )


def _invoices(lines: NamedLines, rules: NamedRules) -> tuple[ndarray, ndarray, ndarray]:
    """First and one after the last line, and the split, of each invoice of a known customer in a split."""
    order = np.flatnonzero(lines.customer >= 0)
    change = np.flatnonzero(np.diff(lines.invoice[order], prepend=-1))
    first, last = order[change], order[np.append(change[1:], len(order)) - 1] + 1
    split = np.full(len(first), len(SPLITS), np.uint8)
    for s, (begin, end) in enumerate(rules.days()):
        split[(lines.day[first] >= begin) & (lines.day[first] <= end)] = s
    inside = split < len(SPLITS)
    return first[inside], last[inside], split[inside]


def _pools(
    sales: Sales, hidden: Bool[ndarray, " product"], day: int, rules: NamedRules
) -> dict[str, Bool[ndarray, " product"]]:
    """Products that can be on offer on a day, by regime."""
    age = day - sales.first_day.astype(np.int64)
    sold = sales.within(day, rules.sales_days) > 0
    old, new = (age >= rules.new_days) & sold, (age >= 1) & (age <= rules.new_days) & sold
    seen = ~hidden
    return {"A": old & seen, "A0": old & seen, "B": new & seen, "C": old & hidden, "CB": new & hidden}


def _ranked(sold: ndarray, pool: ndarray, rng: np.random.Generator) -> Int64[ndarray, " rank"]:
    """Codes of the pool by sales, most first; ties at random."""
    inside = rng.permutation(np.flatnonzero(pool))
    return np.asarray(inside[np.argsort(-sold[inside], kind="stable")])


def _candidates(ranked: ndarray, target: int, width: int, rng: np.random.Generator) -> ndarray | None:
    """The bought product and 19 others of ranks around it, shuffled; None if there are too few."""
    if len(ranked) < ALTERNATIVES:
        return None
    place = int(np.flatnonzero(ranked == target)[0])
    width = min(width, len(ranked))
    start = int(np.clip(place - rng.integers(width), 0, len(ranked) - width))
    others = ranked[start : start + width]
    others = rng.permutation(others[others != target])[: ALTERNATIVES - 1]
    return np.asarray(rng.permutation(np.append(others, target)))


def _padded(
    rows: list[ndarray], train: ndarray, hidden: ndarray, width: int
) -> Int32[ndarray, "occasion place"]:
    """Rows of codes cut and padded to a width; training rows without held-out products."""
    out = np.full((len(rows), width), PADDING, np.int32)
    for i, row in enumerate(rows):
        kept = row[~hidden[row]][:width] if train[i] else row[:width]
        out[i, : len(kept)] = kept
    return out
