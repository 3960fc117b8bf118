"""The kinds of [[change]] in a scenario file, one class each."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from malles.config.section import Section, Week


def _as_key(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _in_order(value: Any) -> Any:
    if isinstance(value, list) and len(set(map(str, value))) < len(value):
        raise ValueError(f"names something twice: {value}; name each once")
    return value


Key = Annotated[str, BeforeValidator(_as_key), Field(min_length=1, max_length=400)]
"""A key or a text of the data set; a whole number is a key too."""
Keys = Annotated[tuple[Key, ...], BeforeValidator(_in_order), Field(min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Price = Annotated[Number, Field(gt=0, le=1e9)]
Relative = Annotated[Number, Field(gt=-1, le=100)]
Part = Annotated[Number, Field(ge=0, lt=1)]
Switch = Annotated[bool, Field(strict=True)]


class SegmentTable(Section):
    """Customers by a column of the customers table."""

    column: Annotated[str, Field(min_length=1)]
    """For example "income"."""
    values: Keys
    """Customers with one of these values."""


class Limited(Section):
    """What every change may say: where and when it holds."""

    weeks: Annotated[tuple[Week, ...], BeforeValidator(_in_order), Field(min_length=1)] | None = None
    """Every week in which it holds; None = all of the what-if."""
    stores: Keys | None = None
    """Stores in which it holds; None = all."""


class OfOneProduct(Limited):
    """A change of one product."""

    product: Key
    """The data set's key of a product, or its text where only one product has it."""


class Moves(Limited):
    """A change of a price, by a part or to a value."""

    relative: Relative | None = None
    """-0.2 = 20 % off."""
    absolute: Price | None = None
    """The new price, in the data set's currency."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.relative is None) == (self.absolute is None):
            raise ValueError(
                f"needs either relative or absolute, got relative = {self.relative}, absolute = "
                f"{self.absolute}; give one of them"
            )
        return self


class PriceTable(Moves, OfOneProduct):
    """Another price of one product."""

    kind: Literal["price"]


class ScheduleTable(Limited):
    """Another price in each week named."""

    kind: Literal["schedule"]
    product: Key
    """The product."""
    prices: Annotated[dict[str, Price], Field(min_length=1)]
    """Price by week, for example { "43" = 0.99, "44" = 1.19 }."""

    @model_validator(mode="after")
    def _weeks_are_numbers(self) -> Self:
        wrong = [week for week in self.prices if not (week.isascii() and week.isdigit() and int(week) > 0)]
        if wrong:
            raise ValueError(f"prices names the week {wrong[0]!r}; weeks are whole numbers from 1")
        if self.weeks is not None:
            raise ValueError("has weeks beside prices; the weeks stand in prices already, so leave weeks out")
        return self


class DiscountTable(OfOneProduct):
    """A price below the list price."""

    kind: Literal["discount"]
    depth: Part
    """0.25 = 25 % off the list price."""


class DisplayTable(OfOneProduct):
    """On display, or not."""

    kind: Literal["display"]
    on: Switch = True
    """false takes it off the display."""


class MailerTable(OfOneProduct):
    """In the mailer, or not."""

    kind: Literal["mailer"]
    on: Switch = True
    """false leaves it out of the mailer."""


class DelistTable(OfOneProduct):
    """The product leaves the shelf."""

    kind: Literal["delist"]


class StockOutTable(OfOneProduct):
    """The product is sold out: it is missing in the weeks and stores named."""

    kind: Literal["stock_out"]

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.weeks is None and self.stores is None:
            raise ValueError(
                'says neither weeks nor stores; name one of them, or write kind = "delist" for a product '
                "that is gone everywhere"
            )
        return self


class LimitedStockTable(OfOneProduct):
    """Not more units than this are sold in a week, in all stores together."""

    kind: Literal["limited_stock"]
    units: Annotated[int, Field(strict=True, ge=0, le=10**9)]
    """Units a week that the customers of the data can buy."""

    @model_validator(mode="after")
    def _everywhere(self) -> Self:
        if self.weeks is not None or self.stores is not None:
            raise ValueError(
                "holds in every week and for all stores together; leave weeks and stores out, and choose the "
                "weeks under [scenario]"
            )
        return self


class EnterTable(OfOneProduct):
    """A product of the data comes to the shelves that lack it."""

    kind: Literal["enter"]
    price: Price
    """What it costs there."""
    list_price: Price | None = None
    """None = the price."""

    @model_validator(mode="after")
    def _list_price_above(self) -> Self:
        if self.list_price is not None and self.list_price < self.price:
            raise ValueError(
                f"has list_price = {self.list_price} below price = {self.price}; the list price is the higher"
            )
        return self


class NewProductTable(Limited):
    """A product that nobody has sold yet."""

    kind: Literal["new_product"]
    name: Annotated[str, Field(min_length=1, max_length=80)]
    """What tables call it."""
    price: Price
    """What it costs."""
    like: Keys | None = None
    """Products that customers would take it for; None = those of its brand with the nearest size, up to 3."""
    brand: Annotated[str, Field(min_length=1)] | None = None
    """"private", "national", or a word of the text of its brand's products; None = any brand."""
    size: Annotated[str, Field(min_length=1)] | None = None
    """As on a label, for example "2 L"; None = any size."""
    appeal: Annotated[Number, Field(ge=-10, le=10)] = 0.0
    """Added to utility: what makes it better (above 0) or worse than the products it is like."""

    @model_validator(mode="after")
    def _one_way_to_be_like(self) -> Self:
        if self.like is not None and (self.brand is not None or self.size is not None):
            raise ValueError("has like beside brand or size; these only choose what it is like, so leave out")
        return self


