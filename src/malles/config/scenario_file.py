"""A scenario file: what an analyst would change, as data.

[scenario]
category = "SOFT DRINKS | 2 LITER"
weeks = [44, 44]

[[change]]
kind = "price"
product = "1029743"        # the data set's own key, or the text of one product
relative = -0.2
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from malles.config.section import Section, Week, Weeks
from malles.errors import ConfigError, did_you_mean

Key = Annotated[str, Field(min_length=1, max_length=200)]
Price = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Relative = Annotated[float, Field(gt=-1, le=100, allow_inf_nan=False)]


class SegmentTable(Section):
    """Some customers: those whose attribute has one of the values."""

    column: Key
    """Column of the customers table, for example "income"."""
    values: Annotated[tuple[Key, ...], Field(min_length=1)]
    """Its values that belong to the segment."""


class _Change(Section):
    weeks: tuple[Week, ...] | None = None
    """Weeks in which it holds; None = all weeks of the scenario."""
    stores: tuple[Key, ...] | None = None
    """Keys of the stores in which it holds; None = everywhere."""


class _Move(_Change):
    relative: Relative | None = None
    """Change of the net price, -0.2 = 20 % off."""
    absolute: Price | None = None
    """The new net price, in the currency of the data."""

    @model_validator(mode="after")
    def _one_of_two(self) -> _Move:
        if (self.relative is None) == (self.absolute is None):
            raise ValueError("needs either relative or absolute, and not both")
        return self


class PriceTable(_Move):
    """Another net price of one product."""

    kind: Literal["price"]
    product: Key


class ScheduleTable(Section):
    """A price for every week named."""

    kind: Literal["schedule"]
    product: Key
    prices: Annotated[dict[Week, Price], Field(min_length=1)]
    """Net price by week."""
    stores: tuple[Key, ...] | None = None


class DiscountTable(_Change):
    """A part off the list price."""

    kind: Literal["discount"]
    product: Key
    depth: Annotated[float, Field(ge=0, lt=1)]


class AnnouncementTable(_Change):
    """A display or a place in the mailer, given or taken."""

    kind: Literal["display", "mailer"]
    product: Key
    on: bool = True


class DelistTable(_Change):
    """The product is gone; for some weeks or stores only, it is out of stock."""

    kind: Literal["delist", "stock_out"]
    product: Key


class LimitedStockTable(Section):
    """No more units of the product than these, in every week."""

    kind: Literal["limited_stock"]
    product: Key
    units: Annotated[int, Field(ge=0, le=10**9)]
    """Units per week that the whole chain has for the customers simulated."""


class EnterTable(_Change):
    """A product that is sold elsewhere comes to the shelves that lack it."""

    kind: Literal["enter"]
    product: Key
    price: Price
    list_price: Price | None = None


class NewProductTable(_Change):
    """A product that nobody has sold yet, described by products like it."""

    kind: Literal["new_product"]
    name: Key
    price: Price
    like: tuple[Key, ...] = ()
    """Products that it is like; empty = those of the category with its brand and the nearest size."""
    manufacturer_of: Key | None = None
    """A product of the same house, in place of `like`."""
    size: Annotated[float, Field(gt=0)] | None = None
    """In the unit of the products' sizes; with `manufacturer_of`."""
    appeal: Annotated[float, Field(ge=-10, le=10)] = 0.0
    """Utility beyond its likes at the same price."""


class RivalsTable(_Move):
    """A price that rivals answer."""

    kind: Literal["rivals"]
    product: Key
    """Who moves first."""
    rivals: Annotated[tuple[Key, ...], Field(min_length=1)]
    pass_through: Annotated[float, Field(ge=-2, le=2)] = 1.0
    """Part of the leader's relative change that they follow."""


class CapTable(_Change):
    """No price above this one."""

    kind: Literal["cap"]
    products: tuple[Key, ...] | Literal["all"] = "all"
    cap: Price


class TaxTable(_Change):
    """A tax on sales."""

    kind: Literal["sales_tax"]
    rate: Annotated[float, Field(gt=0, le=10)]
    """Part of the price before tax."""
    pass_through: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Part of the tax by which the customers' price rises."""
    products: tuple[Key, ...] | Literal["all"] = "all"


class SubsidyTable(_Change):
    """A part of the price that the state pays for some customers."""

    kind: Literal["subsidy"]
    rate: Annotated[float, Field(gt=0, lt=1)]
    segment: SegmentTable | None = None
    products: tuple[Key, ...] | Literal["all"] = "all"


class IncomeTable(Section):
    """Customers of a segment have more or less to spend."""

    kind: Literal["income"]
    relative: Relative
    segment: SegmentTable | None = None


