"""What the models of this package read of choice occasions, checked once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from malles.errors import DataError, ModelError, did_you_mean
from malles.vocabulary import OTHER, OUTSIDE, ChoiceData, Occasions

SPECIAL = ("is_outside_option", "is_other_product")
"""Columns made here: 1 for the outside option, 1 for "another product of this category"."""


def require_choices(data: ChoiceData) -> None:
    """Raise DataError unless every occasion has a choice among its available alternatives."""
    chosen, available = data.occasions.chosen, data.occasions.available
    if len(chosen) == 0:
        raise DataError(
            "there are no occasions to fit a model on; at least one is needed. Widen the training weeks."
        )
    inside = (chosen >= 0) & (chosen < available.shape[1])
    good = inside & available[np.arange(len(chosen)), np.where(inside, chosen, 0)]
    if not good.all():
        raise DataError(
            f"{int((~good).sum())} of {len(chosen)} occasions have no known choice among their available "
            f"alternatives (first: row {int(np.flatnonzero(~good)[0])}). Leave them out of the fit."
        )


def require_features(data: ChoiceData, names: Iterable[str], model: str) -> None:
    """Raise ModelError if a feature that a model reads is missing."""
    missing = [name for name in names if name not in data.feature_names and name not in SPECIAL]
    if missing:
        hint = did_you_mean(missing[0], data.feature_names)
        raise ModelError(
            f"{model} reads {len(missing)} features that these occasions ({data.regime.value!r}) lack: "
            f"{', '.join(map(repr, missing[:5]))}. {hint or 'Build them in the regime of the fit.'}"
        )


def is_product(occasions: Occasions) -> Bool[ndarray, "occasion alternative"]:
    """Available columns that hold a product rather than the outside option or OTHER."""
    return occasions.available & (occasions.product >= 0)


def select_features(
    data: ChoiceData, names: tuple[str, ...]
) -> Float32[ndarray, "occasion alternative feature"]:
    """Columns by name, including those of `SPECIAL`; the array itself if all are asked for in order."""
    if names == data.feature_names:
        return data.features
    selected = np.empty((*data.occasions.shape, len(names)), np.float32)
    code = {"is_outside_option": OUTSIDE, "is_other_product": OTHER}
    for k, name in enumerate(names):
        selected[:, :, k] = data.occasions.product == code[name] if name in SPECIAL else data.feature(name)
    return selected


def special_columns(data: ChoiceData) -> tuple[str, ...]:
    """Those of `SPECIAL` that some available alternative needs."""
    product = data.occasions.product[data.occasions.available]
    return tuple(
        name for name, code in zip(SPECIAL, (OUTSIDE, OTHER), strict=True) if (product == code).any()
    )
