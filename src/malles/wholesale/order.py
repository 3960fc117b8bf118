"""An order file: what a dealer could reorder, what is known of it, and how it may be talked about.

[order]
name = "corner-shop"
budget = 400.0

[[product]]
name = "plum jam"
price = 3.20
cost = [[0, 2.00], [24, 1.80]]      # units from which a price holds
stock = 5
sold = [7, 6, 8, 9]                 # units per week, the last one last

[rule]                              # optional; see rule_table.py
formula = "max(0, demand * lead_time - stock)"
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from malles.errors import ConfigError, UsageError, did_you_mean
from malles.wholesale.demand import Demand, forecast_demand
from malles.wholesale.items import Item, Tier
from malles.wholesale.rule_table import FrontTable, RuleTable

Money = Annotated[float, Field(ge=0, le=1e9)]
Units = Annotated[int, Field(ge=0, le=10**7)]


TABLES = (".csv", ".tsv", ".parquet", ".pq", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
"""Endings of what `malles draft` reads."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProductTable(_Table):
    """One product that could be ordered."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    price: Annotated[float, Field(gt=0, le=1e9)]
    """It is sold at."""
    cost: Annotated[tuple[tuple[Units, Money], ...], Field(min_length=1)]
    """(Units from which it holds, unit cost)."""
    stock: Units = 0
    sold: Annotated[tuple[Annotated[float, Field(ge=0, le=1e7)], ...], Field(min_length=1)]
    """Units per week, oldest first."""
    pack: Annotated[int, Field(ge=1, le=10**6)] = 1
    minimum: Units = 0
    available: Units | None = None
    """Units that the supplier has."""
    salvage: Money = 0.0
    space: Money = 0.0
    """Shelf or truck per unit."""
    walk_away: Money | None = None
    """A unit cost above it is never paid."""
    returns: Annotated[str, Field(max_length=160)] = ""
    reviews: Annotated[str, Field(max_length=160)] = ""
    promotion: Annotated[str, Field(max_length=160)] = ""
    stock_outs: Annotated[str, Field(max_length=160)] = ""

    @model_validator(mode="after")
    def _limits_can_be_met(self) -> Self:
        if self.available is not None and self.minimum > self.available:
            raise ValueError(
                f"{self.name}: minimum {self.minimum} and available {self.available} contradict each other; "
                "change one of them"
            )
        breaks = [at for at, _ in self.cost]
        if breaks[0] > 1 or breaks != sorted(set(breaks)):
            raise ValueError(f"{self.name}: price breaks must begin at 0 or 1 and rise, got {breaks}")
        lowest = min(c for at, c in self.cost if self.available is None or at <= max(self.available, 1))
        if self.salvage and self.salvage >= lowest:
            raise ValueError(
                f"{self.name}: salvage {self.salvage:g} is not below the lowest cost of {lowest:g}: every "
                "further unit would pay for itself, and no order would be large enough; state what a unit "
                "that is left over brings, less than it costs"
            )
        return self


class OrderTable(_Table):
    """What holds for all products."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,55}$")] = "order"
    budget: Money | None = None
    shelf: Money | None = None
    weeks: Annotated[float, Field(gt=0, le=104)] = 2.0
    """Weeks to cover: until goods ordered the next time would arrive."""
    currency: Annotated[str, Field(max_length=8)] = ""


class TalkTable(_Table):
    """How the order is talked about."""

    rounds: Annotated[int, Field(ge=1, le=20)] = 4
    turn_tokens: Annotated[int, Field(ge=24, le=1024)] = 48
    move: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Part of the optimiser's proposal that the talk may add or take away."""
    drop: bool = False
    """Whether the talk may also leave out what the optimiser orders."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 1
    tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens at most, for all products together; 0 = no limit."""
    roles: Path | None = None
    """A TOML file of roles, seen from the order file; None takes manufacturer, service and dealer."""


