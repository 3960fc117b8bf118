"""Do review scores and counts say which product is bought next? Olist, a marketplace, with and without them.

No choice set was recorded, so one is built. An occasion is an order's product; the alternatives are it
and 19 other products of its category that were sold in the eight weeks before, drawn from a window of
neighbours in popularity in which the bought product's place is uniform, so that popularity does not give
the answer away. A product must have been sold in those weeks to be chosen at all. Attributes come
strictly from days before the occasion's; a review counts from the day after it was created, a delivery
from the day after it was made.

    V = log price + log freight + log sales (ever, of 8, 2 and 1 weeks) + log days since first, last sale
        + share of late deliveries (+ mean score + log reviews + no review yet)

    python benchmarks/reviews.py --data FOLDER        (or MALLES_DATA=FOLDER)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import minimize

WEEKS = 8
ALTERNATIVES = 20
WINDOW = 60
"""Ranks of popularity that the other alternatives come from."""
PRIOR_REVIEWS, PRIOR_DELIVERIES = 5.0, 5.0
"""Reviews (deliveries) at the mean of all earlier ones that a product's own are averaged with."""
FEW = ("log_price", "log_freight", "log_sales", "log_recent", "late_share")
AGES = ("log_week", "log_fortnight", "log_idle", "log_age")
"""When the past sales were: reviews come weeks later, so their number also tells how old the sales are."""
BASE = FEW + AGES
REVIEWS = ("score", "log_reviews", "no_review")


def load(folder: Path) -> pl.DataFrame:
    """One row per order and product, by day, with its price, freight, delivery and review."""
    read = {
        name: pl.read_parquet(folder / f"{name}.parquet")
        for name in ("orders", "order_items", "products", "reviews")
    }
    items = (
        read["order_items"]
        .group_by("order_id", "product_id")
        .agg(pl.col("price_brl").mean(), pl.col("freight_brl").mean(), sellers=pl.col("seller_id").n_unique())
    )
    review = (
        read["reviews"]
        .group_by("order_id")
        .agg(pl.col("review_score").cast(pl.Float64).mean(), pl.col("review_creation_date").max())
    )
    orders = read["orders"].select(
        "order_id",
        "order_purchase_timestamp",
        pl.col("order_purchase_timestamp").dt.date().alias("day"),
        pl.col("order_delivered_customer_date").dt.date().alias("delivered"),
        late=pl.col("order_delivered_customer_date").dt.date()
        > pl.col("order_estimated_delivery_date").dt.date(),
    )
    category = read["products"].select("product_id", category="product_category_name")
    several = items.group_by("order_id").len().filter(pl.col("len") > 1)["order_id"]
    rows = (
        items.join(orders, on="order_id")
        .join(category, on="product_id", how="left")
        .join(review, on="order_id", how="left")
        .filter(pl.col("category").is_not_null())
        .sort("order_purchase_timestamp", "order_id", "product_id")
    )
    # the score of an order with several products speaks of none of them alone
    alone = ~pl.col("order_id").is_in(several.implode())
    return rows.with_columns(
        pl.when(alone).then("review_score").alias("score"),
        reviewed=pl.col("review_creation_date").dt.date(),
    )


