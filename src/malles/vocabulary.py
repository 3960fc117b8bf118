"""The nouns of malles, in the order in which data flows through them.

    DataSet → Catalogue (Lines, Products) → Occasions → ChoiceData → Decisions

Arrays carry their shape by the names of their axes:

    line         one transaction          occasion   one moment of choice
    alternative  one option; column 0 is the outside option (buying nothing)
    feature      a number describing an alternative of an occasion
    context      a number describing the occasion itself (customer, category, week)

Everything here is frozen data; what is done with it stands in the packages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag, StrEnum
from typing import Any

import polars as pl
from jaxtyping import Bool, Float32, Int16, Int32, Int64, UInt8
from numpy import ndarray

OUTSIDE = -1
"""Product code of column 0: buying nothing."""

OTHER = -2
"""Product code of the explicit alternative "another product of this category"."""

PADDING = -3
"""Product code of a column that holds no alternative (always unavailable)."""


class Promotion(IntFlag):
    """What was announced for a product in a store and week, or to one customer, as bits."""

    DISPLAY = 1
    MAILER = 2
    MAILER_PAGE = 4
    """Front or back page of the mailer."""
    COUPON = 8
    """The customer holds an active coupon for the product."""


class Regime(StrEnum):
    """What a model may know when it decides (`docs/method/occasions.md`)."""

    FULL = "full"
    """Everything up to the moment of choice."""
    NOHIST = "nohist"
    """No history of this customer at all: a new customer."""
    LAUNCH = "launch"
    """No sales history of the category, nor the customer's own in it: a new category or a new market."""


@dataclass(frozen=True)
class DataSet:
    """Checked tables of one data set, in canonical columns (`docs/schema.md`)."""

    name: str
    currency: str
    """ISO 4217 code of every price."""
    time_zone: str
    """IANA name; timestamps are local wall-clock time in this zone."""
    transactions: pl.DataFrame
    """order, timestamp, week, customer, store, product, quantity, price, list_price.

    One row per order line. `week` counts from 1 and never spans two price weeks; `price` is the net shelf
    price per unit, `list_price` the regular price per unit; both in `currency`.
    """
    products: pl.DataFrame
    """product, department, category, subcategory, brand, manufacturer, size, text; any further attributes."""
    customers: pl.DataFrame
    """customer and any attributes; missing is missing."""
    promotions: pl.DataFrame
    """product, store, week, kind (bits of `Promotion`); sorted; may be empty."""
    offers: pl.DataFrame
    """customer, product, start, end: coupons sent to customers (dates, both inclusive); may be empty.

    `customer` and `product` may be lists: a campaign of a thousand customers and products is one row.
    """
    provenance: dict[str, Any]
    """origin, licence, rows read, accepted and quarantined, and what each cleaning rule touched."""
    quarantine: pl.DataFrame | None = None
    """Refused transaction rows: file, line, cause, column, text; None where they are kept elsewhere."""


@dataclass(frozen=True)
class Lines:
    """Transactions coded to dense integers and sorted by (timestamp, basket, product)."""

    customer: Int32[ndarray, " line"]
    store: Int32[ndarray, " line"]
    """Dense code; a data set without stores has the single store 0."""
    product: Int32[ndarray, " line"]
    basket: Int64[ndarray, " line"]
    week: Int16[ndarray, " line"]
    timestamp: Int64[ndarray, " line"]
    """Seconds since 1970-01-01, local wall-clock time."""
    quantity: Int32[ndarray, " line"]
    price: Float32[ndarray, " line"]
    list_price: Float32[ndarray, " line"]

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, rows: ndarray) -> Lines:
        """The lines selected by an index or a mask, in that order."""
        return Lines(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def before(self, week: int) -> Lines:
        """The lines of earlier weeks."""
        return self.take(self.week < week)


@dataclass(frozen=True)
class Embedding:
    """Vectors of one embedding column of the product table (of an image, of a text), by product."""

    name: str
    vector: Float32[ndarray, "product dimension"]
    """0 where unknown."""
    known: Bool[ndarray, " product"]


@dataclass(frozen=True)
class Products:
    """Attributes of every product that occurs in `Lines`, by dense product code."""

    key: pl.Series
    """The data set's own product key."""
    category: Int32[ndarray, " product"]
    """Choice category, or -1 for a product outside every eligible choice category."""
    group: Int32[ndarray, " product"]
    """The coarser category that choice categories are held out by (for example SOFT DRINKS); -1 if none."""
    department: Int32[ndarray, " product"]
    manufacturer: Int32[ndarray, " product"]
    """-1 where unknown."""
    private_label: Bool[ndarray, " product"]
    size: Int32[ndarray, " product"]
    """Code of the size text; -1 where unknown."""
    amount: Float32[ndarray, " product"]
    """Size as a number in its base unit (ounces, counts, ...); NaN where unknown."""
    text: pl.Series
    """What a person would read on the label; never empty."""
    embeddings: tuple[Embedding, ...] = ()
    """Embedding columns in the order of the product table."""

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True)
class PromotionTable:
    """Announced promotions of eligible products, sorted by (week, store, product)."""

    week: Int16[ndarray, " row"]
    store: Int32[ndarray, " row"]
    product: Int32[ndarray, " row"]
    kind: UInt8[ndarray, " row"]


