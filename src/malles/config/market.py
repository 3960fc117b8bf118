"""Sections of the market, its calibration and its what-ifs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from malles.config.section import Section, Week, Weeks


class MarketSettings(Section):
    """The simulated market."""

    weeks: Weeks = (41, 44)
    """Weeks that are simulated."""
    trips: Literal["data", "simulated"] = "data"
    """Whether shopping trips are taken from the data or drawn."""
    window: Annotated[int, Field(ge=0, le=52)] = 8
    """Weeks W over which customers know the usual shares (the mean field); 0 = they do not look at others."""
    draws: Annotated[int, Field(ge=20, le=10_000)] = 200
    """Resamples of households behind every interval of the what-if."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of the counter-based random numbers."""


class CalibrationSettings(Section):
    """How the market is fitted to the weeks before those it is judged on."""

    weeks: Weeks = (37, 40)
    """Weeks that the calibration is fitted on."""
    fit_until: Week = 36
    """Last week the models behind the calibration have seen."""
    choice: bool = True
    """Whether product shares are followed week by week and corrected, from the first week after
    `[occasions] fit_until` on."""
    units: bool = True
    """Whether drawn units are mapped to the distribution of units really bought."""

    @model_validator(mode="after")
    def _fitted_on_unseen_weeks(self) -> Self:
        if self.weeks[0] > self.weeks[1] or self.fit_until >= self.weeks[0]:
            raise ValueError(
                f"weeks {list(self.weeks)} must begin after fit_until {self.fit_until} "
                "and not end before they begin"
            )
        return self


class ScenarioSettings(Section):
    """One what-if: a price cut with display on one product."""

    category: str | None = None
    """Choice category, for example 'SOFT DRINKS | 2 LITER'; None takes the largest."""
    product: str | None = None
    """The data set's own product key; None takes the best seller of the category."""
    price_multiplier: Annotated[float, Field(gt=0, le=10)] = 0.8
    """New price over old price."""
    display: bool = False
    """Whether the product is put on display as well."""
