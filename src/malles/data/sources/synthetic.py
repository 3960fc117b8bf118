"""The synthetic market as a source: known tastes, elasticities, rhythm and feedback."""

from __future__ import annotations

from pathlib import Path

from malles.data.sources.source import Source
from malles.data.synthetic import generate_market
from malles.vocabulary import DataSet

SEED = 1
"""Seed of the market that `load_dataset("synthetic")` returns."""


def load_synthetic(path: Path | None = None) -> DataSet:
    """The default synthetic market with seed 1; call `generate_market` for another, and for the truth behind
    it.
    """
    del path
    return generate_market(seed=SEED)[0]


SOURCE = Source(
    name="synthetic",
    origin="drawn by malles from known laws (malles.data.synthetic)",
    licence="none needed",
    how="built in",
    rows="about 13,000 order lines",
    needs_path=False,
    load=load_synthetic,
)
