"""The `[rule]` of an order file: a formula for units, what it may read, and the front it was chosen from.

[rule]
formula = "max(0, demand * lead_time - stock)"
use = "fact"                        # or "proposal"

[[rule.front]]                      # optional: what shorter and longer formulas miss
rule = "history"
error = 41.5
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from malles.errors import UsageError
from malles.rules.expression import Expression
from malles.rules.reading import read_rule

INPUTS = {
    "demand": "the expected units a week",
    "lead_time": "the weeks to cover",
    "stock": "the units in stock",
    "last_week": "the units sold in the last week",
    "history": "the usual units of a week with sales",
    "price": "the selling price",
    "cost": "the unit cost of a small order",
    "pack": "the units of a pack",
    "minimum": "the minimum order",
    "available": "the units that the supplier has",
}
"""What a rule may read of a product; the names are those of `rules/reorder.py`, and more."""

Text = Annotated[str, Field(min_length=1, max_length=4_000)]
Error = Annotated[float, Field(ge=0, le=1e100)]


class FrontTable(BaseModel):
    """One rule of the front."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Text
    error: Error
    low: Annotated[float, Field(ge=-1e100, le=1e100)] | None = None
    """Interval of the error."""
    high: Error | None = None

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        self.expression()
        return self

    def expression(self) -> Expression:
        """The formula as a tree."""
        return _read("[[rule.front]] rule", self.rule)


class RuleTable(BaseModel):
    """A formula for the units of every product."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formula: Text
    """Of `INPUTS`, numbers and the operations of `rules/expression.py`."""
    use: Literal["fact", "proposal"] = "fact"
    """fact: roles read it beside the plan; proposal: within limits it takes the place of the plan's units."""
    bound: Literal["plan", "limits"] = "plan"
    """plan: a proposal is held within a talk's room around the plan; limits: within packs, minimum, budget
    and the like alone, and the talk's room reaches as far."""
    error: Annotated[str, Field(max_length=80)] = "held-out error"
    """What the errors of the front are."""
    front: tuple[FrontTable, ...] = ()

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        self.expression()
        return self

    def expression(self) -> Expression:
        """The formula as a tree.

        Raises:
            UsageError: it is no formula, or reads what is no input.
        """
        return _read("[rule] formula", self.formula)


def _read(where: str, text: str) -> Expression:
    try:
        return read_rule(text, INPUTS)
    except UsageError as problem:
        raise UsageError(f"{where}: {problem}") from problem
