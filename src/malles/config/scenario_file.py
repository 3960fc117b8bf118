"""A scenario file: what an analyst wants to rehearse, in the data set's own names.

[scenario]
name = "20 % off"
weeks = [43, 44]                 # first and last

[[change]]
kind = "price"
product = "844165"
relative = -0.2
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from malles.config.scenario_changes import KINDS, ChangeTable, Number
from malles.config.section import Section, Weeks
from malles.config.toml_file import read_toml
from malles.errors import ConfigError, did_you_mean

OLD = ("price_multiplier", "display", "product")
"""Fields of [scenario] in files from before there were changes, which knew one price cut."""

Cost = Annotated[Number, Field(ge=0, le=1e9)]


WORDS = (
    ("^Input should be ", ""),
    (r"^(String|Tuple|Dictionary|Value) should have ", ""),
    (r" after validation.*", ""),
    ("a valid tuple", "a list in [ ]"),
    ("a valid dictionary.*", "a table of fields"),
)
"""What pydantic says, as an analyst would."""


class ScenarioTable(Section):
    """What holds for the whole scenario."""

    name: Annotated[str, Field(min_length=1, max_length=120)] = "scenario"
    """What tables and reports call it."""
    category: Annotated[str, Field(min_length=1)] | None = None
    """Choice category; None = the one of the first product named, or the largest."""
    weeks: Weeks | None = None
    """First and last week of the what-if; None = the last simulated one."""
    segment_by: Annotated[str, Field(min_length=1)] | None = None
    """Column of the customers table that outcomes are split by; None = everyone together."""
    margin: Annotated[Number, Field(ge=0, lt=1)] | None = None
    """Cost where [costs] is silent: (1 - margin) x list price; None = unknown, and so is the profit."""

    @model_validator(mode="after")
    def _weeks_in_order(self) -> Self:
        if self.weeks is not None and self.weeks[0] > self.weeks[1]:
            raise ValueError(
                f"weeks = {list(self.weeks)} ends before it begins; write the first and the last week"
            )
        return self


class ScenarioFile(Section):
    """A whole file."""

    scenario: ScenarioTable = ScenarioTable()
    """What holds for the whole scenario."""
    costs: Annotated[dict[str, Cost], Field(default_factory=dict)]
    """Cost per unit by product, in the data set's currency."""
    change: Annotated[tuple[ChangeTable, ...], Field(min_length=1, max_length=1000)]
    """What changes, in this order."""


def load_scenario_file(path: Path) -> ScenarioFile:
    """Read a scenario file.

    Raises:
        ConfigError: it cannot be read, or names something unknown or impossible; each sentence names the
            file, the number of the change and its field.
    """
    return build_scenario_file(read_toml(path, "scenario", "examples/scenarios/"), origin=str(path))


def build_scenario_file(values: dict[str, Any], *, origin: str = "scenario") -> ScenarioFile:
    """Check a scenario given as nested dictionaries, as TOML reads them.

    >>> build_scenario_file({"change": [{"kind": "delist", "product": 844165}]}).change[0].product
    '844165'
    """
    _refuse_old(values, origin)
    try:
        return ScenarioFile.model_validate(values)
    except ValidationError as problem:
        found = [e for e in problem.errors() if not _is_echo(e)]
        sentences = list(dict.fromkeys(_sentence(origin, values, error) for error in found))
        raise ConfigError("\n".join(sentences[:5])) from problem


def _refuse_old(values: dict[str, Any], origin: str) -> None:
    table, changes = values.get("scenario"), values.get("change")
    old = [name for name in OLD if isinstance(table, dict) and name in table]
    if old and isinstance(table, dict):
        product = table.get("product", "KEY")
        factor = table.get("price_multiplier", 0.8)
        cut = f"{factor - 1:.4g}" if isinstance(factor, int | float) else "-0.2"
        also = f' and another with kind = "display", product = "{product}"' if table.get("display") else ""
        raise ConfigError(
            f"{origin}: [scenario] {', '.join(old)} is how files were written before; write instead: "
            f'[[change]] with kind = "price", product = "{product}", relative = {cut}{also}.'
        )
    if isinstance(changes, dict):
        raise ConfigError(
            f"{origin}: [change] stands there with one pair of brackets; write [[change]] above every change."
        )
    if not changes:
        raise ConfigError(
            f'{origin} changes nothing; write at least one [[change]], for example with kind = "price", '
            f'product = "KEY", relative = -0.2.'
        )


def _is_echo(error: Any) -> bool:
    """A list that is too short only because its members are wrong; a word that is not "all", but a list."""
    if error["type"] == "too_short":
        return bool(error["input"]) and not isinstance(error["loc"][-1], int)
    return error["type"] == "literal_error" and "products" in error["loc"]


def _sentence(origin: str, values: dict[str, Any], error: Any) -> str:
    """One validation error of pydantic in words."""
    place = [part for part in error["loc"] if not str(part).startswith(("function-", "literal["))]
    known = list(ScenarioFile.model_fields)
    where = origin
    if place[0] == "change" and len(place) > 1:
        table = values["change"][place[1]]
        kind = table.get("kind") if isinstance(table, dict) else None
        where += f": change {place[1] + 1}"
        if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
            return f"{where}: {_about_kind(kind)}"
        if kind in KINDS:
            where, place, known = f"{where} ({kind})", place[3:], list(KINDS[kind].model_fields)
        else:
            place = ["it"]
        if len(place) > 1 and place[0] == "segment":
            known = ["column", "values"]
    elif place[0] == "scenario" and (len(place) > 1 or error["type"] == "value_error"):
        where, place, known = f"{where}: [scenario]", place[1:], list(ScenarioTable.model_fields)
    name = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(str(place[-1]), known, count=1) or f"Known: {', '.join(known)}."
        return f"{where}: unknown field {name!r}. {hint}"
    if error["type"] == "missing":
        if isinstance(place[-1], int):
            return f"{where}: {place[0]} has too few values; it needs {place[-1] + 1}."
        return f"{where}: {name} is missing; add it."
    if error["type"] == "value_error":
        return f"{where}: {name + ' ' if name else ''}{error['ctx']['error']}."
    message = error["msg"]
    for old, new in WORDS:
        message = re.sub(old, new, message)
    return f"{where}: {name} = {_short(error['input'])} is impossible; expected: {message}."


def _about_kind(kind: object) -> str:
    every = ", ".join(KINDS)
    if kind is None:
        return f'it has no kind; write kind = "price" or another of: {every}.'
    return f"unknown kind {kind!r}. {did_you_mean(str(kind), KINDS) or f'The kinds are: {every}.'}"


def _short(value: object) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 80 else text[:77] + "..."
