"""What every section of the configuration is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Week = Annotated[int, Field(ge=1, le=10_000)]
Weeks = tuple[Week, Week]
"""First and last week, both included."""


class Section(BaseModel):
    """A part of the configuration: frozen, typed, without unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
