"""Sections of how a run works, is judged and is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from malles.config.section import Section


class EvaluationSettings(Section):
    """How models are judged."""

    bootstrap: Annotated[int, Field(ge=20, le=100_000)] = 300
    """Resamples of households behind every interval."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of the resamples."""


class ReportSettings(Section):
    """What the report shows."""

    title: str = "A market learnt from its receipts"
    """Heading of the page."""


class RunSettings(Section):
    """Where and with how much a run works."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,55}$")] = "run"
    """First part of the run's folder name."""
    root: Path = Path("runs")
    """Folder of all runs."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of what no section seeds itself."""
    workers: Annotated[int, Field(ge=1, le=1024)] = 2
    """Processes or threads; the result is the same for any number."""
