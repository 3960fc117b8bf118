"""Written rules for order lines: each has a name, a reason, an effect and a count; nothing is dropped
silently.

A rule *refuses* a line (it goes to the quarantine with the rule's name as its cause), *changes* it, or only
*counts* it.
The first rule that refuses a line is its cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import polars as pl

ABSURD_PRICE = 1_000_000.0
"""No single unit in a shop costs a million; typing errors and codes in the price column do."""

ABSURD_QUANTITY = 1_000_000.0
"""Also keeps whole units inside 32-bit integers."""

NON_PRODUCT = (
    r"(?i)^\s*(POST|POSTAGE|DOT|BANK CHARGES|ADJUST\d*|AMAZONFEE|CRUK|SHIPPING|DISCOUNT"
    r"|GIFT CARD|GIFT VOUCHER)\s*$"
)
"""Words for postage, fees, discounts, adjustments and vouchers; single letters may be real products."""

FUEL = r"(?i)\b(GASOLINE|FUEL|DIESEL|PETROL)\b"

SERVICES = ("COUPON/MISC ITEMS", "COUPONS/STORE & MFG", "PROD SUPPLIES")
"""Product categories of Complete Journey that hold coupons, gift cards, supplies and tickets."""


class Effect(StrEnum):
    """What a rule does to the lines it touches."""

    REFUSE = "refused"
    CHANGE = "changed"
    COUNT = "kept"


@dataclass(frozen=True)
class Rule:
    """One written rule."""

    name: str
    effect: Effect
    column: str
    """The column that shows it."""
    meaning: str
    """What it touches and why, in one sentence."""
    touches: pl.Expr
    change: Mapping[str, pl.Expr] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Columns without which the rule is skipped (and reported as skipped)."""


def _refuse(name: str, column: str, meaning: str, touches: pl.Expr, needs: tuple[str, ...] = ()) -> Rule:
    return Rule(name, Effect.REFUSE, column, meaning, touches, {}, (column, *needs))


_quantity, _price, _time = pl.col("quantity"), pl.col("price"), pl.col("timestamp")

RULES: tuple[Rule, ...] = (
    _refuse(
        "impossible date",
        "timestamp",
        "A purchase before 1970 or after 2100 is a typing error or a filler.",
        (_time < pl.datetime(1970, 1, 1)) | (_time >= pl.datetime(2101, 1, 1)),
    ),
    _refuse(
        "return",
        "quantity",
        "Negative units are a return, a cancellation or a write-off; a choice is what was taken.",
        _quantity < 0,
    ),
    _refuse(
        "zero quantity",
        "quantity",
        "Nothing was bought; the line records a coupon or a correction.",
        _quantity == 0,
    ),
    _refuse(
        "absurd quantity", "quantity", "More than a million units on one line.", _quantity > ABSURD_QUANTITY
    ),
    _refuse("negative price", "price", "A negative price is an adjustment, not an offer.", _price < 0),
    _refuse("zero price", "price", "Given away or not recorded; the two cannot be told apart.", _price == 0),
    _refuse("absurd price", "price", "More than a million per unit.", _price > ABSURD_PRICE),
    _refuse(
        "absurd list price",
        "list_price",
        "More than a million per unit, or below zero.",
        (pl.col("list_price") > ABSURD_PRICE) | (pl.col("list_price") < 0),
    ),
    _refuse(
        "fuel",
        "subcategory",
        "Fuel is measured in thousandths of a gallon and bought by the tank, not chosen among alternatives.",
        pl.col("subcategory").cast(pl.String).str.contains(FUEL)
        | pl.col("category").cast(pl.String).str.contains(FUEL),
        ("category",),
    ),
    _refuse(
        "service category",
        "category",
        "Coupons, gift cards, tickets and supplies are not alternatives of a category.",
        pl.col("category").cast(pl.String).is_in(SERVICES),
    ),
    _refuse(
        "non-product code",
        "product",
        "Postage, fees, discounts and vouchers carry a code but are not products.",
        pl.col("product").cast(pl.String).str.contains(NON_PRODUCT),
    ),
    Rule(
        "weight measured",
        Effect.CHANGE,
        "quantity",
        "A quantity with a fraction is a weight: one unit (the package taken) at the price of the line.",
        _quantity != _quantity.round(0),
        {
            "price": _price * _quantity,
            "list_price": pl.col("list_price") * _quantity,
            "quantity": pl.lit(1.0),
        },
        ("quantity", "price", "list_price"),
    ),
    Rule(
        "list price below price",
        Effect.CHANGE,
        "list_price",
        "A regular price below what was paid is raised to it: a discount is never negative.",
        pl.col("list_price") < _price * (1 - 1e-9),
        {"list_price": _price},
        ("list_price", "price"),
    ),
    Rule(
        "exact duplicate",
        Effect.COUNT,
        "order",
        "A line equal to another in every column is kept: the same product scanned twice is a true repeat.",
        ~pl.struct(pl.all().exclude(r"^_.*$")).is_first_distinct(),
    ),
)
"""The standing rules, in the order in which they are applied."""


