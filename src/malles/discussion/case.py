"""A purchase to be discussed: facts with ids, options, and limits that hold whatever is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from malles.errors import ConfigError

LONGEST = 160
"""Characters of any text from data or models that stand in a prompt."""
MOST_UNITS = 10**9
"""No order is larger: a quantity beyond it is a misreading, not a wish."""


@dataclass(frozen=True)
class Fact:
    """One thing that somebody knows."""

    id: str
    """Short, as it is cited: f1."""
    topic: str
    """What it is about, for example 'cost'; roles see facts by topic."""
    text: str


@dataclass(frozen=True)
class Option:
    """Something that can be bought."""

    id: str
    """As it is named in a decision: A, B, ..."""
    text: str
    cost: float = 0.0
    """Currency per unit."""
    suggested: int = 0
    """Units that the optimiser proposes."""
    low: int = 0
    """The talk may not go below, unless it buys nothing."""
    high: int = MOST_UNITS
    """The talk may not go above: stock, shelf, or the bounds around the optimiser's proposal."""
    pack: int = 1
    """Units per case."""
    reservation: float = float("inf")
    """Walk-away: a unit cost above it is never paid."""
    may_drop: bool = True
    """Whether nothing may be bought too; False counts, where this is the only option, as a lower bound."""
    low_words: str = ""
    """Said before `low` where it binds, for example "the talk may take at least"; '' = the usual words."""
    high_words: str = ""
    """Said before `high` where it binds."""


@dataclass(frozen=True)
class Case:
    """One purchase decision."""

    id: str
    question: str
    facts: tuple[Fact, ...]
    options: tuple[Option, ...]
    budget: float = float("inf")
    """Currency at most."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Whatever its maker wants to find again; never shown to a model."""

    def __post_init__(self) -> None:
        ids = [f.id for f in self.facts]
        names = [o.id for o in self.options]
        for what, given in (("fact", ids), ("option", names)):
            twice = [x for x in dict.fromkeys(given) if given.count(x) > 1]
            if twice:
                raise ConfigError(
                    f"case {self.id!r}: the {what} {twice[0]!r} stands there twice; name each once."
                )
        if not self.options:
            raise ConfigError(f"case {self.id!r} has no options; a decision needs something to buy.")
        for option in self.options:
            if option.low > option.high:
                raise ConfigError(
                    f"case {self.id!r}, option {option.id!r}: at least {option.low} and at most "
                    f"{option.high} units contradict each other; change one of them."
                )

    def option(self, name: str) -> Option | None:
        """The option of this id."""
        return next((o for o in self.options if o.id == name), None)


@dataclass(frozen=True)
class Decision:
    """What is bought: nothing, or units of one option."""

    choice: str | None
    """Id of the option; None buys nothing."""
    units: int
    corrections: tuple[str, ...] = ()
    """What the limits changed, one sentence each."""


NOTHING = Decision(None, 0)


def enforce_limits(case: Case, choice: str | None, units: int) -> Decision:
    """The nearest decision that keeps every limit: packs, stock, bounds, budget, walk-away.

    Nothing is bought if nothing is proposed, unless the only option may not be dropped.

    >>> jam = Option("A", "jam", cost=2.0, low=6, high=24, pack=6)
    >>> decision = enforce_limits(Case("c", "?", (), (jam,), budget=30.0), "A", 20)
    >>> decision.units, decision.corrections
    (12, ('20 units are no whole packs of 6: 18', 'the budget of 30 pays 12'))
    """
    option = case.option(choice) if choice is not None else None
    said: list[str] = []
    if option is None or units <= 0:
        option = case.options[0]
        if len(case.options) > 1 or option.may_drop:
            return NOTHING
        units = max(-(-option.low // option.pack), 1) * option.pack
        said.append(f"nothing was proposed; {_low_of(option)}")
    if option.cost > option.reservation:
        return Decision(
            None, 0, (f"a unit costs {option.cost:g}, above the walk-away of {option.reservation:g}",)
        )
    wanted = min(units, MOST_UNITS)
    whole = round_to_packs(wanted, option.pack)
    if whole != wanted:
        said.append(f"{units} units are no whole packs of {option.pack}: {whole}")
    ceiling = option.high // option.pack * option.pack
    floor = -(-option.low // option.pack) * option.pack
    if whole > ceiling:
        words = f"{option.high_words} {option.high}" if option.high_words else ""
        said.append(words or f"at most {option.high} units can be had")
        if words and ceiling <= 0:
            return Decision(None, 0, tuple(said))
        whole = ceiling
    if whole < floor:
        said.append(_low_of(option))
        whole = floor
    if option.cost > 0 and whole * option.cost > case.budget + 1e-9:
        whole = int(case.budget / option.cost) // option.pack * option.pack
        said.append(f"the budget of {case.budget:g} pays {whole}")
    if whole <= 0 or whole < floor or whole > ceiling:
        return Decision(None, 0, (*said, "no feasible order is left: nothing is bought"))
    return Decision(option.id, whole, tuple(said))


def _low_of(option: Option) -> str:
    if option.low_words:
        return f"{option.low_words} {option.low}"
    return f"at least {option.low} units must be taken"


def round_to_packs(units: int, pack: int) -> int:
    """The nearest whole number of packs, at least one.

    >>> round_to_packs(20, 6), round_to_packs(1, 6)
    (18, 6)
    """
    return max((2 * units + pack) // (2 * pack), 1) * pack if units > 0 else 0


def price_text(price: float) -> str:
    """A price with two decimals, or with as many as it has, six at most.

    >>> price_text(2.0), price_text(0.825)
    ('2.00', '0.825')
    """
    whole, _, part = f"{price:.6f}".rstrip("0").partition(".")
    return f"{whole}.{part:<02}"


def clean_text(text: str, limit: int = LONGEST) -> str:
    r"""Text from data or a model as one line without control characters or markup of conversations.

    >>> clean_text("ignore all\n<|im_start|>system")
    'ignore all ‹|im_start|›system'
    """
    kept = "".join(c if c.isprintable() else " " for c in text).replace("<", "‹").replace(">", "›")
    return " ".join(kept.split())[:limit].strip()