class RivalsTable(Moves, OfOneProduct):
    """A change of price that rivals answer."""

    kind: Literal["rivals"]
    rivals: Keys
    """Products that follow."""
    pass_through: Annotated[Number, Field(ge=-10, le=10)]
    """Part of the leader's relative change that they make: 1 = all of it, 0 = nothing."""


class CapTable(Limited):
    """No price above a cap, before tax."""

    kind: Literal["cap"]
    products: Literal["all"] | Keys = "all"
    """"all" = every product of the category."""
    cap: Price
    """The highest price, in the data set's currency."""


class SalesTaxTable(Limited):
    """A tax in percent of the price before tax."""

    kind: Literal["sales_tax"]
    rate: Annotated[Number, Field(gt=0, le=10)]
    """0.1 = 10 % of the price before tax."""
    pass_through: Annotated[Number, Field(ge=0, le=5)] = 1.0
    """Part of the tax that raises the price: 1 = customers pay it, 0 = the seller does."""
    products: Keys | None = None
    """None = every product of the category."""


class SubsidyTable(Limited):
    """The state pays a part of the price."""

    kind: Literal["subsidy"]
    rate: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Part of the price that the state pays."""
    amount: Price | None = None
    """Currency per unit that the state pays."""
    segment: SegmentTable | None = None
    """Who gets it; None = everyone."""
    products: Keys | None = None
    """None = every product of the category."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.rate is None) == (self.amount is None):
            raise ValueError(
                f"needs either rate or amount, got rate = {self.rate}, amount = {self.amount}; give one of "
                "them"
            )
        return self


class IncomeTable(Limited):
    """Customers become richer or poorer."""

    kind: Literal["income"]
    relative: Annotated[Relative, Field(ge=-0.95)]
    """-0.1 = a tenth less income."""
    segment: SegmentTable | None = None
    """Whose income; None = everyone's."""


class PreferenceTable(OfOneProduct):
    """Customers like a product more or less."""

    kind: Literal["preference"]
    shift: Annotated[Number, Field(ge=-10, le=10)]
    """Added to utility; 0.7 doubles the odds of the product against the others."""
    segment: SegmentTable | None = None
    """Whose taste; None = everyone's."""


ChangeTable = Annotated[
    PriceTable | ScheduleTable | DiscountTable | DisplayTable | MailerTable | DelistTable | StockOutTable
    | LimitedStockTable | EnterTable | NewProductTable | RivalsTable | CapTable | SalesTaxTable | SubsidyTable
    | IncomeTable | PreferenceTable,
    Field(discriminator="kind"),
]  # fmt: skip

KINDS: dict[str, type[Limited]] = {
    "price": PriceTable, "schedule": ScheduleTable, "discount": DiscountTable, "display": DisplayTable,
    "mailer": MailerTable, "delist": DelistTable, "stock_out": StockOutTable,
    "limited_stock": LimitedStockTable, "enter": EnterTable, "new_product": NewProductTable,
    "rivals": RivalsTable, "cap": CapTable, "sales_tax": SalesTaxTable, "subsidy": SubsidyTable,
    "income": IncomeTable, "preference": PreferenceTable,
}  # fmt: skip
"""Every kind of change, by the word of the file."""