def ruled_products(products: pl.DataFrame) -> pl.DataFrame:
    """The few products that a rule on the hierarchy touches: product, category, subcategory.

    Joining only these to the lines gives the same refusals as joining all, without reading every line's text.

    >>> products = pl.DataFrame({"product": [1, 2], "category": ["MILK", "FUEL"], "subcategory": ["", ""]})
    >>> ruled_products(products)["product"].to_list()
    [2]
    """
    columns = [c for c in ("category", "subcategory") if c in products.columns]
    rules = [r for r in RULES if r.needs and set(r.needs) <= set(columns)]
    touched = pl.any_horizontal(pl.lit(value=False), *(r.touches.fill_null(value=False) for r in rules))
    return products.filter(touched).select("product", *columns)


@dataclass(frozen=True)
class RuleCount:
    """What one rule did."""

    rule: str
    effect: Effect
    lines: int
    meaning: str
    skipped: str = ""
    """Why it was not applied, if it was not."""


@dataclass(frozen=True)
class Cleaned:
    """Lines after the rules, with every refused line and every count beside them."""

    accepted: pl.DataFrame
    refused: pl.DataFrame
    """The refused lines as they were, with `_cause` and `_column`."""
    counts: tuple[RuleCount, ...]


def clean_transactions(lines: pl.DataFrame, rules: Sequence[Rule] = RULES) -> Cleaned:
    """Apply rules to order lines: refusals first (one cause per line), then changes, then counts.

    >>> lines = pl.DataFrame({"quantity": [1.0, -2.0, 0.5], "price": [2.0, 2.0, 8.0]})
    >>> lines = lines.with_columns(list_price="price")
    >>> done = clean_transactions(lines)
    >>> done.accepted["price"].to_list(), done.refused["_cause"].to_list()
    ([2.0, 4.0], ['return'])
    """
    usable = {rule.name: all(c in lines.columns for c in rule.needs) for rule in rules}
    refusing = [r for r in rules if r.effect is Effect.REFUSE and usable[r.name]]
    counts: dict[str, int] = {}
    refused = lines.clear().with_columns(_cause=pl.lit(None, pl.String), _column=pl.lit(None, pl.String))
    if refusing:
        number = pl.coalesce(*(pl.when(r.touches).then(pl.lit(i, pl.UInt8)) for i, r in enumerate(refusing)))
        cause = lines.select(number.alias("cause"))["cause"]
        if cause.null_count() < len(lines):
            names = pl.Series([r.name for r in refusing], dtype=pl.String)
            columns = pl.Series([r.column for r in refusing], dtype=pl.String)
            hit = cause.is_not_null()
            code = cause.filter(hit)
            refused = lines.filter(hit).with_columns(_cause=names.gather(code), _column=columns.gather(code))
            lines = lines.filter(~hit)
            counts = {names[c]: n for c, n in code.value_counts().iter_rows()}
    for rule in rules:
        if rule.effect is Effect.REFUSE or not usable[rule.name]:
            continue
        hit = (
            lines.select(rule.touches.fill_null(value=False).alias("hit"))["hit"]
            if len(lines)
            else pl.Series([], dtype=pl.Boolean)
        )
        counts[rule.name] = int(hit.sum())
        if rule.change and counts[rule.name]:
            lines = lines.with_columns(
                pl.when(hit).then(value).otherwise(pl.col(name)).alias(name)
                for name, value in rule.change.items()
            )
    report = tuple(
        RuleCount(
            r.name,
            r.effect,
            counts.get(r.name, 0),
            r.meaning,
            ""
            if usable[r.name]
            else "no column " + ", ".join(repr(c) for c in r.needs if c not in lines.columns),
        )
        for r in rules
    )
    return Cleaned(lines, refused, report)
