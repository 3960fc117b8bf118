"""A plan file: what an analyst may set, what it should achieve, and what must hold.

[plan]
goal = "margin"
weeks = [43, 44]
margin = 0.25

[[lever]]
product = "844165"
prices = [0.99, 1.79]            # lowest and highest
step = 0.10
weeks = "each"

[constraints]
units_at_least = 0.95            # of today's
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from malles.config.scenario_changes import Key, Keys, Number, Price, Switch
from malles.config.scenario_file import WORDS, Cost
from malles.config.section import Section, Weeks
from malles.config.toml_file import read_toml
from malles.errors import ConfigError, did_you_mean

MOST_POINTS = 200
"""Price points of a lever."""

Count = Annotated[int, Field(strict=True, ge=0, le=10_000)]
Floor = Annotated[Number, Field(ge=-100, le=100)]


class PlanTable(Section):
    """What is sought, and where."""

    name: Annotated[str, Field(min_length=1, max_length=120)] = "plan"
    """What tables and reports call it."""
    goal: Literal["margin", "revenue", "units", "consumer surplus"]
    """What the plan makes as large as it can."""
    own: Keys | None = None
    """Products whose goal counts; None = the whole category."""
    manufacturer_of: Key | None = None
    """Instead of own: every product of the category by the maker of this one."""
    category: Annotated[str, Field(min_length=1)] | None = None
    """Choice category; None = the one of the first lever."""
    weeks: Weeks | None = None
    """First and last week of the plan; None = the last simulated one."""
    margin: Annotated[Number, Field(ge=0, lt=1)] | None = None
    """Cost where [costs] is silent: (1 - margin) x list price."""
    trials: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 60
    """Plans that the market is asked about."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] | None = None
    """Of the search and of the luck that every plan meets; None = the run's."""
    draws: Annotated[int, Field(strict=True, ge=20, le=10_000)] = 200
    """Draws of households, response and luck behind every value."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.weeks is not None and self.weeks[0] > self.weeks[1]:
            raise ValueError(
                f"weeks = {list(self.weeks)} ends before it begins; write the first and the last week"
            )
        if self.own is not None and self.manufacturer_of is not None:
            raise ValueError("has own beside manufacturer_of; both say whose goal counts, so leave one out")
        if self.goal == "consumer surplus" and self.has_own:
            raise ValueError(
                'has goal = "consumer surplus" beside own products; it is a gain from the whole shelf, so '
                "leave own and manufacturer_of out"
            )
        return self

    @property
    def has_own(self) -> bool:
        """Whether some products count, and not the whole category."""
        return self.own is not None or self.manufacturer_of is not None


class LeverTable(Section):
    """One product that the plan may price or display."""

    product: Key
    """The data set's key of a product, or its text where only one product has it."""
    prices: Annotated[tuple[Price, ...], Field(min_length=1, max_length=MOST_POINTS)] | None = None
    """With step the lowest and the highest price, without it every point; today's is always one more."""
    step: Price | None = None
    """Distance of the price points, for example 0.10."""
    weeks: Literal["each", "all"] = "all"
    """"each" = a decision for every week; "all" = one for all weeks together."""
    display: Switch = False
    """true lets the plan put it on display or take it off."""

    @model_validator(mode="after")
    def _something_to_decide(self) -> Self:
        if self.prices is None:
            if self.step is not None:
                raise ValueError("has step without prices; add prices = [lowest, highest]")
            if not self.display:
                raise ValueError(
                    "leaves nothing to decide; add prices = [lowest, highest], or display = true"
                )
            return self
        if self.step is None:
            if len(set(self.prices)) < len(self.prices):
                raise ValueError(f"prices = {list(self.prices)} names a price twice; name each once")
            return self
        if len(self.prices) != 2 or self.prices[0] >= self.prices[1]:
            raise ValueError(
                f"prices = {list(self.prices)} beside step should be the lowest and the highest price; leave "
                "step out to list price points"
            )
        steps = (self.prices[1] - self.prices[0]) / self.step
        if steps < 1 - 1e-9:
            raise ValueError(
                f"step = {self.step} is wider than prices = {list(self.prices)}; take a smaller one"
            )
        if steps > MOST_POINTS - 1 + 1e-9:
            raise ValueError(
                f"step = {self.step} makes {int(steps) + 1} price points, at most {MOST_POINTS} are "
                "searched; take a larger one"
            )
        return self

    @property
    def points(self) -> tuple[float, ...]:
        """Every price point, the lowest first.

        >>> LeverTable(product="1", prices=(0.99, 1.3), step=0.1).points
        (0.99, 1.09, 1.19, 1.29)
        """
        if self.prices is None or self.step is None:
            return tuple(sorted(self.prices or ()))
        low, high = self.prices
        count = int((high - low) / self.step + 1e-9) + 1
        return tuple(round(low + i * self.step, 10) for i in range(count))


