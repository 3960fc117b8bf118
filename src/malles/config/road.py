"""Sections from the transactions to the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from malles.config.section import Section, Week, Weeks
from malles.vocabulary import Regime


class DataSettings(Section):
    """Which transactions."""

    name: str = "complete_journey"
    """A data set known to `malles data list`, or the name given at `malles import`."""
    path: Path | None = None
    """Folder of an imported data set; None looks the name up."""


class OccasionsSettings(Section):
    """How transactions become choice occasions."""

    slate_size: Annotated[int, Field(ge=2, le=200)] = 20
    """Products in a choice set, the most popular of the past weeks."""
    first_week: Week = 9
    """First week with occasions; earlier weeks are history only."""
    fit_until: Week = 40
    """Last week that models are fitted on."""
    valid: Weeks = (41, 44)
    """Weeks that choices between models are made on."""
    test: Weeks = (45, 53)
    """Weeks that are looked at once, at the end."""
    sample: Annotated[int, Field(ge=100)] | None = 60_000
    """Training occasions drawn from the weeks to `fit_until`; 0 (in TOML) or None takes all."""
    regime: Regime = Regime.FULL
    """What a model may know: full, nohist (a new customer) or launch (a new category)."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 20261121
    """Seed of the sample."""

    @field_validator("sample", mode="before")
    @classmethod
    def _zero_is_all(cls, value: object) -> object:
        return None if type(value) is int and value == 0 else value

    @model_validator(mode="after")
    def _weeks_follow_each_other(self) -> Self:
        for name in ("valid", "test"):
            first, last = getattr(self, name)
            if first > last:
                raise ValueError(
                    f"{name} = [{first}, {last}] ends before it begins; write the first week first"
                )
        if not self.first_week <= self.fit_until < self.valid[0]:
            raise ValueError(
                f"first_week {self.first_week}, fit_until {self.fit_until} and valid {list(self.valid)} "
                "overlap; the weeks must follow each other in this order"
            )
        if self.valid[1] >= self.test[0]:
            raise ValueError(
                f"valid {list(self.valid)} and test {list(self.test)} overlap; test weeks must be later"
            )
        return self


class ModelsSettings(Section):
    """Which choice models are fitted."""

    names: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "popularity",
        "personal_frequency",
        "conditional_logit",
        "lightgbm",
        "head",
    )
    """Models by name; the last one decides in the market."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of everything random in fitting."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        twice = [name for name in dict.fromkeys(self.names) if self.names.count(name) > 1]
        if twice:
            raise ValueError(f"names lists {twice[0]!r} more than once; name every model once")
        return self
