"""Choice occasions as a long table, one row per occasion and alternative (`docs/method/occasions.md`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int32
from numpy import ndarray

from malles.errors import OccasionError, SchemaError, did_you_mean
from malles.occasions.cells import read_flags, read_moments, read_numbers
from malles.occasions.ranks import build_ranks
from malles.vocabulary import OTHER, OUTSIDE, PADDING, Catalogue, Occasions, Promotion

NEEDED = ("occasion", "customer", "timestamp", "alternative", "price")
OPTIONAL = (
    "store", "week", "basket", "category", "list_price", "display", "mailer", "mailer_page", "coupon",
    "available", "rank", "chosen", "units",
)  # fmt: skip
BITS = {
    "display": Promotion.DISPLAY,
    "mailer": Promotion.MAILER,
    "mailer_page": Promotion.MAILER_PAGE,
    "coupon": Promotion.COUPON,
}
SPECIAL = {"outside": OUTSIDE, "other": OTHER}
"""Alternatives that are no products: buying nothing, and any product of the category that is not listed."""


@dataclass(frozen=True)
class OccasionKeys:
    """How the user calls the rows and columns of the occasions that were read."""

    occasion: pl.Series
    """The table's own occasion key, by row."""
    alternative: pl.Series
    """The catalogue's product key as text, by product code."""
    ignored: tuple[str, ...]
    """Columns of the table that are not part of the schema and were not read."""

    def to_table(self, occasions: Occasions, **values: ndarray) -> pl.DataFrame:
        """One row per occasion and available alternative, with any [occasion, alternative] arrays as
        columns.
        """
        row, column = np.nonzero(occasions.available)
        return pl.DataFrame(
            {
                "occasion": self.occasion[row.tolist()],
                "alternative": _names(self.alternative, occasions.product[row, column]),
                **{name: array[row, column] for name, array in values.items()},
            }
        )


def read_occasions(source: Path | pl.DataFrame, catalogue: Catalogue) -> tuple[Occasions, OccasionKeys]:
    """Choice occasions from a long table, coded by a catalogue.

    Needed columns: occasion, customer, timestamp, alternative, price (and store, if there are several).
    Optional:
    list_price (else the price), display, mailer, mailer_page, coupon (else no), available (else yes),
    category (else that of the products), week (else from the timestamp), basket, rank (else by the slate rule
    on earlier weeks), chosen and units. An alternative is a product key, or the word `outside` or `other`.

    Args:
        source: a Parquet or CSV file, or a data frame. Slates may differ in length.
        catalogue: knows the products and stores; an unknown customer gets the code -1.

    Returns:
        Occasions in the table's order, products in the table's order from column 1 on; and the table's own
        keys.

    Raises:
        SchemaError: a needed column is missing or unreadable.
        OccasionError: an occasion cannot be decided: unknown product or store, no available alternative, a
        price
            that is not positive, an alternative listed twice, several choices. The message names the
            occasion.
    """
    table = open_table(source) if isinstance(source, Path) else source
    missing = [name for name in NEEDED if name not in table.columns]
    if len(catalogue.store_key) > 1 and "store" not in table.columns:
        missing.append("store")
    if missing:
        hints = " ".join(filter(None, (did_you_mean(name, table.columns) for name in missing)))
        raise SchemaError(
            f"The occasions table lacks {', '.join(map(repr, missing))}; it has "
            f"{', '.join(map(repr, table.columns)) or 'no columns'}. {hints}".rstrip()
        )
    if not table.height:
        raise OccasionError("The occasions table has no rows; expected one row per occasion and alternative.")
    rows = _normalise(table, catalogue)
    return _arrange(rows, catalogue, table)


