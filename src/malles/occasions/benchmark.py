"""Choice benchmark v1 rebuilt from the data of Complete Journey, and compared with frozen files cell by
cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Int32, Int64
from numpy import ndarray

from malles.errors import DataError
from malles.occasions.build import OccasionBuild, build_occasions
from malles.occasions.events import build_events
from malles.occasions.prices import build_cents
from malles.occasions.splits import Split, build_split
from malles.vocabulary import Catalogue, Occasions

MARKED = Path(__file__).with_name("benchmark_v1_valid.parquet")
"""(basket, category) of the 10,000 scored occasions of valid, and which of them are `lite`."""

NEVER = 99
"""`hist_wsl` of a product that the customer never bought."""


@dataclass(frozen=True)
class ScoredPart:
    """The occasions of valid that scores are reported on."""

    rows: Int64[ndarray, " scored"]
    """Rows of the occasions given."""
    lite: Bool[ndarray, " scored"]
    """2,000 fixed occasions for expensive models."""


def build_benchmark(catalogue: Catalogue) -> dict[str, OccasionBuild]:
    """All occasions of every split of choice benchmark v1, by name.

    train and valid hold warm customers and categories; test_temporal, test_coldcat, test_coldcust and
    test_coldboth the weeks 45 to 53. The frozen files hold fixed samples of valid and of the first two tests.
    """
    split = build_split(catalogue)
    warm, cold = (~split.cold_customer, ~split.cold_category), (split.cold_customer, split.cold_category)
    parts = {
        "train": (split.fit, warm[0], warm[1]),
        "valid": (split.valid, warm[0], warm[1]),
        "test_temporal": (split.test, warm[0], warm[1]),
        "test_coldcat": (split.test, warm[0], cold[1]),
        "test_coldcust": (split.test, cold[0], warm[1]),
        "test_coldboth": (split.test, cold[0], cold[1]),
    }
    return {
        name: build_occasions(catalogue, None, weeks, customers, categories)
        for name, (weeks, customers, categories) in parts.items()
    }


def select_scored(occasions: Occasions) -> ScoredPart:
    """The 10,000 occasions of valid that benchmark v1 scores, found among all occasions of valid.

    Raises:
        DataError: some of them are missing, so these are not the benchmark's occasions.
    """
    marked = pl.read_parquet(MARKED).filter(pl.col("split") == 1)
    mine = pl.DataFrame(
        {
            "basket": occasions.basket,
            "category": occasions.category.astype(np.int16),
            "row": np.arange(len(occasions)),
        }
    )
    found = marked.join(mine, on=["basket", "category"], how="inner").sort("row")
    if found.height != marked.height:
        raise DataError(
            f"{marked.height - found.height:,} of the {marked.height:,} occasions of benchmark v1 are "
            "missing. Build the occasions of weeks 41 to 44 with the default rules from complete_journey."
        )
    return ScoredPart(found["row"].to_numpy().astype(np.int64), found["lite"].to_numpy())


def count_benchmark(parts: dict[str, OccasionBuild]) -> pl.DataFrame:
    """split, occasions, customers, categories, covered (share of choices inside the slate)."""
    return pl.DataFrame(
        [
            {
                "split": name,
                "occasions": len(part.occasions),
                "customers": len(np.unique(part.occasions.customer)),
                "categories": len(np.unique(part.occasions.category)),
                "covered": int(part.coverage["inside"].sum()) / max(int(part.coverage["events"].sum()), 1),
            }
            for name, part in parts.items()
        ]
    )


def count_catalogue(catalogue: Catalogue, split: Split | None = None) -> dict[str, int]:
    """Categories, products, lines, stores and events of the catalogue, as the benchmark page counts them."""
    first = (split or build_split(catalogue)).fit[0]
    eligible = catalogue.products.category >= 0
    events = build_events(catalogue)
    events = events.take((events.week >= first) & catalogue.choice_store[events.store])
    pairs = np.stack([events.basket, events.category.astype(np.int64)])
    return {
        "categories": len(catalogue.category_name),
        "products": int(eligible.sum()),
        "lines": int(eligible[catalogue.lines.product].sum()),
        "stores": int(catalogue.choice_store.sum()),
        "events": np.unique(pairs, axis=1).shape[1],
    }


def compare_benchmark(catalogue: Catalogue, parts: dict[str, OccasionBuild], folder: Path) -> pl.DataFrame:
    """Every column of the frozen files beside our own: split, column, cells, equal, share.

    Args:
        catalogue: the catalogue that `parts` were built from.
        parts: occasions by split.
        folder: frozen files: occasions, labels, items, households and candidates_* (Parquet).

    Raises:
        DataError: the folder lacks a file.
    """
    missing = find_missing(folder)
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(f'{n}.parquet' for n in missing)}; give the benchmark's folder"
        )
    frozen = pl.read_parquet(folder / "occasions.parquet")
    labels = pl.read_parquet(folder / "labels.parquet")
    rows = [*_compare_lists(catalogue, folder)]
    for name in frozen["split"].cast(pl.String).unique().sort().to_list():
        theirs = frozen.filter(pl.col("split").cast(pl.String) == name)
        candidates = pl.read_parquet(folder / f"candidates_{name}.parquet")
        rows += _compare_split(catalogue, name, parts[name], theirs, candidates, labels)
    table = pl.DataFrame(rows, schema=["split", "column", "cells", "equal"], orient="row")
    return table.with_columns(share=pl.col("equal") / pl.col("cells"))


def find_missing(folder: Path) -> list[str]:
    """Names of the frozen files that the folder lacks."""
    needed = ("occasions", "labels", "items", "households", "candidates_train", "candidates_valid")
    return [name for name in needed if not (folder / f"{name}.parquet").exists()]


Row = tuple[str, str, int, int]


def _compare_lists(catalogue: Catalogue, folder: Path) -> list[Row]:
    items = pl.read_parquet(folder / "items.parquet").sort("item_id")
    count = int((catalogue.products.category >= 0).sum())
    rows: list[Row] = [("", "number of products", 1, int(count == items.height))]
    if count == items.height:
        keys = (catalogue.products.key[:count] == items["product_id"]).sum()
        codes = (catalogue.products.category[:count] == items["ty"].to_numpy()).sum()
        rows += [("", "product key", count, int(keys)), ("", "product category", count, int(codes))]
    households = pl.read_parquet(folder / "households.parquet")
    split = build_split(catalogue)
    ours = pl.DataFrame({"household_id": catalogue.customer_key, "ours": split.cold_customer})
    both = households.join(ours, on="household_id", how="left")
    rows.append(("", "cold customer", both.height, int((both["cold"] == both["ours"]).sum())))
    return rows


def _compare_split(
    catalogue: Catalogue,
    name: str,
    part: OccasionBuild,
    frozen: pl.DataFrame,
    candidates: pl.DataFrame,
    labels: pl.DataFrame,
) -> list[Row]:
    found = part.occasions
    ours = pl.DataFrame(
        {
            "household_id": catalogue.customer_key[found.customer.tolist()],
            "basket_id": found.basket,
            "ty": found.category,
            "row": np.arange(len(found)),
            "our_store": catalogue.store_key[found.store.tolist()],
            "our_week": found.week,
            "our_ts": found.timestamp,
            "our_choice": found.product[np.arange(len(found)), found.chosen],
            "our_units": found.units,
        }
    )
    joined = frozen.with_columns(
        pl.col("household_id").cast(catalogue.customer_key.dtype),
        pl.col("ty").cast(pl.Int32),
        pl.col("basket_id").cast(pl.Int64),
    )
    joined = joined.join(ours, on=["household_id", "basket_id", "ty"], how="left").join(
        labels, on="occasion_id"
    )
    rows: list[Row] = [(name, "occasion", joined.height, joined.height - joined["row"].null_count())]
    joined = joined.filter(pl.col("row").is_not_null()).sort("row")
    for column, theirs, mine in (
        ("store", "store_id", "our_store"),
        ("week", "week", "our_week"),
        ("timestamp", "ts", "our_ts"),
        ("choice", "item_id", "our_choice"),
        ("units", "quantity", "our_units"),
    ):
        rows.append((name, column, joined.height, int((joined[theirs] == joined[mine]).sum())))
    both = candidates.join(
        _candidates(catalogue, part, joined["row"].to_numpy(), joined["occasion_id"].to_numpy()),
        on=["occasion_id", "item_id"],
        how="full",
        coalesce=True,
    )
    rows.append((name, "candidate", both.height, both.drop_nulls(["slate_rank", "our_slate_rank"]).height))
    both = both.drop_nulls(["slate_rank", "our_slate_rank"])
    for column in ("slate_rank", "price_c", "reg_c", "promo", "store_n26", "chain_n8", "hist_n", "hist_wsl"):
        rows.append((name, column, both.height, int((both[column] == both[f"our_{column}"]).sum())))
    return rows


def _candidates(catalogue: Catalogue, part: OccasionBuild, rows: ndarray, occasion: ndarray) -> pl.DataFrame:
    """Our candidates in the columns of the frozen files."""
    taken = part.occasions.take(rows)
    real = taken.product >= 0
    count, weeks = build_own_history(catalogue, taken)
    columns = {
        "slate_rank": taken.rank,
        "price_c": build_cents(taken.price),
        "reg_c": build_cents(taken.list_price),
        "promo": taken.promotion,
        "store_n26": np.minimum(part.store_lines[rows], 255),  # frozen as one byte
        "chain_n8": part.chain_lines[rows],
        "hist_n": np.minimum(count, 255),
        "hist_wsl": weeks,
    }
    return pl.DataFrame(
        {
            "occasion_id": np.broadcast_to(occasion[:, None], real.shape)[real],
            "item_id": taken.product[real].astype(np.int16),
            **{f"our_{name}": values[real].astype(np.int32) for name, values in columns.items()},
        }
    )


def build_own_history(
    catalogue: Catalogue, occasions: Occasions
) -> tuple[Int32[ndarray, "occasion alternative"], Int32[ndarray, "occasion alternative"]]:
    """Earlier lines of the customer with each alternative, and weeks since the last of them (99 = never).

    Earlier means a strictly earlier timestamp.
    """
    lines, products = catalogue.lines, len(catalogue.products)
    pair = lines.customer.astype(np.int64) * products + lines.product
    order = np.lexsort((lines.timestamp, pair))
    pair, when, week = pair[order], lines.timestamp[order], lines.week[order]
    wanted = occasions.customer.astype(np.int64)[:, None] * products + occasions.product
    real = occasions.product >= 0
    # one ordered number per (pair, second): pairs are ranked so that the product stays within 63 bits
    kinds, code = np.unique(pair, return_inverse=True)
    span = int(when.max(initial=0)) + 2
    position = np.searchsorted(kinds, wanted[real])
    known = (position < len(kinds)) & (kinds[np.minimum(position, len(kinds) - 1)] == wanted[real])
    moment = np.broadcast_to(occasions.timestamp[:, None], real.shape)[real]
    end = np.searchsorted(code * span + when, position * span + moment)
    start = np.searchsorted(code, position)
    count = np.where(known, end - start, 0)
    last = week[np.maximum(end - 1, 0)]
    now = np.broadcast_to(occasions.week[:, None], real.shape)[real]
    number = np.zeros(real.shape, np.int32)
    since = np.full(real.shape, NEVER, np.int32)
    number[real] = count
    since[real] = np.where(count > 0, now - last, NEVER)
    return number, since
