"""A small random market whose products have names, as choice data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from malles.profiles.features import build_features
from malles.vocabulary import ChoiceData, Regime
from profiles.markets import random_market

LABELS = (
    "Cola Classic 2L", "COLA ZERO 6x33cl", "River Lemonade", "private label cola", "Tonic  water",
    "Ginger ale 12 OZ", "Orange soda", "Root beer (glass)",
)  # fmt: skip


def named_market(
    seed: int = 1,
    *,
    regime: Regime = Regime.FULL,
    width: int = 5,
    occasions: int = 120,
    names=None,
    categories=("FOOD | COLA", "FOOD | LEMONADE"),
) -> ChoiceData:
    """Occasions of loyal customers before shelves of `width` named products and 'another product'."""
    catalogue, asked = random_market(seed, customers=30, categories=2, width=width, occasions=occasions)
    labels = names or [LABELS[k % len(LABELS)] for k in range(len(catalogue.products))]
    catalogue = replace(
        catalogue,
        products=replace(catalogue.products, text=pl.Series("text", labels, dtype=pl.String)),
        category_name=categories,
    )
    return build_features(catalogue, asked, regime)


def log_loss(probability: np.ndarray, data: ChoiceData) -> float:
    """Mean -log P of what was chosen."""
    return float(-np.log(probability[np.arange(len(data)), data.occasions.chosen]).mean())