class ConstraintsTable(Section):
    """What must hold; parts are of today's value under the same luck."""

    most_displays: Count | None = None
    """Products among the levers that are on display in a week."""
    promo_weeks_at_most: Count | None = None
    """Weeks in which a product is on display or at least 5 % below its list price."""
    price_change_at_most: Annotated[Number, Field(gt=0, le=100)] | None = None
    """Relative distance of a price from today's: 0.2 = a fifth up or down."""
    margin_at_least: Floor | None = None
    """Part of today's margin."""
    revenue_at_least: Floor | None = None
    """Part of today's revenue."""
    units_at_least: Floor | None = None
    """Part of today's units."""
    loss_probability_at_most: Annotated[Number, Field(ge=0, le=1)] | None = None
    """Chance that the goal ends below today's, over the draws."""
    of: Literal["category", "own"] = "category"
    """Whose margin, revenue and units the floors are about."""


class PlanFile(Section):
    """A whole file."""

    plan: PlanTable
    """What is sought, and where."""
    costs: Annotated[dict[str, Cost], Field(default_factory=dict)]
    """Cost per unit by product, in the data set's currency."""
    lever: Annotated[tuple[LeverTable, ...], Field(min_length=1, max_length=50)]
    """What the plan may set."""
    constraints: ConstraintsTable = ConstraintsTable()
    """What must hold."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        limits = self.constraints
        for name, wanted in (
            ('[plan] goal = "margin"', self.plan.goal == "margin"),
            ("[constraints] margin_at_least", limits.margin_at_least is not None),
        ):
            if wanted and self.plan.margin is None and not self.costs:
                raise ValueError(f"{name} needs costs; add [plan] margin, or a [costs] table")
        if limits.of == "own" and not self.plan.has_own:
            raise ValueError(
                '[constraints] of = "own" needs [plan] own or manufacturer_of; add one, or write of = '
                '"category"'
            )
        if limits.most_displays is not None and not any(lever.display for lever in self.lever):
            raise ValueError(
                "[constraints] most_displays has no lever to act on; add display = true to a lever, or leave "
                "it out"
            )
        keys = [lever.product for lever in self.lever]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise ValueError(f"[[lever]] names the product {twice[0]!r} twice; write all about it in one")
        return self


TABLES: dict[str, type[Section]] = {
    "plan": PlanTable, "lever": LeverTable, "constraints": ConstraintsTable,
}  # fmt: skip


def load_plan_file(path: Path) -> PlanFile:
    """Read a plan file.

    Raises:
        ConfigError: it cannot be read, or names something unknown or impossible; each sentence names the
            file, the table and the field.
    """
    return build_plan_file(read_toml(path, "plan", "examples/plans/"), origin=str(path))


def build_plan_file(values: dict[str, Any], *, origin: str = "plan") -> PlanFile:
    """Check a plan given as nested dictionaries, as TOML reads them.

    >>> build_plan_file({"plan": {"goal": "units"}, "lever": [{"product": 7, "display": True}]}).plan.trials
    60
    """
    if "scenario" in values or "change" in values:
        raise ConfigError(f"{origin} is a scenario, not a plan; ask it with: malles simulate {origin}")
    if isinstance(values.get("lever"), dict):
        raise ConfigError(
            f"{origin}: [lever] stands there with one pair of brackets; write [[lever]] above every lever."
        )
    if not values.get("lever"):
        raise ConfigError(
            f'{origin} has nothing to set; write at least one [[lever]], for example with product = "KEY", '
            "prices = [0.99, 1.79], step = 0.10."
        )
    if "plan" not in values:
        raise ConfigError(f'{origin} has no [plan]; add it, for example with goal = "revenue".')
    try:
        return PlanFile.model_validate(values)
    except ValidationError as problem:
        found = [e for e in problem.errors() if e["type"] != "too_short" or not e["input"]]  # else an echo
        sentences = dict.fromkeys(_sentence(origin, error) for error in found)
        raise ConfigError("\n".join(list(sentences)[:5])) from problem


def _sentence(origin: str, error: Any) -> str:
    """One validation error of pydantic in words."""
    place, where, known = list(error["loc"]), origin, list(PlanFile.model_fields)
    table = str(place[0]) if place else ""
    if table == "lever" and len(place) > 1:
        where, place, known = f"{origin}: lever {place[1] + 1}", place[2:], list(LeverTable.model_fields)
    elif table in TABLES:
        where, place, known = f"{origin}: [{table}]", place[1:], list(TABLES[table].model_fields)
    name = ".".join(str(part) for part in place) or "it"
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(str(place[-1]), known, count=1) or f"Known: {', '.join(known)}."
        return f"{where}: unknown field {name!r}. {hint}"
    if error["type"] == "missing":
        if isinstance(place[-1], int):
            return f"{where}: {place[0]} has too few values; it needs {place[-1] + 1}."
        return f"{where}: {name} is missing; add it."
    if error["type"] == "value_error":
        return f"{where}: {'' if name == 'it' else name + ' '}{error['ctx']['error']}."
    message = error["msg"]
    for old, new in WORDS:
        message = re.sub(old, new, message)
    got = error["input"]
    text = repr(list(got) if isinstance(got, tuple) else got)
    text = text if len(text) <= 80 else text[:77] + "..."
    return f"{where}: {name} = {text} is impossible; expected: {message}."
