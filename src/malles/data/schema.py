"""The canonical tables as data you can read: what every source is brought into (`docs/schema.md`)."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from malles.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Column:
    """One column of a canonical table."""

    name: str
    kind: str
    """key (Int64 or String), time, date, whole, number or text."""
    required: bool
    unit: str
    meaning: str
    aliases: tuple[str, ...] = ()
    """Names other tables use for it; they feed suggestions and are never matched silently."""


@dataclass(frozen=True)
class Table:
    """One canonical table."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    attributes: bool = False
    """Whether further columns are kept as attributes."""
    vectors: bool = False
    """Whether further columns that hold lists of numbers are kept as embeddings."""

    def column(self, name: str) -> Column:
        """One column by name."""
        return next(c for c in self.columns if c.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in canonical order."""
        return tuple(c.name for c in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns without which a table cannot be used."""
        return tuple(c.name for c in self.columns if c.required)


_CUSTOMER = ("customer id", "household id", "household", "client", "client id", "shopper", "user id", "buyer")
_PRODUCT = ("stock code", "sku", "item", "item id", "product id", "article", "upc", "ean", "gtin", "asin")
_STORE = ("store id", "shop", "channel", "outlet", "branch", "location")
_TIME = (
    "date",
    "invoice date",
    "invoice ts",
    "order date",
    "transaction timestamp",
    "time",
    "datetime",
    "purchased at",
    "bought at",
)

TRANSACTIONS = Table(
    "transactions",
    "One row per order line.",
    (
        Column(
            "order",
            "key",
            True,
            "",
            "order, invoice or basket number",
            (
                "invoice",
                "invoice no",
                "order id",
                "basket",
                "basket id",
                "receipt",
                "ticket",
                "transaction id",
            ),
        ),
        Column("timestamp", "time", True, "local wall-clock time", "moment of purchase", _TIME),
        Column("week", "whole", False, "week, from 1", "price week; derived from the timestamp where absent"),
        Column("customer", "key", True, "", "customer, household or firm", _CUSTOMER),
        Column("store", "key", False, "", "store or channel; 'all' where absent", _STORE),
        Column("product", "key", True, "", "product code", _PRODUCT),
        Column(
            "quantity",
            "whole",
            True,
            "units",
            "units bought on this line",
            ("qty", "units", "count", "pieces", "quantity sold"),
        ),
        Column(
            "price",
            "number",
            True,
            "currency / unit",
            "net price paid per unit",
            ("unit price", "unit price gbp", "net price", "price paid", "sale price", "cost", "price each"),
        ),
        Column(
            "list_price",
            "number",
            False,
            "currency / unit",
            "regular price per unit; equal to price where absent",
            ("regular price", "base price", "original price", "rrp", "msrp"),
        ),
    ),
)

PRODUCTS = Table(
    "products",
    "One row per product; further columns are kept as attributes. A further column of a Parquet file that "
    "holds lists of numbers, all of one length, is an embedding (of an image, of a text); null where there "
    "is none.",
    (
        Column("product", "key", True, "", "product code", _PRODUCT),
        Column("department", "text", False, "", "coarsest level of the hierarchy", ("division", "section")),
        Column("category", "text", False, "", "middle level", ("product category", "category name", "group")),
        Column("subcategory", "text", False, "", "finest level", ("product type", "sub category", "class")),
        Column("brand", "text", False, "", "brand; 'Private' marks a private label", ("label", "brand name")),
        Column(
            "manufacturer", "text", False, "", "maker", ("manufacturer id", "vendor", "supplier", "producer")
        ),
        Column("size", "text", False, "", "package size as written", ("package size", "pack size", "volume")),
        Column(
            "text", "text", False, "", "what a person reads", ("description", "title", "product name", "name")
        ),
    ),
    attributes=True,
    vectors=True,
)

CUSTOMERS = Table(
    "customers",
    "One row per customer; further columns are kept as attributes, missing is missing.",
    (Column("customer", "key", True, "", "customer, household or firm", _CUSTOMER),),
    attributes=True,
)

PROMOTIONS = Table(
    "promotions",
    "One row per product, store and week that was announced.",
    (
        Column("product", "key", True, "", "product code", _PRODUCT),
        Column("store", "key", False, "", "store or channel; 'all' where absent", _STORE),
        Column("week", "whole", True, "week, from 1", "price week", ("week no", "week number", "period")),
        Column(
            "kind",
            "whole",
            True,
            "bits",
            "1 display, 2 mailer, 4 front or back page, 8 coupon",
            ("promotion", "type"),
        ),
    ),
)

OFFERS = Table(
    "offers",
    "Coupons sent to single customers. `customer` and `product` may be lists: everyone in the one may use "
    "everything in the other.",
    (
        Column("customer", "key", True, "", "customer, or a list of customers", _CUSTOMER),
        Column("product", "key", True, "", "product, or a list of products", _PRODUCT),
        Column("start", "date", True, "date", "first valid day", ("start date", "valid from")),
        Column("end", "date", True, "date", "last valid day", ("end date", "valid to")),
    ),
)

DIALOGUES = Table(
    "dialogues",
    "One row per turn of a negotiation.",
    (
        Column("case", "key", True, "", "dialogue", ("dialogue", "dialogue id", "conversation", "id")),
        Column("turn", "whole", True, "", "position in the dialogue, from 0", ("index", "round")),
        Column("role", "text", True, "", "who speaks", ("speaker", "agent", "party")),
        Column("text", "text", False, "", "what is said", ("message", "utterance")),
        Column(
            "offer", "number", False, "currency", "price offered in this turn", ("price", "bid", "amount")
        ),
        Column("outcome", "text", False, "", "how the dialogue ended", ("result", "status")),
    ),
)

TABLES = {t.name: t for t in (TRANSACTIONS, PRODUCTS, CUSTOMERS, PROMOTIONS, DIALOGUES, OFFERS)}
"""Every canonical table by name."""

IMPORTABLE = ("transactions", "products", "customers", "promotions", "dialogues")
"""Tables that `malles import` accepts."""

DTYPE: dict[str, pl.DataType] = {
    "key": pl.String(),
    "time": pl.Datetime("us"),
    "date": pl.Date(),
    "whole": pl.Int32(),
    "number": pl.Float64(),
    "text": pl.String(),
}
"""Polars type by kind; a key is Int64 instead where every value is a plain whole number."""


def find_table(name: str) -> Table:
    """A canonical table by name.

    >>> find_table("products").required
    ('product',)
    """
    if name not in TABLES:
        hint = did_you_mean(name, TABLES) or "Known tables: " + ", ".join(TABLES) + "."
        raise UsageError(f"There is no table {name!r}. {hint}")
    return TABLES[name]


def empty_table(name: str, keys: dict[str, pl.DataType] | None = None) -> pl.DataFrame:
    """A table without rows, in canonical columns; `keys` gives the type of its key columns.

    >>> empty_table("offers").columns
    ['customer', 'product', 'start', 'end']
    """
    types: dict[str, pl.DataType] = {}
    for column in find_table(name).columns:
        types[column.name] = DTYPE[column.kind]
        if column.kind == "key" and keys:
            types[column.name] = keys.get(column.name, DTYPE["key"])
    if name == "promotions":
        types |= {"week": pl.Int16(), "kind": pl.UInt8()}
    return pl.DataFrame(schema=types)


KINDS = {
    "key": "whole number or text",
    "time": "timestamp",
    "date": "date",
    "whole": "whole number",
    "number": "number",
    "text": "text",
}


def schema_page() -> str:
    """The page `docs/schema.md`, made from the tables above (a test keeps it in step)."""
    parts = [
        "# The canonical tables\n",
        "Every source and every import is brought into these tables; column names are exact. Other names are "
        "mapped in",
        "a column map (`malles import --columns MAP.toml`, see [the data method](method/data.md)). Each data "
        "set states",
        "one currency (ISO 4217) and one time zone (IANA); timestamps are local wall-clock time in that "
        "zone. Keys may be",
        "whole numbers or text, the same in all tables. Only `transactions` is needed.\n",
        "This page is made from `malles.data.schema`.",
    ]
    for table in TABLES.values():
        parts += [
            f"\n## {table.name}\n",
            f"{table.meaning}\n",
            "| column | type | needed | unit | meaning |",
            "|---|---|---|---|---|",
        ]
        for c in table.columns:
            needed = "yes" if c.required else "no"
            parts.append(f"| `{c.name}` | {KINDS[c.kind]} | {needed} | {c.unit} | {c.meaning} |")
    return "\n".join(parts) + "\n"
