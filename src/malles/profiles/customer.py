"""Profile Z of a customer: what its purchases before a cut-off say about it, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from malles.profiles.context import demographic_table
from malles.profiles.index import SAME_PRICE
from malles.vocabulary import Catalogue

WEEK = 604800.0

PROFILE_NAMES = (
    "baskets", "weeks_since_last", "trip_gap", "trip_gap_variation", "lines_per_basket", "units_per_line",
    "spend_per_week", "spend_quantile", "discount_bought", "discount_offered", "discount_propensity",
    "price_rank", "private_label", "maker_concentration", "product_concentration", "repeat_share",
    "categories", "store_concentration", "weekend", "evening",
)  # fmt: skip
"""Columns of `Profiles.numbers`; their meaning stands in `docs/method/features.md`."""


@dataclass(frozen=True)
class Profiles:
    """Profiles of all customers at one cut-off, in the order of `Catalogue.customer_key`."""

    before: int
    """Cut-off: only lines with an earlier timestamp were read."""
    known: Bool[ndarray, " customer"]
    """Whether the customer had bought anything before the cut-off; if not, its numbers are 0."""
    numbers: Float32[ndarray, "customer trait"]
    names: tuple[str, ...]
    groups: Float32[ndarray, "customer group"]
    """Share of the customer's lines in each coarser category; rows sum to at most one."""
    group_gap: Float32[ndarray, "customer group"]
    """Mean weeks between the customer's purchases in each coarser category; 0 with fewer than two."""
    main_store: Int64[ndarray, " customer"]
    """Store code with most baskets; -1 if unknown."""
    demographics: Float32[ndarray, "customer attribute"]
    demographic_names: tuple[str, ...]

    def number(self, name: str) -> Float32[ndarray, " customer"]:
        """One column of `numbers` by name."""
        return self.numbers[:, self.names.index(name)]


def build_profiles(catalogue: Catalogue, *, before: int) -> Profiles:
    """Profiles from the lines with a timestamp strictly before `before` (seconds since 1970-01-01).

    The discount offered to a customer is the share of discounted lines among other customers' lines of the
    same products in the same weeks, so one who only meets discounts is not called a bargain hunter. Price
    rank is where the products bought stand among the mean prices of their category, 0 the cheapest.
    """
    lines, products = catalogue.lines, catalogue.products
    n = len(catalogue.customer_key)
    rows = np.flatnonzero(lines.timestamp < before)
    product = lines.product[rows]
    frame = pl.DataFrame(
        {
            "customer": lines.customer[rows],
            "store": lines.store[rows],
            "product": product,
            "basket": lines.basket[rows],
            "week": lines.week[rows],
            "time": lines.timestamp[rows],
            "quantity": lines.quantity[rows],
            "price": lines.price[rows].astype(np.float64),
            "cut": lines.price[rows] < SAME_PRICE * lines.list_price[rows],
            "own": products.private_label[product],
            "maker": products.manufacturer[product],
            "category": products.category[product],
            "group": products.group[product],
        }
    )
    offered = frame.group_by("product", "week").agg(
        pl.col("cut").cast(pl.Float64).sum().alias("cut_all"), pl.len().alias("all")
    )
    mean_price = frame.group_by("category", "product").agg(pl.col("price").mean().alias("mean_price"))
    mean_price = mean_price.with_columns(
        ((pl.col("mean_price").rank().over("category") - 1) / (pl.len().over("category") - 1).clip(1)).alias(
            "rank"
        )
    )
    frame = frame.join(offered, on=["product", "week"], how="left", maintain_order="left")
    frame = frame.join(mean_price, on=["category", "product"], how="left", maintain_order="left")
    trips = frame.group_by("customer", "basket").agg(
        pl.col("time").max(),
        pl.col("store").first(),
        (pl.col("price") * pl.col("quantity")).sum().alias("spend"),
    )
    trips = trips.sort("customer", "time", "basket")
    gaps = trips.with_columns((pl.col("time").diff().over("customer") / WEEK).alias("gap"))
    first_time = float(frame["time"].min() or 0)  # type: ignore[arg-type]
    weeks = max((before - first_time) / WEEK, 1.0)
    by_trip = gaps.group_by("customer").agg(
        pl.len().alias("baskets"),
        ((before - pl.col("time").max()) / WEEK).alias("weeks_since_last"),
        pl.col("gap").mean().fill_null(0).alias("trip_gap"),
        (pl.col("gap").std() / pl.col("gap").mean()).fill_null(0).fill_nan(0).alias("trip_gap_variation"),
        (pl.col("spend").sum() / weeks).alias("spend_per_week"),
        ((pl.from_epoch("time").dt.weekday() >= 6).mean()).alias("weekend"),
        ((pl.from_epoch("time").dt.hour() >= 17).mean()).alias("evening"),
    )
    eligible = pl.col("category") >= 0
    by_line = frame.group_by("customer").agg(
        pl.len().alias("lines"),
        pl.col("quantity").filter(eligible).mean().fill_null(0).alias("units_per_line"),
        pl.col("cut").mean().alias("discount_bought"),
        # the customer's own line left out of what everybody paid
        ((pl.col("cut_all") - pl.col("cut")) / (pl.col("all") - 1))
        .filter(pl.col("all") > 1)
        .mean()
        .fill_null(pl.col("cut").mean())
        .alias("discount_offered"),
        pl.col("rank").filter(eligible).mean().fill_null(0.5).alias("price_rank"),
        pl.col("own").mean().alias("private_label"),
        pl.col("category").filter(eligible).n_unique().alias("categories"),
    )
    traits = by_trip.join(by_line, on="customer").join(
        _concentrations(frame, trips), on="customer", how="left"
    )
    traits = traits.with_columns(
        (pl.col("lines") / pl.col("baskets")).alias("lines_per_basket"),
        ((pl.col("spend_per_week").rank() - 0.5) / pl.len()).alias("spend_quantile"),
        (pl.col("discount_bought") - pl.col("discount_offered")).alias("discount_propensity"),
    )
    numbers = np.zeros((n, len(PROFILE_NAMES)), np.float32)
    customer = traits["customer"].to_numpy()
    numbers[customer] = traits.select(PROFILE_NAMES).fill_null(0).to_numpy()
    known = np.zeros(n, bool)
    known[customer] = True
    main_store = np.full(n, -1, np.int64)
    most = (
        trips.group_by("customer", "store")
        .len()
        .sort("customer", "len", "store", descending=[False, True, False])
    )
    most = most.unique("customer", keep="first", maintain_order=True)
    main_store[most["customer"].to_numpy()] = most["store"].to_numpy()
    groups, group_gap = _group_rhythm(frame, n, len(catalogue.group_name))
    who, who_names = demographic_table(catalogue)
    return Profiles(
        before=before,
        known=known,
        numbers=numbers,
        names=PROFILE_NAMES,
        groups=groups,
        group_gap=group_gap,
        main_store=main_store,
        demographics=who,
        demographic_names=who_names,
    )