class PreferenceTable(_Change):
    """Customers of a segment like a product more or less."""

    kind: Literal["preference"]
    product: Key
    shift: Annotated[float, Field(ge=-10, le=10)]
    """Added to its utility."""
    segment: SegmentTable | None = None


ChangeTable = Annotated[
    PriceTable | ScheduleTable | DiscountTable | AnnouncementTable | DelistTable | LimitedStockTable
    | EnterTable | NewProductTable | RivalsTable | CapTable | TaxTable | SubsidyTable | IncomeTable
    | PreferenceTable,
    Field(discriminator="kind"),
]  # fmt: skip

KINDS = (
    "price", "schedule", "discount", "display", "mailer", "delist", "stock_out", "limited_stock", "enter",
    "new_product", "rivals", "cap", "sales_tax", "subsidy", "income", "preference",
)  # fmt: skip


class ScenarioTable(Section):
    """What holds for the whole scenario."""

    name: Annotated[str, Field(max_length=120)] = ""
    """What to call it; empty = it is made from the changes."""
    category: Key | None = None
    """Choice category; None = that of the first product named, else the largest."""
    weeks: Weeks | None = None
    """First and last week; None = the last simulated one."""
    segment_by: Key | None = None
    """Column of the customers table by which outcomes are split."""
    margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Part of the list price that is earned, for products without a cost."""


class ScenarioFile(Section):
    """A whole file."""

    scenario: ScenarioTable = ScenarioTable()
    costs: dict[Key, Annotated[float, Field(ge=0, le=1e9)]] = Field(default_factory=dict)
    """Cost per unit by product."""
    change: Annotated[tuple[ChangeTable, ...], Field(min_length=1, max_length=200)]


def load_scenario_file(path: Path) -> ScenarioFile:
    """Read a scenario file.

    Raises:
        ConfigError: it cannot be read, names something unknown, or asks for the impossible.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as problem:
        raise ConfigError(
            f"There is no scenario file {path}; see examples/scenarios/price_cut.toml."
        ) from problem
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read as TOML ({problem}).") from problem
    return build_scenario_file(values, str(path))


def build_scenario_file(values: dict[str, Any], origin: str = "scenario") -> ScenarioFile:
    """A scenario from plain values.

    Raises:
        ConfigError: one sentence per mistake, the first five.
    """
    if "change" not in values:
        old = values.get("scenario", {})
        hint = ""
        if isinstance(old, dict) and "price_multiplier" in old:
            hint = f"; for price_multiplier write relative = {float(old['price_multiplier']) - 1:g}"
        raise ConfigError(
            f'{origin}: no [[change]] is given; write at least one, for example kind = "price", product = '
            f'"KEY", relative = -0.2{hint}.'
        )
    try:
        return ScenarioFile.model_validate(values)
    except ValidationError as problem:
        errors = problem.errors()
        wrong = [
            e for e in errors if e["type"] != "too_short"
        ] or errors  # a refused change also shortens the list
        raise ConfigError("\n".join(_sentence(origin, e) for e in wrong[:5])) from problem


def _sentence(origin: str, error: Any) -> str:
    place = [p for p in error["loc"] if p not in KINDS]
    numbered = place[:1] == ["change"] and len(place) > 1
    where = ".".join([f"change {place[1] + 1}", *map(str, place[2:])] if numbered else map(str, place))
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        got = error["input"].get("kind") if isinstance(error["input"], dict) else error["input"]
        hint = did_you_mean(str(got), KINDS, count=1)
        return f"{origin}: {where} has kind {got!r}; the kinds are {', '.join(KINDS)}. {hint}".rstrip()
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(str(place[-1]), _fields(error), count=1)
        return f"{origin}: unknown setting {where!r}. {hint}".rstrip()
    if error["type"] == "value_error":
        return f"{origin}: {where} {error['ctx']['error']}."
    if error["type"] == "missing":
        return f"{origin}: {where} is missing; every change of this kind needs it."
    message = error["msg"][:1].lower() + error["msg"][1:]
    return f"{origin}: {where}: {message}; got {str(error['input'])[:60]!r}."


def _fields(error: Any) -> list[str]:
    """Names that could have been meant where an unknown one stands."""
    place = error["loc"]
    if place[0] == "scenario":
        return list(ScenarioTable.model_fields)
    tables = ChangeTable.__origin__.__args__  # type: ignore[attr-defined]
    for table in tables:
        if len(place) > 2 and place[2] in table.model_fields["kind"].annotation.__args__:
            return list(table.model_fields)
    return list(ScenarioFile.model_fields)
