"""Who speaks: what a role wants, and which facts it sees.

[[role]]
name = "dealer"
wants = "Keep the shelf full without tying up cash."
sees = ["stock", "cash", "sell-through", "proposal"]
decides = true
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from malles.discussion.case import Case, Fact
from malles.errors import ConfigError, did_you_mean

EVERYTHING = "*"
"""A role that sees this topic sees all facts."""


@dataclass(frozen=True)
class Role:
    """One speaker of a discussion."""

    name: str
    wants: str
    sees: tuple[str, ...]
    """Topics of the facts it is shown."""
    decides: bool = False
    """Whether its last proposal is the decision."""

    def facts(self, case: Case) -> tuple[Fact, ...]:
        """What this role knows of a case.

        Raises:
            ConfigError: nothing at all; a role without facts can only guess.
        """
        mine = tuple(f for f in case.facts if EVERYTHING in self.sees or f.topic in self.sees)
        if not mine:
            topics = ", ".join(sorted({f.topic for f in case.facts})) or "none"
            raise ConfigError(
                f"role {self.name!r} sees no fact of case {case.id!r}: it looks for {', '.join(self.sees)}, "
                f"the case has {topics}. Give it a topic of the case, or leave the role out."
            )
        return mine


MANUFACTURER = Role(
    "manufacturer", "Sell more, in full cases, where a price break helps both sides.",
    ("cost", "minimum order", "price break", "promotion", "proposal"),
)  # fmt: skip
SERVICE = Role(
    "service", "Speak for the end customers: returns, complaints, stock-outs, what sells.",
    ("returns", "reviews", "stock-out", "demand", "proposal"),
)  # fmt: skip
DEALER = Role(
    "dealer", "Earn money: keep what sells in stock, tie up little cash.",
    ("stock", "cash", "sell-through", "history", "proposal"), decides=True,
)  # fmt: skip
ROLES = {role.name: role for role in (MANUFACTURER, SERVICE, DEALER)}
"""The roles of wholesale, in the order in which they speak."""

ALONE = Role("buyer", "Decide alone, from all the facts.", (EVERYTHING,), decides=True)
"""The single-role control: it sees everything that the others see together."""


class _RoleTable(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9 _-]{0,30}$")
    wants: str = Field(min_length=3, max_length=300)
    sees: list[str] = Field(min_length=1)
    decides: bool = False


def load_roles(path: Path) -> tuple[Role, ...]:
    """Roles of a TOML file; see the top of this page.

    Raises:
        ConfigError: the file cannot be read, a role lacks something, or not exactly one role decides.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as problem:
        raise ConfigError(f"There is no roles file {path}.") from problem
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read as TOML ({problem}).") from problem
    unknown = [name for name in values if name != "role"]
    if unknown or not isinstance(values.get("role", []), list):
        said = unknown[0] if unknown else "[role]"
        raise ConfigError(f"{path} holds {said!r}; it should hold nothing but [[role]] tables.")
    tables = []
    for number, table in enumerate(values.get("role", []), 1):
        try:
            tables.append(_RoleTable.model_validate(table))
        except ValidationError as problem:
            raise ConfigError(f"{path}: role {number}: {_sentence(problem.errors()[0])}.") from problem
    return check_roles([Role(t.name, t.wants, tuple(t.sees), t.decides) for t in tables], str(path))


def _sentence(error: Any) -> str:
    """What is wrong with one role, in words."""
    place, got = ".".join(str(part) for part in error["loc"]), repr(error["input"])[:60]
    if error["type"] == "missing":
        return f"it lacks {place!r}"
    if error["type"] == "extra_forbidden":
        hint = (
            did_you_mean(place, _RoleTable.model_fields, count=1) or "It may have name, wants, sees, decides."
        )
        return f"unknown setting {place!r}. {hint}".rstrip(".")
    if place == "name" and error["type"] == "string_pattern_mismatch":
        return (
            f"the name {got} cannot be used; a name begins with a letter and has at most 31 letters "
            "(a to z), digits, spaces, _ and -"
        )
    return f"{place}: {error['msg'][:1].lower()}{error['msg'][1:]}; got {got}"


def check_roles(roles: Sequence[Role], where: str = "the roles") -> tuple[Role, ...]:
    """The roles, if they can hold a discussion.

    Raises:
        ConfigError: none, two of one name, or not exactly one that decides.
    """
    names = [role.name.casefold() for role in roles]
    twice = [n for n in dict.fromkeys(names) if names.count(n) > 1]
    deciders = [role.name for role in roles if role.decides]
    if not roles:
        raise ConfigError(f"{where}: there are no roles; a discussion needs one that decides.")
    if twice:
        raise ConfigError(f"{where}: the role {twice[0]!r} stands there twice; name each once.")
    if len(deciders) != 1:
        said = ", ".join(deciders) or "nobody"
        raise ConfigError(f"{where}: exactly one role must have decides = true; here {said} decides.")
    return tuple(roles)