def _concentrations(frame: pl.DataFrame, trips: pl.DataFrame) -> pl.DataFrame:
    """Herfindahl indices (sum of squared shares) over makers, products and stores; share of repeat lines."""

    def index(table: pl.DataFrame, column: str, name: str) -> pl.DataFrame:
        count = table.group_by("customer", column).len()
        part = pl.col("len") / pl.col("len").sum()
        return count.group_by("customer").agg((part**2).sum().alias(name))

    eligible = frame.filter(pl.col("category") >= 0)
    within = eligible.group_by("customer", "category", "product").len()
    loyal = within.group_by("customer", "category").agg(
        ((pl.col("len") / pl.col("len").sum()) ** 2).sum().alias("part"), pl.col("len").sum().alias("weight")
    )
    product = loyal.group_by("customer").agg(
        ((pl.col("part") * pl.col("weight")).sum() / pl.col("weight").sum()).alias("product_concentration")
    )
    repeat = within.group_by("customer").agg(
        (1 - pl.len() / pl.col("len").sum()).alias("repeat_share"),
    )
    joined = index(trips, "store", "store_concentration")
    for other in (index(frame, "maker", "maker_concentration"), product, repeat):
        joined = joined.join(other, on="customer", how="left")
    return joined


def _group_rhythm(frame: pl.DataFrame, customers: int, groups: int) -> tuple[ndarray, ndarray]:
    share = np.zeros((customers, groups), np.float32)
    gap = np.zeros((customers, groups), np.float32)
    known = frame.filter(pl.col("group") >= 0)
    count = known.group_by("customer", "group").agg(
        pl.len(), pl.col("time").min().alias("first"), pl.col("time").max().alias("last"),
        pl.col("basket").n_unique().alias("trips"),
    )  # fmt: skip
    where = (count["customer"].to_numpy(), count["group"].to_numpy())
    total = np.maximum(np.bincount(frame["customer"].to_numpy(), minlength=customers), 1)
    share[where] = count["len"].to_numpy() / total[where[0]]
    trips = count["trips"].to_numpy().astype(np.int64)
    span = (count["last"] - count["first"]).to_numpy() / WEEK
    gap[where] = np.where(trips > 1, span / np.maximum(trips - 1, 1), 0)
    return share, gap