def write_occasions(
    occasions: Occasions, catalogue: Catalogue, path: Path | None = None, occasion: pl.Series | None = None
) -> pl.DataFrame:
    """The long table of occasions, which `read_occasions` reads back to the same arrays.

    Args:
        occasions: any occasions.
        catalogue: knows the keys.
        path: also write it there, as Parquet, or as CSV if the name ends so.
        occasion: key of every row; running numbers if not given.
    """
    listed = (occasions.product >= 0) | ((occasions.product != PADDING) & occasions.available)
    row, column = np.nonzero(listed)
    product = occasions.product[row, column]
    known = occasions.customer[row] >= 0
    customers = catalogue.customer_key[np.maximum(occasions.customer[row], 0).tolist()]
    keys = occasion if occasion is not None else pl.Series(np.arange(len(occasions)))
    categories = pl.Series([*catalogue.category_name, None], dtype=pl.String)
    bits = occasions.promotion[row, column]
    columns: dict[str, Any] = {
        "occasion": keys[row.tolist()],
        "customer": pl.select(pl.when(pl.Series(known)).then(customers)).to_series(),
        "store": catalogue.store_key[occasions.store[row].tolist()],
        "timestamp": pl.Series(occasions.timestamp[row] * 1_000_000).cast(pl.Datetime("us")),
        "week": occasions.week[row],
        "basket": occasions.basket[row],
        "category": categories[occasions.category[row].tolist()],
        "alternative": _names(catalogue.products.key.cast(pl.String), product),
        "price": occasions.price[row, column],
        "list_price": occasions.list_price[row, column],
        **{name: (bits & bit) > 0 for name, bit in BITS.items()},
        "available": occasions.available[row, column],
        "rank": occasions.rank[row, column],
    }
    if (occasions.chosen >= 0).any():
        columns["chosen"] = column == occasions.chosen[row]
        columns["units"] = np.where(columns["chosen"], occasions.units[row], 0)
    table = pl.DataFrame(columns)
    if path is not None:
        if path.suffix.lower() == ".csv":
            table.write_csv(path)
        else:
            table.write_parquet(path)
    return table