class OrderFile(_Table):
    """A whole file."""

    order: OrderTable = OrderTable()
    product: Annotated[tuple[ProductTable, ...], Field(min_length=1, max_length=2000)]
    talk: TalkTable = TalkTable()
    rule: RuleTable | None = None
    """A formula for units, read beside the plan; None: there is none, or it is switched off."""

    @model_validator(mode="after")
    def _each_product_once(self) -> Self:
        names = [p.name for p in self.product]
        twice = [n for n in dict.fromkeys(names) if names.count(n) > 1]
        if twice:
            raise ValueError(f"the product {twice[0]!r} stands there twice; name each once")
        return self


def load_order(path: Path) -> OrderFile:
    """Read an order file.

    Raises:
        ConfigError: it cannot be read, names something unknown, or asks for the impossible.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as problem:
        raise ConfigError(f"There is no order file {path}; see examples/order.toml.") from problem
    except IsADirectoryError as problem:
        raise ConfigError(f"{path} is a folder; name an order file, see examples/order.toml.") from problem
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        if path.suffix.lower() in TABLES:
            raise ConfigError(
                f"{path} is a table, not an order file (TOML). If it holds past orders, write an order file "
                f"from it: malles draft {path} --buyer KEY -o order.toml"
            ) from problem
        raise ConfigError(f"{path} cannot be read as TOML ({problem}).") from problem
    except OSError as problem:
        raise ConfigError(f"{path} cannot be read ({problem.strerror}).") from problem
    try:
        found = OrderFile.model_validate(values)
    except ValidationError as problem:
        errors = [e for e in problem.errors() if e["type"] != "too_short" or not e["input"]]
        raise ConfigError("\n".join(_sentence(path, error) for error in errors[:5])) from problem
    except UsageError as problem:  # the rule's grammar
        raise ConfigError(f"{path}: {problem}") from problem
    return found if found.talk.roles is None else _with_roles_beside(found, found.talk.roles, path)


def _with_roles_beside(found: OrderFile, roles: Path, path: Path) -> OrderFile:
    """The file of roles is named as seen from the order file."""
    there = path.parent / roles
    if not there.is_file():
        raise ConfigError(
            f"There is no roles file {there} (named in {path} [talk] roles); a path is read from the folder "
            "of the order file."
        )
    return found.model_copy(update={"talk": found.talk.model_copy(update={"roles": there})})


def _sentence(path: Path, error: object) -> str:
    assert isinstance(error, dict)
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = [*OrderTable.model_fields, *ProductTable.model_fields, *TalkTable.model_fields]
        known += [*OrderFile.model_fields, *RuleTable.model_fields, *FrontTable.model_fields]
        hint = did_you_mean(place.split(".")[-1], known, count=1)
        return f"{path}: unknown setting {place!r}. {hint}".rstrip()
    if place == "product" and error["type"] in {"missing", "too_short"}:
        return f"{path} has no [[product]]; an order needs at least one, see examples/order.toml."
    if error["type"] == "missing":
        return f"{path}: {_named(error)} lacks {error['loc'][-1]!r}; add it, see examples/order.toml."
    if error["type"] == "value_error":
        return f"{path}: {error['ctx']['error']}."
    return f"{path}: {place}: {error['msg'][:1].lower()}{error['msg'][1:]}; got {str(error['input'])[:60]!r}."


def _named(error: dict[str, Any]) -> str:
    """The table in which something is missing, for a person."""
    *table, _ = error["loc"]
    if table[:1] == ["product"] and len(table) == 2:
        name = error["input"].get("name") if isinstance(error["input"], dict) else None
        return f"product {table[1] + 1}" + ("" if name is None else f" ({str(name)[:60]!r})")
    return f"[{'.'.join(str(part) for part in table)}]" if table else "the file"


def build_item(product: ProductTable, weeks: float) -> Item:
    """A product as the optimiser sees it: its demand over `weeks` from the weeks sold."""
    return Item(
        product.name, demand_of(product, weeks), product.price, tuple(Tier(at, c) for at, c in product.cost),
        stock=product.stock, salvage=product.salvage, least=product.minimum, most=product.available,
        pack=product.pack, space=product.space,
        walk_away=float("inf") if product.walk_away is None else product.walk_away,
    )  # fmt: skip


def demand_of(product: ProductTable, weeks: float) -> Demand:
    """Demand of the weeks to cover."""
    return forecast_demand(np.array(product.sold, float), weeks)
