"""Small catalogues and occasions for the tests of profiles and head: drawn at random, or written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from malles.vocabulary import (
    OTHER,
    OUTSIDE,
    PADDING,
    Catalogue,
    Lines,
    Occasions,
    Offers,
    Products,
    PromotionTable,
)

DAY = 86_400
WEEK = 7 * DAY


def catalogue_of(
    rows, products, *, stores=1, customers=None, promotions=(), groups=("FOOD",), categories=None
):
    """rows: (customer, store, product, basket, week, timestamp, quantity, price, list price);
    products: (category, manufacturer, private label, size, amount); promotions: (week, store, product, kind).
    """
    rows = sorted(rows, key=lambda r: (r[5], r[3], r[2]))
    kinds = (np.int32, np.int32, np.int32, np.int64, np.int16, np.int64, np.int32, np.float32, np.float32)
    columns = [np.array([r[k] for r in rows], kind) for k, kind in enumerate(kinds)]
    n = len(products)
    table = np.array(sorted(promotions), np.int64).reshape(-1, 4)
    count = customers or int(columns[0].max()) + 1
    many = categories or max(p[0] for p in products) + 1
    code = np.array([p[0] for p in products], np.int32)
    nobody = np.zeros(0, np.int32)
    return Catalogue(
        name="test",
        currency="EUR",
        lines=Lines(*columns),
        products=Products(
            key=pl.Series("key", [f"p{k}" for k in range(n)]),
            category=code,
            group=np.where(code >= 0, 0, -1).astype(np.int32),
            department=np.zeros(n, np.int32),
            manufacturer=np.array([p[1] for p in products], np.int32),
            private_label=np.array([p[2] for p in products], bool),
            size=np.array([p[3] for p in products], np.int32),
            amount=np.array([p[4] for p in products], np.float32),
            text=pl.Series("text", [f"product {k}" for k in range(n)]),
        ),
        category_name=tuple(f"FOOD | TYPE {k}" for k in range(many)),
        group_name=tuple(groups),
        customer_key=pl.Series("customer", [f"c{k}" for k in range(count)]),
        store_key=pl.Series("store", [f"s{k}" for k in range(stores)]),
        customers=pl.DataFrame(
            {
                "customer": [f"c{k}" for k in range(count)],
                "age": [("25-34", None, "65+")[k % 3] for k in range(count)],
            }
        ),
        promotions=PromotionTable(
            table[:, 0].astype(np.int16), table[:, 1].astype(np.int32),
            table[:, 2].astype(np.int32), table[:, 3].astype(np.uint8),
        ),
        offers=Offers(nobody, nobody, nobody.astype(np.int64), nobody.astype(np.int64)),
        choice_store=np.ones(stores, bool),
    )  # fmt: skip


def occasions_of(rows, slate, price=None, *, list_price=None, promotion=None, other=False):
    """rows: (customer, store, basket, week, timestamp, category, chosen column); the same slate for each."""
    n, width = len(rows), len(slate)
    product = np.full((n, width + 2), PADDING, np.int32)
    product[:, 0] = OUTSIDE
    product[:, 1 : width + 1] = slate
    if other:
        product[:, -1] = OTHER
    cost = np.zeros((n, width + 2), np.float32)
    cost[:, 1 : width + 1] = 1.0 if price is None else price
    full = cost.copy()
    if list_price is not None:
        full[:, 1 : width + 1] = list_price
    kind = np.zeros((n, width + 2), np.uint8)
    if promotion is not None:
        kind[:, 1 : width + 1] = promotion
    rank = np.full((n, width + 2), -1, np.int16)
    rank[:, 1 : width + 1] = np.arange(width)
    take = lambda k, kind: np.array([r[k] for r in rows], kind)  # noqa: E731
    return Occasions(
        customer=take(0, np.int32), store=take(1, np.int32), basket=take(2, np.int64), week=take(3, np.int16),
        timestamp=take(4, np.int64), category=take(5, np.int32), product=product, price=cost, list_price=full,
        promotion=kind, available=(product >= 0) | (product == OTHER), rank=rank,
        chosen=take(6, np.int16), units=np.ones(n, np.int32),
    )  # fmt: skip


def random_market(seed=0, *, customers=60, categories=3, width=8, weeks=14, stores=3, occasions=200):
    """A random catalogue of loyal customers and occasions drawn from its later baskets."""
    rng = np.random.default_rng(seed)
    n = categories * width + 2
    products = [
        (k // width if k < n - 2 else -1, int(rng.integers(4)), bool(rng.random() < 0.3),
         int(rng.integers(3)), float(rng.choice([8.0, 12.0, np.nan])))
        for k in range(n)
    ]  # fmt: skip
    favourite = rng.integers(width, size=(customers, categories))
    shelf = rng.uniform(1, 4, n)
    rows, asked, basket = [], [], 0
    for week in range(1, weeks + 1):
        cut = np.where(rng.random(n) < 0.3, 0.8, 1.0)
        for customer in range(customers):
            if rng.random() < 0.35:
                continue
            basket += 1
            store = int((customer + (rng.random() < 0.2)) % stores)
            time = week * WEEK + int(rng.integers(7)) * DAY + int(rng.integers(DAY))
            for category in range(categories):
                if rng.random() < 0.3:
                    continue
                loyal = rng.random() < 0.6
                local = int(favourite[customer, category] if loyal else rng.integers(width))
                p = category * width + local
                price = round(float(shelf[p] * cut[p]), 2)
                units = int(rng.integers(1, 4))
                rows.append((customer, store, p, basket, week, time, units, price, round(float(shelf[p]), 2)))
                if week > weeks // 2:
                    asked.append((customer, store, basket, week, time, category, local + 1, cut.copy()))
            if rng.random() < 0.5:
                rows.append((customer, store, n - 1, basket, week, time, 1, 2.0, 2.0))
    announced = [
        (week, store, k, int(rng.integers(1, 8)))
        for week in range(1, weeks + 1)
        for store in range(stores)
        for k in range(n - 2)
        if rng.random() < 0.15
    ]
    catalogue = catalogue_of(rows, products, stores=stores, customers=customers, promotions=announced)
    chosen = rng.permutation(len(asked))[:occasions]
    parts = []
    for k in np.sort(chosen):
        customer, store, basket, week, time, category, column, cut = asked[k]
        slate = np.arange(category * width, (category + 1) * width)
        parts.append(
            occasions_of(
                [(customer, store, basket, week, time, category, column)], slate,
                (shelf * cut)[slate].round(2), list_price=shelf[slate].round(2),
                promotion=rng.integers(0, 16, width), other=True,
            )
        )  # fmt: skip
    joined = Occasions(
        **{name: np.concatenate([getattr(o, name) for o in parts]) for name in Occasions.__dataclass_fields__}
    )
    return catalogue, joined


def keep_lines(catalogue, mask):
    """The catalogue with only the lines of a mask."""
    return replace(catalogue, lines=catalogue.lines.take(np.flatnonzero(mask)))
