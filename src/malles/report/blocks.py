"""What a page is made of: sections of blocks in reading order."""

from __future__ import annotations

from dataclasses import dataclass

from malles.report.tables import Table


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption, and the sentence read to those who cannot see it."""

    svg: str
    """From `figures.py` only: the one thing the template does not escape."""
    caption: str
    alternative: str


@dataclass(frozen=True)
class Section:
    """One part of the page, its blocks in reading order."""

    key: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Fold:
    """A table that opens on demand; printed pages show its heading only."""

    title: str
    table: Table


@dataclass(frozen=True)
class Facts:
    """Pairs of name and text."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Text:
    """A paragraph; `quote` sets it apart as words from data."""

    text: str
    quote: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]
    warning: bool = False


Block = Figure | Table | Fold | Facts | Text | Bullets
