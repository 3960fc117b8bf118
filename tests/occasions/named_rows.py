"""A small wholesaler with product names: 180 products in six families, 40 customers, a year of invoices."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl

COLOURS = ("RED", "BLUE", "GREEN", "PINK", "CREAM", "IVORY", "GREY", "LILAC", "AQUA", "GOLD")
THINGS = ("MUG", "LAMP", "CUSHION")
FAMILIES = ("WOODLAND", "RETROSPOT", "PAISLEY", "SKULLS", "DAISY", "TEATIME")
START = datetime.date(2009, 12, 1)


def named_rows(seed: int = 0, customers: int = 40, every: int = 9) -> pl.DataFrame:
    """Rows in the columns of `build_named_lines`; the last 90 products come later."""
    rng = np.random.default_rng(seed)
    names = [f"{c} {f} {t}" for f in FAMILIES for t in THINGS for c in COLOURS]
    names = [names[i] for i in rng.permutation(len(names))]
    launch = np.full(len(names), -1)
    launch[-90:] = np.repeat([215, 285], 45)
    family = np.array([next(i for i, f in enumerate(FAMILIES) if f in n) for n in names])
    rows = []
    for day in range(365):
        for customer in range(customers):
            if (day + customer) % every:
                continue
            on_sale = np.flatnonzero(launch < day)
            mine, new = family[on_sale] == customer % len(FAMILIES), launch[on_sale] > day - 28
            liked = np.where(mine, 6.0, 1.0) * (1 + new)
            bought = rng.choice(on_sale, 8, replace=False, p=liked / liked.sum())
            when = datetime.datetime.combine(
                START + datetime.timedelta(days=day), datetime.time(9 + customer % 8)
            )
            rows += [
                (f"{day * 100 + customer:06d}", when, str(10_000 + customer), f"{20_000 + p}",
                 int(rng.integers(1, 12)), float(np.round(1 + p % 7 + rng.random() / 2, 2)), names[p])
                for p in bought
            ]  # fmt: skip
    return pl.DataFrame(
        rows, schema=["order", "timestamp", "customer", "product", "quantity", "price", "text"], orient="row"
    )