@dataclass(frozen=True)
class Offers:
    """Coupons sent to single customers, sorted by (customer, product)."""

    customer: Int32[ndarray, " row"]
    product: Int32[ndarray, " row"]
    start: Int64[ndarray, " row"]
    """First valid second."""
    end: Int64[ndarray, " row"]
    """First second after the last valid day."""
    bundle_start: Int64[ndarray, " bundle_edge"] | None = None
    """If given, `product` holds bundle codes: bundle b is `bundle_product[start[b] : start[b + 1]]`."""
    bundle_product: Int32[ndarray, " member"] | None = None
    """Product codes, sorted within a bundle; so a campaign for a thousand customers stays small."""


@dataclass(frozen=True)
class Catalogue:
    """A data set coded for computation: dense integers, sorted arrays, names beside them."""

    name: str
    currency: str
    lines: Lines
    products: Products
    category_name: tuple[str, ...]
    """By choice-category code, for example 'SOFT DRINKS | 2 LITER'."""
    group_name: tuple[str, ...]
    customer_key: pl.Series
    """By dense customer code."""
    store_key: pl.Series
    customers: pl.DataFrame
    """Attributes in the order of `customer_key`; null where unknown."""
    promotions: PromotionTable
    offers: Offers
    choice_store: Bool[ndarray, " store"]
    """Stores with enough lines to form slates in."""


@dataclass(frozen=True)
class Occasions:
    """Choice occasions. Column 0 is the outside option, the last column may be `OTHER`."""

    customer: Int32[ndarray, " occasion"]
    """Dense code, or -1 for a customer the catalogue does not know."""
    store: Int32[ndarray, " occasion"]
    basket: Int64[ndarray, " occasion"]
    week: Int16[ndarray, " occasion"]
    timestamp: Int64[ndarray, " occasion"]
    category: Int32[ndarray, " occasion"]
    product: Int32[ndarray, "occasion alternative"]
    """Product code, or OUTSIDE, OTHER, PADDING."""
    price: Float32[ndarray, "occasion alternative"]
    """Net unit price inferred without the deciding customer; 0 where there is no product."""
    list_price: Float32[ndarray, "occasion alternative"]
    promotion: UInt8[ndarray, "occasion alternative"]
    """Bits of `Promotion`."""
    available: Bool[ndarray, "occasion alternative"]
    rank: Int16[ndarray, "occasion alternative"]
    """0 = most popular by the slate rule; -1 where there is no product. Hidden in the launch regime."""
    chosen: Int16[ndarray, " occasion"]
    """Column of the choice; -1 where it is unknown (prediction)."""
    units: Int32[ndarray, " occasion"]
    """Units bought of the chosen alternative; 0 where unknown or nothing was bought."""

    def __len__(self) -> int:
        return len(self.customer)

    @property
    def shape(self) -> tuple[int, int]:
        """(occasions, alternatives)."""
        return self.product.shape

    def take(self, rows: ndarray) -> Occasions:
        """The occasions selected by an index or a mask, in that order."""
        return Occasions(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class ChoiceData:
    """Occasions with what a model may see of them."""

    occasions: Occasions
    features: Float32[ndarray, "occasion alternative feature"]
    """Zero in columns without a product; NaN never."""
    feature_names: tuple[str, ...]
    context: Float32[ndarray, "occasion context"]
    context_names: tuple[str, ...]
    regime: Regime
    catalogue: Catalogue | None = None
    """Names behind the codes, for models that read words."""

    def __len__(self) -> int:
        return len(self.occasions)

    def take(self, rows: ndarray) -> ChoiceData:
        """The occasions selected by an index or a mask, with their features."""
        return replace(
            self,
            occasions=self.occasions.take(rows),
            features=self.features[rows],
            context=self.context[rows],
        )

    def feature(self, name: str) -> Float32[ndarray, "occasion alternative"]:
        """One feature by name."""
        return self.features[:, :, self.feature_names.index(name)]


@dataclass(frozen=True)
class Decisions:
    """What a model says of each occasion: a distribution over alternatives, and units given each."""

    probability: Float32[ndarray, "occasion alternative"]
    """Rows sum to one; exactly 0 where unavailable."""
    units_mean: Float32[ndarray, "occasion alternative"]
    """Expected units if the alternative is bought; 0 in column 0."""
    units_median: Float32[ndarray, "occasion alternative"]
