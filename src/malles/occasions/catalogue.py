"""Data set → catalogue: choice categories by rule, and everything coded to dense integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool
from numpy import ndarray

from malles.errors import DataError, SchemaError
from malles.occasions.attributes import build_products
from malles.occasions.offers import build_offers
from malles.occasions.rules import CatalogueRules
from malles.vocabulary import Catalogue, DataSet, Lines, Products, PromotionTable

NEEDED = ("order", "timestamp", "customer", "product", "quantity", "price")


@dataclass(frozen=True)
class CategoryTable:
    """What the eligibility rules made of every category, and what was left out before them."""

    table: pl.DataFrame
    """name, group, lines, products, agreement, eligible, reason; one row per category | subcategory, by name.

    `lines`, `products` (sold often enough) and `agreement` are counted in the weeks used for fitting.
    """
    left_out: dict[str, int]
    """Lines left out of the catalogue, by reason."""


def build_catalogue(
    dataset: DataSet, rules: CatalogueRules | None = None, fit_until_week: int | None = None
) -> Catalogue:
    """Code a data set and decide which categories are choice categories.

    A choice category is a category | subcategory (the category alone where there is no subcategory) that
    passes every rule in the weeks up to `fit_until_week`. Choice-category codes follow the names; product
    codes run first through the products of choice categories by (category, key), then through all others by
    key. A data set without stores gets the single store 0, one without promotions an empty table.

    Args:
        dataset: checked tables.
        rules: eligibility; `CatalogueRules.scaled_to(dataset)` if not given.
        fit_until_week: last week that may decide eligibility; all weeks if not given.

    Returns:
        The catalogue. `build_category_table` says why a category is or is not in it.

    Raises:
        SchemaError: a needed column is missing.
        DataError: no category passes the rules.
    """
    rules = rules or CatalogueRules.scaled_to(dataset)
    lines, _ = _usable_lines(dataset, rules)
    named = _named_products(dataset)
    categories = _judge(lines, named, rules, fit_until_week)
    eligible = categories.filter(pl.col("eligible"))
    if not eligible.height:
        closest = categories.sort("lines", descending=True).head(3)
        seen = "; ".join(f"{name!r}: {why}" for name, why in closest.select("name", "reason").iter_rows())
        raise DataError(
            f"{dataset.name}: no category can serve as a choice category "
            f"({seen or 'the table has no lines'}). Lower the limits of CatalogueRules or import more data."
        )
    category_name = tuple(eligible["name"].to_list())
    products, group_name = build_products(lines, named, category_name)

    customer_key = _union(lines["customer"], dataset.customers, "customer")
    store_key = lines["store"].unique().sort()
    coded = _code_lines(lines, products.key, customer_key, store_key)
    return Catalogue(
        name=dataset.name,
        currency=dataset.currency,
        lines=coded,
        products=products,
        category_name=category_name,
        group_name=group_name,
        customer_key=customer_key,
        store_key=store_key,
        customers=_customer_attributes(dataset.customers, customer_key),
        promotions=_code_promotions(dataset.promotions, products, store_key),
        offers=build_offers(dataset.offers, products, customer_key),
        choice_store=_choice_stores(coded, products, len(store_key), rules, fit_until_week),
    )


def build_category_table(
    dataset: DataSet, rules: CatalogueRules | None = None, fit_until_week: int | None = None
) -> CategoryTable:
    """Every category with its counts and the rule it failed, if any; and the lines left out before."""
    rules = rules or CatalogueRules.scaled_to(dataset)
    lines, left_out = _usable_lines(dataset, rules)
    return CategoryTable(_judge(lines, _named_products(dataset), rules, fit_until_week), left_out)


def _usable_lines(dataset: DataSet, rules: CatalogueRules) -> tuple[pl.DataFrame, dict[str, int]]:
    """Lines of goods with positive quantity and price, with `store`, `week` and `list_price` filled in."""
    table = dataset.transactions
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise SchemaError(
            f"transactions of {dataset.name} lack {', '.join(map(repr, missing))}. They have "
            f"{', '.join(map(repr, table.columns))}. Import them with a column map."
        )
    if "store" not in table.columns:
        table = table.with_columns(store=pl.lit(0, pl.Int64))
    if "week" not in table.columns:
        first = pl.col("timestamp").min().dt.date()
        table = table.with_columns(week=(pl.col("timestamp").dt.date() - first).dt.total_days() // 7 + 1)
    if "list_price" not in table.columns:
        table = table.with_columns(list_price=pl.col("price"))
    positive = (pl.col("quantity") > 0) & (pl.col("price") > 0)
    kept = table.filter(positive)
    left_out = {"no units or no price": table.height - kept.height}
    banned = _banned_products(dataset.products, rules)
    goods = kept.filter(~pl.col("product").is_in(banned.implode())) if len(banned) else kept
    left_out["excluded department or category"] = kept.height - goods.height
    return goods, left_out


def _banned_products(products: pl.DataFrame, rules: CatalogueRules) -> pl.Series:
    """Keys of products in an excluded department or category."""
    banned = pl.lit(False)
    if "department" in products.columns:
        banned |= pl.col("department").is_in(rules.excluded_departments).fill_null(False)
    if "category" in products.columns:
        for word in rules.excluded_category_words:
            banned |= pl.col("category").str.contains(word, literal=True).fill_null(False)
    return products.filter(banned)["product"]


def _named_products(dataset: DataSet) -> pl.DataFrame:
    """Products with `name` (category | subcategory) and `group`; null where the category is unknown."""
    products = dataset.products
    if "category" not in products.columns:
        raise SchemaError(
            f"products of {dataset.name} lack 'category'; without it there are no choice categories. "
            "Name the column that says what kind of product it is."
        )
    group = pl.col("category").cast(pl.String)
    if "subcategory" in products.columns and products["subcategory"].null_count() < products.height:
        name = group + " | " + pl.col("subcategory").cast(pl.String)
    else:
        name = group
    return products.unique("product", keep="first", maintain_order=True).with_columns(name=name, group=group)


def _judge(
    lines: pl.DataFrame, products: pl.DataFrame, rules: CatalogueRules, fit_until_week: int | None
) -> pl.DataFrame:
    seen = lines if fit_until_week is None else lines.filter(pl.col("week") <= fit_until_week)
    seen = (
        seen.select("product", "week", "price")
        .join(products.select("product", "name", "group"), on="product", how="inner")
        .filter(pl.col("name").is_not_null())
    )
    cell = ["product", "week"]
    agrees = (pl.col("price") / pl.col("price").median().over(cell) - 1.0).abs() <= rules.price_tolerance
    seen = seen.with_columns(agrees=agrees, cell=pl.len().over(cell))
    often = seen.group_by("name", "product").len().filter(pl.col("len") >= rules.min_product_lines)
    table = (
        seen.group_by("name")
        .agg(
            pl.col("group").first(),
            lines=pl.len(),
            agreement=pl.col("agrees").filter(pl.col("cell") >= rules.min_cell_lines).mean(),
        )
        .join(often.group_by("name").agg(products=pl.len()), on="name", how="left")
        .with_columns(pl.col("products").fill_null(0))
        .sort("name")
    )
    text = pl.format
    reason = (
        pl.when(pl.col("lines") < rules.min_lines)
        .then(text("{} lines, needs {}", "lines", pl.lit(rules.min_lines)))
        .when(pl.col("products") < rules.min_products)
        .then(
            text(
                "{} products with {} lines, needs {}",
                "products",
                pl.lit(rules.min_product_lines),
                pl.lit(rules.min_products),
            )
        )
        .when(pl.col("agreement").fill_null(0.0) < rules.min_price_agreement)
        .then(
            text(
                "price agreement {}, needs {}",
                pl.col("agreement").fill_null(0.0).round(2),
                pl.lit(rules.min_price_agreement),
            )
        )
        .otherwise(None)
    )
    table = table.with_columns(reason=reason).with_columns(eligible=pl.col("reason").is_null())
    return table.select("name", "group", "lines", "products", "agreement", "eligible", "reason")


def _union(first: pl.Series, table: pl.DataFrame, name: str) -> pl.Series:
    keys = [first.unique()]
    if name in table.columns and table.height:
        keys.append(table[name].cast(first.dtype).unique())
    return pl.concat(keys).unique().sort().rename(name)


def _code(values: pl.Series, keys: pl.Series) -> ndarray:
    """Position of each value in `keys`; -1 where it is not there."""
    lookup = pl.DataFrame({"key": keys, "code": np.arange(len(keys), dtype=np.int32)})
    found = pl.DataFrame({"key": values}).join(lookup, on="key", how="left", maintain_order="left")
    return found["code"].fill_null(-1).to_numpy()


def _code_lines(lines: pl.DataFrame, product: pl.Series, customer: pl.Series, store: pl.Series) -> Lines:
    basket = lines["order"]
    if not basket.dtype.is_integer():
        basket = pl.Series(_code(basket, basket.unique().sort()))
    table = pl.DataFrame(
        {
            "customer": _code(lines["customer"], customer),
            "store": _code(lines["store"], store),
            "product": _code(lines["product"], product),
            "basket": basket.cast(pl.Int64),
            "week": lines["week"].cast(pl.Int16),
            "timestamp": lines["timestamp"].cast(pl.Datetime("us")).dt.epoch("s"),
            "quantity": lines["quantity"].cast(pl.Int32),
            "price": lines["price"].cast(pl.Float32),
            "list_price": lines["list_price"].cast(pl.Float32),
        }
    ).sort("timestamp", "basket", "product", maintain_order=True)
    return Lines(**{name: np.ascontiguousarray(table[name].to_numpy()) for name in table.columns})


def _customer_attributes(customers: pl.DataFrame, key: pl.Series) -> pl.DataFrame:
    frame = pl.DataFrame({"customer": key})
    if "customer" not in customers.columns:
        return frame
    attributes = customers.unique("customer", keep="first").with_columns(pl.col("customer").cast(key.dtype))
    return frame.join(attributes, on="customer", how="left", maintain_order="left")


def _code_promotions(promotions: pl.DataFrame, products: Products, store_key: pl.Series) -> PromotionTable:
    """Promotions of choice-category products in known stores; rows of one cell are joined bit by bit."""
    eligible = int((products.category >= 0).sum())
    if not promotions.height or "product" not in promotions.columns:
        none = np.zeros(0, np.int32)
        return PromotionTable(none.astype(np.int16), none, none.copy(), none.astype(np.uint8))
    if "store" not in promotions.columns:
        promotions = promotions.join(pl.DataFrame({"store": store_key}), how="cross")
    codes = pl.DataFrame({"product": products.key[:eligible], "p": np.arange(eligible, dtype=np.int32)})
    stores = pl.DataFrame({"store": store_key, "s": np.arange(len(store_key), dtype=np.int32)})
    table = (
        promotions.lazy()
        .select(
            pl.col("week").cast(pl.Int16),
            pl.col("store").cast(store_key.dtype),
            pl.col("product").cast(products.key.dtype),
            pl.col("kind").cast(pl.UInt8),
        )
        .filter(pl.col("kind") > 0)
        .join(codes.lazy(), on="product", how="inner")
        .join(stores.lazy(), on="store", how="inner")
        .select("week", "s", "p", "kind")
        .collect()
    )
    week, store = table["week"].to_numpy(), table["s"].to_numpy()
    product, kind = table["p"].to_numpy(), table["kind"].to_numpy()
    cell = (week.astype(np.int64) * len(store_key) + store) * eligible + product
    if len(cell) and not (cell[1:] > cell[:-1]).all():
        order = np.argsort(cell, kind="stable")
        cell, kind = cell[order], kind[order]
        first = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
        kind = np.bitwise_or.reduceat(kind, first)
        week, store, product = week[order][first], store[order][first], product[order][first]
    return PromotionTable(week, store, product, np.ascontiguousarray(kind))


def _choice_stores(
    lines: Lines, products: Products, stores: int, rules: CatalogueRules, fit_until_week: int | None
) -> Bool[ndarray, " store"]:
    counted = products.category[lines.product] >= 0
    if fit_until_week is not None and not rules.stores_from_all_weeks:
        counted &= lines.week <= fit_until_week
    enough: ndarray = np.bincount(lines.store[counted], minlength=stores) >= rules.min_store_lines
    return enough
