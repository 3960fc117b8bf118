"""Online Retail II (Chen 2019, UCI): invoice lines of a British gift wholesaler, 2009-12 to 2011-12."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from malles.data.columns import ColumnMap
from malles.data.files import read_file
from malles.data.importing import Imported, import_files
from malles.data.sources.delimited import build_dataset
from malles.data.sources.source import Source
from malles.errors import SchemaError, UsageError
from malles.vocabulary import DataSet

FORMS: tuple[dict[str, str], ...] = tuple(
    dict(zip(("order", "timestamp", "customer", "product", "quantity", "price", "text"), names, strict=True))
    for names in (
        ("Invoice", "InvoiceDate", "Customer ID", "StockCode", "Quantity", "Price", "Description"),
        ("InvoiceNo", "InvoiceDate", "CustomerID", "StockCode", "Quantity", "UnitPrice", "Description"),
        ("invoice", "invoice_ts", "customer_id", "stock_code", "quantity", "unit_price_gbp", "description"),
    )
)
"""Column names of the copies in circulation."""

PRODUCT_CODE = r"^\d{5}"
"""Goods have five digits, perhaps with letters after them; POST, D, M, ADJUST and the like do not."""


def load_online_retail(path: Path | None) -> DataSet:
    """Invoice lines of known customers for real goods; cancellations, write-offs, free and unidentified
    lines set aside.

    There is one store, no list price and no promotion. Many buyers are resellers, and prices vary mostly by
    quantity break.
    """
    if path is None:
        raise UsageError(
            "The source 'online_retail' needs its file: malles data add online_retail PATH. Get it from "
            "archive.ics.uci.edu/dataset/502."
        )
    lines, form = _import(path)
    dataset = build_dataset("online_retail", [lines])
    rows = dataset.transactions
    goods = pl.col("product").cast(pl.String).str.contains(PRODUCT_CODE)
    kept = rows.filter(goods)
    others = len(rows) - len(kept)
    report = lines.report
    dataset.provenance.update(
        origin=SOURCE.origin,
        licence=SOURCE.licence,
        transactions={
            "records": report.records,
            "accepted": len(kept),
            "quarantined": report.quarantined + others,
            "causes": {**report.causes, "code without five digits": others},
        },
        form=form,
    )
    products = dataset.products.join(
        kept.select("product").unique(), on="product", how="semi", maintain_order="left"
    )
    customers = dataset.customers.join(
        kept.select("customer").unique(), on="customer", how="semi", maintain_order="left"
    )
    named = _names(path, form)
    text = products.select("product").join(named, on="product", how="left", maintain_order="left")["text"]
    products = products.with_columns(text=text.zip_with(text.is_not_null(), products["text"]))
    return replace(dataset, transactions=kept, products=products, customers=customers)


def _import(path: Path) -> tuple[Imported, dict[str, str]]:
    trouble: SchemaError | None = None
    for form in FORMS:
        columns = {k: v for k, v in form.items() if k != "text"}
        try:
            return import_files(
                [path], "transactions", ColumnMap(columns=columns, currency="GBP", time_zone="Europe/London")
            ), form
        except SchemaError as error:
            trouble = trouble or error
    raise trouble if trouble else SchemaError(f"{path.name} is no Online Retail file.")


def _names(path: Path, form: dict[str, str]) -> pl.DataFrame:
    """The most frequent description of every stock code."""
    columns = {"product": form["product"], "text": form["text"]}
    read = read_file(path).rows.select(
        pl.col(v).cast(pl.String).str.strip_chars().alias(k) for k, v in columns.items()
    )
    counted = (
        read.filter(pl.col("text") != "")
        .group_by("product", "text")
        .len()
        .sort("len", "text", descending=[True, False])
    )
    return counted.group_by("product", maintain_order=True).first().select("product", "text")


SOURCE = Source(
    name="online_retail",
    origin="Chen, D. (2019), Online Retail II, UCI Machine Learning Repository, doi 10.24432/C5CG6D",
    licence="CC BY 4.0",
    how="get it from archive.ics.uci.edu/dataset/502, then: malles data add online_retail PATH",
    rows="1,067,371 invoice lines",
    needs_path=True,
    load=load_online_retail,
)
