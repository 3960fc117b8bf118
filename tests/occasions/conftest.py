"""Two small markets: one whose prices and slates are worked out by hand, and one drawn at random."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from malles.occasions.rules import CatalogueRules, OccasionRules
from malles.vocabulary import DataSet

MONDAY = datetime(2024, 1, 1, 12)


def data_set(rows: list[tuple], products: pl.DataFrame, **tables: pl.DataFrame) -> DataSet:
    """Rows are (order, week, customer, store, product, quantity, price, list_price)."""
    names = ["order", "week", "customer", "store", "product", "quantity", "price", "list_price"]
    table = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        timestamp=pl.lit(MONDAY) + pl.duration(days=7 * (pl.col("week") - 1), seconds=pl.col("order"))
    )
    none = pl.DataFrame()
    return DataSet(
        name="tiny",
        currency="EUR",
        time_zone="Europe/Berlin",
        transactions=table,
        products=products,
        customers=tables.get("customers", none),
        promotions=tables.get("promotions", none),
        offers=tables.get("offers", none),
        provenance={},
    )


@pytest.fixture
def tiny() -> DataSet:
    """One category of three teas and one odd product, two stores, five weeks.

    week 1..3   tea A sells 2, 1, 1 lines in store 1; tea B sells 1 line in store 2 each week; tea C never
    week 4      customer 1 buys A at 9.99 in store 1; customer 2 pays 3.00, customer 3 pays 5.00 there;
                customer 4 pays 4.40 in store 2; customer 1 buys B at 2.22 in store 2
    week 5      customer 9 buys C
    """
    rows = [
        (1, 1, 1, 1, "A", 1, 4.0, 4.0),
        (2, 1, 2, 1, "A", 1, 4.0, 4.0),
        (3, 1, 3, 2, "B", 1, 2.0, 2.5),
        (4, 2, 2, 1, "A", 1, 4.0, 4.0),
        (5, 2, 3, 2, "B", 1, 2.0, 2.5),
        (6, 3, 3, 1, "A", 1, 4.0, 4.0),
        (7, 3, 4, 2, "B", 1, 2.1, 2.5),
        (8, 4, 1, 1, "A", 3, 9.99, 9.99),
        (9, 4, 2, 1, "A", 1, 3.0, 4.0),
        (10, 4, 3, 1, "A", 1, 5.0, 5.0),
        (11, 4, 4, 2, "A", 1, 4.4, 4.4),
        (12, 4, 1, 2, "B", 1, 2.22, 2.22),
        (13, 5, 9, 1, "C", 2, 7.0, 7.0),
        (13, 5, 9, 1, "soap", 1, 1.0, 1.0),
    ]
    products = pl.DataFrame(
        {
            "product": ["A", "B", "C", "soap"],
            "category": ["TEA", "TEA", "TEA", "SOAP"],
            "subcategory": ["BLACK", "BLACK", "BLACK", None],
            "size": ["20 CT", "40 CT", None, None],
        }
    )
    promotions = pl.DataFrame(
        {"product": ["A", "A", "B"], "store": [1, 1, 2], "week": [4, 4, 4], "kind": [1, 2, 4]}
    )
    offers = pl.DataFrame(
        {
            "customer": [[1, 2]],
            "product": [["B", "C"]],
            "start": [date(2024, 1, 22)],
            "end": [date(2024, 1, 22)],
        }
    )
    return data_set(rows, products, promotions=promotions, offers=offers)


@pytest.fixture
def tiny_rules() -> CatalogueRules:
    return CatalogueRules(
        min_lines=5, min_products=2, min_product_lines=3, min_price_agreement=0.0, min_store_lines=3
    )


@pytest.fixture
def tiny_occasion_rules() -> OccasionRules:
    return OccasionRules(alternatives=3, min_alternatives=2, first_week=2)


def random_data_set(seed: int = 0, weeks: int = 16) -> DataSet:
    """Forty customers in three stores, three categories of nine products with weekly prices."""
    rng = np.random.default_rng(seed)
    product = np.array([f"p{k:02d}" for k in range(27)])
    base = rng.uniform(1, 9, 27).round(2)
    rows = []
    order = 0
    for week in range(1, weeks + 1):
        price = np.where(rng.random(27) < 0.3, (base * 0.8).round(2), base)
        for customer in range(40):
            for _ in range(rng.integers(0, 3)):
                order += 1
                store = int(rng.integers(0, 3)) + 1
                for k in np.unique(rng.choice(27, rng.integers(1, 5))):
                    units = int(rng.integers(1, 4))
                    rows.append(
                        (order, week, customer, store, product[k], units, float(price[k]), float(base[k]))
                    )
    products = pl.DataFrame(
        {"product": product, "category": [f"G{k // 9}" for k in range(27)], "brand": ["Private"] * 27}
    )
    promotions = pl.DataFrame(
        [
            (product[k], s, w, int(rng.integers(1, 8)))
            for w in range(1, weeks + 1)
            for s in (1, 2, 3)
            for k in range(0, 27, 4)
        ],
        schema=["product", "store", "week", "kind"],
        orient="row",
    )
    days = [MONDAY.date() + timedelta(days=7 * k) for k in range(4, 8)]
    offers = pl.DataFrame(
        {"customer": [3, 4, 5, 3], "product": ["p01", "p02", "p10", "p20"], "start": days, "end": days}
    )
    return data_set(rows, products, promotions=promotions, offers=offers)


@pytest.fixture(scope="session")
def random_market() -> DataSet:
    return random_data_set()