class Past:
    """Cumulated sums of something by product, over events sorted by day."""

    def __init__(self, product: np.ndarray, day: np.ndarray, value: np.ndarray) -> None:
        order = np.lexsort((day, product))
        self.key = product[order].astype(np.int64) * 100_000 + day[order]
        self.sums = np.concatenate([[0.0], np.cumsum(value[order])])

    def before(self, product: np.ndarray, day: int, *, since: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Number and sum of the events of each product on days from `since` to before `day`."""
        base = product.astype(np.int64) * 100_000
        a, b = np.searchsorted(self.key, base + since), np.searchsorted(self.key, base + day)
        return b - a, self.sums[b] - self.sums[a]


def build(rows: pl.DataFrame, seed: int) -> dict[str, np.ndarray]:
    """Occasions [n, alternative, attribute] with the bought product's place, its code and the day."""
    rng = np.random.default_rng(seed)
    product = rows["product_id"].rank("dense").to_numpy().astype(np.int64) - 1
    category = rows["category"].rank("dense").to_numpy().astype(np.int64) - 1

    def days(name: str) -> np.ndarray:
        return rows[name].to_physical().fill_null(-1).to_numpy().astype(np.int64)

    day, delivered, reviewed = days("day"), days("delivered"), days("reviewed")
    late = rows["late"].cast(pl.Float64).fill_null(0.0).to_numpy()
    score = rows["score"].fill_null(np.nan).to_numpy()
    one = np.ones(len(day))
    sold = Past(product, day, one)
    came = delivered >= 0
    arrived = Past(product[came], delivered[came], late[came])
    rated = (reviewed >= 0) & ~np.isnan(score)
    reviews = Past(product[rated], reviewed[rated], score[rated])
    everything = {
        "late": Past(0 * product[came], delivered[came], late[came]),
        "score": Past(0 * product[rated], reviewed[rated], score[rated]),
    }
    price, freight = rows["price_brl"].to_numpy(), rows["freight_brl"].to_numpy()
    by_product = np.lexsort((day, product))
    key = product[by_product] * 100_000 + day[by_product]
    members = {c: np.unique(product[category == c]) for c in np.unique(category)}
    skipped = {"not sold in the weeks before": 0, "fewer than 20 alternatives": 0}
    x, chosen, who, when, shown = [], [], [], [], []
    for r in range(len(day)):
        d, p = int(day[r]), int(product[r])
        pool = members[category[r]]
        recent, _ = sold.before(pool, d, since=d - 7 * WEEKS)
        pool, recent = pool[recent > 0], recent[recent > 0]
        if p not in pool:
            skipped["not sold in the weeks before"] += 1
            continue
        if len(pool) < ALTERNATIVES:
            skipped["fewer than 20 alternatives"] += 1
            continue
        mixed = rng.permutation(len(pool))
        ranked = pool[mixed[np.argsort(-recent[mixed], kind="stable")]]
        width = min(WINDOW, len(ranked))
        place = int(np.flatnonzero(ranked == p)[0])
        start = int(np.clip(place - rng.integers(width), 0, len(ranked) - width))
        near = ranked[start : start + width]
        set_ = np.append(rng.permutation(near[near != p])[: ALTERNATIVES - 1], p)
        set_ = rng.permutation(set_)
        last = by_product[np.searchsorted(key, set_ * 100_000 + d) - 1]  # the latest sale before the day
        count, _ = sold.before(set_, d)
        last_weeks, _ = sold.before(set_, d, since=d - 7 * WEEKS)
        week, _ = sold.before(set_, d, since=d - 7)
        fortnight, _ = sold.before(set_, d, since=d - 14)
        begun = day[by_product[np.searchsorted(key, set_ * 100_000)]]
        deliveries, lates = arrived.before(set_, d)
        rated_n, rated_sum = reviews.before(set_, d)
        zero = np.zeros(1, np.int64)
        mean = {
            k: float(s[0] / max(n[0], 1))
            for k, (n, s) in ((k, e.before(zero, d)) for k, e in everything.items())
        }
        x.append(
            np.column_stack(
                [
                    np.log(price[last]),
                    np.log1p(freight[last]),
                    np.log(count),
                    np.log(last_weeks),
                    (lates + PRIOR_DELIVERIES * mean["late"]) / (deliveries + PRIOR_DELIVERIES),
                    np.log1p(week),
                    np.log1p(fortnight),
                    np.log(d - day[last]),
                    np.log(d - begun),
                    (rated_sum + PRIOR_REVIEWS * mean["score"]) / (rated_n + PRIOR_REVIEWS) - mean["score"],
                    np.log1p(rated_n),
                    rated_n == 0,
                ]
            )
        )
        chosen.append(int(np.flatnonzero(set_ == p)[0]))
        who.append(p)
        when.append(d)
        shown.append(set_)
    print(f"{len(x):,} occasions; left out: {skipped}", file=sys.stderr)
    return {
        "x": np.array(x),
        "chosen": np.array(chosen),
        "product": np.array(who),
        "day": np.array(when),
        "skipped": np.array([json.dumps(skipped)]),
    }


def fit(x: np.ndarray, chosen: np.ndarray, cluster: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Conditional logit: coefficients, and standard errors clustered by `cluster` (sandwich)."""
    rows = np.arange(len(x))

    def probability(b: np.ndarray) -> np.ndarray:
        v = x @ b
        p = np.exp(v - v.max(axis=1, keepdims=True))
        out: np.ndarray = p / p.sum(axis=1, keepdims=True)
        return out

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        p = probability(b)
        gap = p.copy()
        gap[rows, chosen] -= 1
        return -float(np.log(p[rows, chosen]).mean()), np.einsum("nj,njk->k", gap, x) / len(x)

    b = minimize(loss, np.zeros(x.shape[2]), jac=True, method="BFGS", options={"gtol": 1e-7}).x
    p = probability(b)
    centred = x - np.einsum("nj,njk->nk", p, x)[:, None]
    bread = np.linalg.inv(np.einsum("nj,njk,njl->kl", p, centred, centred))
    scores = centred[rows, chosen]
    _, group = np.unique(cluster, return_inverse=True)
    sums = np.stack([np.bincount(group, scores[:, k]) for k in range(x.shape[2])])
    return b, np.sqrt(np.diag(bread @ (sums @ sums.T) @ bread))


def losses(b: np.ndarray, x: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """−log P(chosen) of every occasion."""
    v = x @ b
    v = v - v.max(axis=1, keepdims=True)
    found: np.ndarray = np.log(np.exp(v).sum(axis=1)) - v[np.arange(len(x)), chosen]
    return found


def interval(gain: np.ndarray, cluster: np.ndarray, draws: int = 4000) -> list[float]:
    """Mean and 95 % interval of the mean, clusters resampled."""
    _, group = np.unique(cluster, return_inverse=True)
    total, size = np.bincount(group, gain), np.bincount(group)
    pick = np.random.default_rng(0).integers(0, len(size), (draws, len(size)))
    means = total[pick].sum(axis=1) / size[pick].sum(axis=1)
    return [round(float(v), 5) for v in (gain.mean(), *np.percentile(means, [2.5, 97.5]))]


def main() -> None:
    """Build, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("MALLES_DATA"), help="folder with orders.parquet, ..."
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--test-share", type=float, default=0.3, help="last part of the occasions, by time")
    asked = parser.parse_args()
    if asked.data is None:
        parser.error("name the folder of Olist's tables: --data FOLDER or MALLES_DATA=FOLDER")
    folder = Path(asked.data)
    if not (folder / "orders.parquet").exists() and (folder / "olist" / "orders.parquet").exists():
        folder = folder / "olist"
    rows = load(folder)
    names = BASE + REVIEWS
    out: dict[str, object] = {}
    for seed in asked.seeds:
        made = build(rows, seed)
        x, chosen, product, day = made["x"], made["chosen"], made["product"], made["day"]
        split = np.sort(day)[int(len(day) * (1 - asked.test_share))]
        train, test = day < split, day >= split
        spread = x[train].std(axis=(0, 1))
        found: dict[str, object] = {
            "train": int(train.sum()),
            "test": int(test.sum()),
            "products in the test": len(np.unique(product[test])),
            "left out": json.loads(str(made["skipped"][0])),
            "uniform": round(float(np.log(ALTERNATIVES)), 4),
        }
        arms = {
            "without reviews": BASE,
            "without reviews, without late share": tuple(name for name in BASE if name != "late_share"),
            "with score": (*BASE, "score"),
            "with score, without late share": (*(name for name in BASE if name != "late_share"), "score"),
            "with reviews": names,
            "few controls, without reviews": FEW,
            "few controls, with reviews": FEW + REVIEWS,
        }
        held = {}
        for arm, used in arms.items():
            k = [names.index(name) for name in used]
            b, se = fit(x[train][:, :, k], chosen[train], product[train])
            held[arm] = losses(b, x[test][:, :, k], chosen[test])
            found[arm] = {
                "log_loss": round(float(held[arm].mean()), 4),
                "coefficients": {
                    name: f"{b[i]:+.3f} ({se[i]:.3f}), {b[i] * spread[k[i]]:+.3f} per s.d."
                    for i, name in enumerate(used)
                },
            }
        for on, off in (
            ("with score", "without reviews"),
            ("with score, without late share", "without reviews, without late share"),
            ("with reviews", "without reviews"),
            ("few controls, with reviews", "few controls, without reviews"),
        ):
            found[f"gain of {on} over {off}"] = interval(held[off] - held[on], product[test])
        informed = (np.expm1(x[test][:, :, names.index("log_reviews")]) >= 5).mean(axis=1) >= 0.25
        found["gain where a quarter of the alternatives has 5 reviews"] = [
            int(informed.sum()),
            *interval((held["without reviews"] - held["with reviews"])[informed], product[test][informed]),
        ]
        out[f"seed {seed}"] = found
    print(json.dumps(out, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