def open_table(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise SchemaError(f"There is no file {path}; give a Parquet or CSV file of occasions.")
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SchemaError(
            f"{path} cannot be read as an occasions table ({str(error).splitlines()[0]}); "
            "expected Parquet, or CSV with a header line."
        ) from error


def _normalise(table: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """Every column in its type, defaults filled in, keys coded; sorted by occasion, products in table
    order.
    """
    frame = table.select(name for name in (*NEEDED, *OPTIONAL) if name in table.columns)
    frame = frame.with_columns(
        name=pl.col("alternative").cast(pl.String).str.strip_chars(),
        moment=read_moments(frame),
        price=read_numbers(frame, "price"),
        list_price=read_numbers(frame, "list_price")
        if "list_price" in frame.columns
        else read_numbers(frame, "price"),
        **{name: read_flags(frame, name, default=False) for name in BITS},
        available=read_flags(frame, "available", default=True),
    )
    products = pl.DataFrame(
        {
            "name": [*catalogue.products.key.cast(pl.String).to_list(), *SPECIAL],
            "product": np.append(np.arange(len(catalogue.products)), list(SPECIAL.values())).astype(np.int32),
        }
    ).unique("name", keep="first", maintain_order=True)
    order = frame.select(pl.col("occasion").unique(maintain_order=True)).with_row_index("o")
    frame = frame.join(order, on="occasion", how="left", nulls_equal=True, maintain_order="left")
    frame = frame.join(products, on="name", how="left", maintain_order="left")
    _refuse_unknown(frame, catalogue)
    customer = _coded(frame["customer"], catalogue.customer_key)
    if "store" in frame.columns:
        store = _coded(frame["store"], catalogue.store_key)
    else:
        store = pl.Series(np.zeros(frame.height, np.int32))
    frame = frame.with_columns(customer_code=customer, store_code=store)
    _refuse(
        frame.filter(pl.col("store_code") < 0),
        lambda r: f"store {r['store']!r} is not in {catalogue.name}; use one of its own stores",
    )
    return frame


def _refuse_unknown(frame: pl.DataFrame, catalogue: Catalogue) -> None:
    unknown = frame.filter(pl.col("product").is_null())
    if not unknown.height:
        return
    names = unknown["name"].unique(maintain_order=True)
    shown = ", ".join(repr(name) for name in names[:5].to_list())
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    known = catalogue.products.key.cast(pl.String)
    near = did_you_mean(str(names[0]), known.head(20_000).to_list())
    raise OccasionError(
        f"Occasion {unknown['occasion'][0]!r}: unknown alternatives {shown}{more}; expected product keys of "
        f"{catalogue.name}, 'outside' or 'other'. {near}".rstrip()
    )


def _refuse(bad: pl.DataFrame, sentence: Any) -> None:
    if bad.height:
        first = bad.row(0, named=True)
        others = bad["o"].n_unique() - 1
        also = f" (and {others:,} more occasions like it)" if others else ""
        raise OccasionError(f"Occasion {first['occasion']!r}: {sentence(first)}{also}.")


def _arrange(
    frame: pl.DataFrame, catalogue: Catalogue, table: pl.DataFrame
) -> tuple[Occasions, OccasionKeys]:
    real = pl.col("product") >= 0
    _refuse(
        frame.filter(pl.struct("o", "name").is_duplicated()),
        lambda r: f"alternative {r['name']!r} is listed twice; list each once",
    )
    bad = pl.col("price").is_null() | ~pl.col("price").is_finite() | (pl.col("price") <= 0)
    bad |= ~pl.col("list_price").is_finite() | (pl.col("list_price") < 0)
    _refuse(
        frame.filter(real & bad.fill_null(True)),
        lambda r: (
            f"alternative {r['name']!r} has price {r['price']} (list price {r['list_price']}); expected > 0"
        ),
    )
    heads = [
        c for c in ("customer", "store", "timestamp", "week", "basket", "category") if c in frame.columns
    ]
    per = (
        frame.group_by("o").agg(pl.col("occasion").first(), *(pl.col(c).n_unique() for c in heads)).sort("o")
    )
    for name in heads:
        _refuse(
            per.filter(pl.col(name) > 1),
            lambda r, name=name: f"it has {r[name]} different values of {name!r}; each occasion has one",
        )
    some = frame.group_by("o").agg(pl.col("occasion").first(), pl.col("available").any()).sort("o")
    _refuse(
        some.filter(~pl.col("available")),
        lambda r: "no alternative is available; make at least one available or leave the occasion out",
    )
    count = len(per)
    frame = frame.with_columns(slot=real.cum_sum().over("o")).with_columns(
        slot=pl.when(real).then(pl.col("slot")).otherwise(0)
    )
    other = bool((frame["product"] == OTHER).any())
    width = 1 + int(frame["slot"].max() or 0) + other  # type: ignore[arg-type]
    row = frame["o"].to_numpy().astype(np.int64)
    column = np.where(frame["product"].to_numpy() == OTHER, width - 1, frame["slot"].to_numpy()).astype(
        np.int64
    )

    def fill(values: Any, empty: int, dtype: type) -> ndarray:
        out: ndarray = np.full((count, width), empty, dtype)
        out[row, column] = values
        return out

    product = fill(frame["product"].to_numpy(), PADDING, np.int32)
    product[:, 0] = OUTSIDE
    promotion = sum(frame[name].cast(pl.UInt8).to_numpy() * np.uint8(bit) for name, bit in BITS.items())
    is_product = frame.select(real).to_series().to_numpy()
    prices = {
        name: fill(np.where(is_product, frame[name].fill_null(0).to_numpy(), 0), 0, np.float32)
        for name in ("price", "list_price")
    }
    head = frame.unique("o", keep="first", maintain_order=True).sort("o")
    chosen, units = _choices(frame, row, column, count)
    occasions = Occasions(
        customer=head["customer_code"].to_numpy().astype(np.int32),
        store=head["store_code"].to_numpy().astype(np.int32),
        basket=(
            head["basket"].cast(pl.Int64).to_numpy().copy()
            if "basket" in head.columns
            else -1 - np.arange(count, dtype=np.int64)
        ),
        week=_weeks(head, catalogue),
        timestamp=head["moment"].to_numpy().copy(),
        category=_categories(head, product, catalogue),
        product=product,
        price=prices["price"],
        list_price=prices["list_price"],
        promotion=fill(promotion, 0, np.uint8),
        available=fill(frame["available"].to_numpy(), 0, np.bool_),
        rank=np.full((count, width), -1, np.int16),
        chosen=chosen,
        units=units,
    )
    if "rank" in frame.columns and not frame["rank"].null_count():
        rank = fill(frame["rank"].cast(pl.Int16).to_numpy(), -1, np.int16)
    else:
        rank = build_ranks(occasions, catalogue)
    known = (*NEEDED, *OPTIONAL)
    keys = OccasionKeys(
        occasion=head["occasion"],
        alternative=catalogue.products.key.cast(pl.String),
        ignored=tuple(name for name in table.columns if name not in known),
    )
    return replace(occasions, rank=np.where(product >= 0, rank, np.int16(-1))), keys


def _names(keys: pl.Series, product: Int32[ndarray, " cell"]) -> pl.Series:
    """Product keys as text; `outside` and `other` for the two special alternatives."""
    words = {code: word for word, code in SPECIAL.items()}
    names = pl.DataFrame({"name": keys[np.maximum(product, 0).tolist()], "code": product})
    return names.select(
        pl.when(pl.col("code") >= 0)
        .then(pl.col("name"))
        .otherwise(pl.col("code").replace_strict(words, default=None, return_dtype=pl.String))
        .alias("alternative")
    ).to_series()


def _coded(values: pl.Series, keys: pl.Series) -> pl.Series:
    """Dense codes by the key as text; -1 where it is not known."""
    lookup = pl.DataFrame({"key": keys.cast(pl.String), "code": np.arange(len(keys), dtype=np.int32)})
    frame = pl.DataFrame({"key": values.cast(pl.String)})
    return frame.join(lookup, on="key", how="left", maintain_order="left")["code"].fill_null(-1)


def _choices(frame: pl.DataFrame, row: ndarray, column: ndarray, count: int) -> tuple[ndarray, ndarray]:
    """Column of the choice (-1 unknown) and its units (0 unknown)."""
    chosen, units = np.full(count, -1, np.int16), np.zeros(count, np.int32)
    if "chosen" not in frame.columns:
        return chosen, units
    frame = frame.with_columns(chosen=read_flags(frame, "chosen", default=False))
    several = frame.group_by("o").agg(pl.col("occasion").first(), n=pl.col("chosen").sum()).sort("o")
    _refuse(
        several.filter(pl.col("n") > 1), lambda r: f"{r['n']} alternatives are chosen; expected one at most"
    )
    _refuse(
        frame.filter(pl.col("chosen") & ~pl.col("available")),
        lambda r: f"the chosen alternative {r['name']!r} is not available; make it available",
    )
    mask = frame["chosen"].to_numpy()
    chosen[row[mask]] = column[mask]
    if "units" in frame.columns:
        whole = read_numbers(frame, "units").fill_null(0)
        _refuse(
            frame.filter((whole < 0) | (whole != whole.round()) | ~whole.is_finite()),
            lambda r: f"units are {r['units']}; expected whole numbers from 0",
        )
        units[row[mask]] = whole.to_numpy()[mask]
    return chosen, units


def _weeks(head: pl.DataFrame, catalogue: Catalogue) -> ndarray:
    """The given weeks, else the week in which the catalogue's own lines of that time lie."""
    if "week" in head.columns and not head["week"].null_count():
        return head["week"].cast(pl.Int16).to_numpy().copy()
    lines = catalogue.lines
    last = int(lines.week.max(initial=1))
    start = np.full(last + 1, np.iinfo(np.int64).max)
    np.minimum.at(start, lines.week, lines.timestamp)
    start = np.minimum.accumulate(start[::-1])[::-1]  # a week without lines begins with the next one
    moment = head["moment"].to_numpy()
    week = np.maximum(np.searchsorted(start[1:], moment, side="right"), 1)
    beyond = np.maximum(moment - start[last], 0) // (7 * 86_400)
    return np.where(week >= last, last + beyond, week).astype(np.int16)


def _categories(head: pl.DataFrame, product: ndarray, catalogue: Catalogue) -> ndarray:
    """The named categories, else that of the first product which has one; -1 if there is none."""
    of_product = np.where(product >= 0, catalogue.products.category[np.maximum(product, 0)], -1)
    has = of_product >= 0
    first = of_product[np.arange(len(product)), has.argmax(axis=1)]
    derived = np.where(has.any(axis=1), first, -1).astype(np.int32)
    if "category" not in head.columns:
        return derived
    named = _coded(head["category"], pl.Series(catalogue.category_name, dtype=pl.String)).to_numpy()
    bad = head.filter(pl.col("category").is_not_null() & pl.Series(named < 0))
    _refuse(
        bad,
        lambda r: (
            f"category {r['category']!r} is no choice category of {catalogue.name}; "
            f"leave the column out to take that of the products. "
            f"{did_you_mean(str(r['category']), catalogue.category_name)}"
        ).rstrip(),
    )
    return np.where(named >= 0, named, derived).astype(np.int32)
