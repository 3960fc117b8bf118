"""The form of the simple rules: non-negative weights on products become choice probabilities.

The outside option and "another product of this category" are not ranked by any rule: each keeps the share it
had in the training occasions that offered it, and the products divide the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize

from malles.baselines.columns import is_product, require_choices, require_features
from malles.baselines.saved import SavedModel, read_model, write_model
from malles.choice.likelihood import occasion_log_losses
from malles.choice.probability import normalised_weights, require_alternatives
from malles.errors import ModelError
from malles.vocabulary import OTHER, OUTSIDE, ChoiceData, Occasions

_SAMPLE = 20_000
"""One or two numbers are fitted; more occasions than this change them by less than their standard error."""

_VERSION = 1


@dataclass(frozen=True)
class SimpleRule(ABC):
    """A fitted rule with a handful of numbers; members say only how to weigh the products."""

    outside_share: float
    """Share of the outside option where it is available."""
    other_share: float
    """Share of OTHER where it is available and something is bought."""

    name: ClassVar[str] = ""
    reads: ClassVar[tuple[str, ...]] = ()
    """Features that the rule needs."""

    @abstractmethod
    def weights(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Non-negative weights; only those of available products count."""

    def predict(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities: rows sum to one, unavailable columns are exactly 0."""
        require_features(data, self.reads, self.name)
        return with_special(data.occasions, self.weights(data), self.outside_share, self.other_share)

    def save(self, folder: Path) -> None:
        """Write the rule's numbers to a new folder."""
        write_model(folder, SavedModel(self.name, _VERSION, asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a rule written by `save`; another version raises ModelError."""
        settings = read_model(folder, cls.name, _VERSION).settings
        names = {f.name for f in fields(cls)}
        if set(settings) != names or not all(isinstance(v, int | float) for v in settings.values()):
            raise ModelError(
                f"{folder} should hold the numbers {sorted(names)}, got {sorted(settings)}. Fit it again."
            )
        return cls(**settings)


def special_shares(train: ChoiceData) -> tuple[float, float]:
    """Shares of the outside option and of OTHER among the training choices that could take them.

    Raises:
        DataError: an occasion has no known choice.
    """
    require_choices(train)
    occasions = train.occasions
    taken: ndarray = occasions.product[np.arange(len(occasions)), occasions.chosen]
    offered_outside = ((occasions.product == OUTSIDE) & occasions.available).any(axis=1)
    offered_other = ((occasions.product == OTHER) & occasions.available).any(axis=1) & (taken != OUTSIDE)
    return _rate((taken == OUTSIDE)[offered_outside]), _rate((taken == OTHER)[offered_other])


def fit_weights(
    train: ChoiceData, weigh: Callable[[ChoiceData, ndarray], ndarray], start: tuple[float, ...]
) -> tuple[float, ...]:
    """Positive numbers of a rule that give the observed product choices the smallest loss.

    Searches the logarithms by Nelder-Mead on at most 20,000 evenly spaced occasions with a product chosen.

    Args:
        train: occasions with known choices.
        weigh: weights of the alternatives given the numbers.
        start: where the search begins.
    """
    occasions = train.occasions
    product = is_product(occasions)
    rows = np.flatnonzero(product[np.arange(len(occasions)), occasions.chosen])
    if len(rows) == 0:
        return start
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(np.int64))]
    sample, product, chosen = train.take(rows), product[rows], occasions.chosen[rows]

    def loss(log_numbers: ndarray) -> float:
        probability = normalised_weights(weigh(sample, np.exp(np.clip(log_numbers, -30, 30))), product)
        return float(occasion_log_losses(probability, product, chosen).mean())

    found = minimize(loss, np.log(start), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7})
    return tuple(float(x) for x in np.exp(np.clip(found.x, -30, 30)))


def _rate(taken: ndarray) -> float:
    return float((taken.sum() + 0.5) / (len(taken) + 1)) if len(taken) else 0.0


def with_special(occasions: Occasions, weight: ndarray, outside_share: float, other_share: float) -> ndarray:
    """Weights of products as probabilities, with the outside option and OTHER at their shares."""
    available = occasions.available
    require_alternatives(available)
    product = is_product(occasions)
    outside: ndarray = available & (occasions.product == OUTSIDE)
    other: ndarray = available & (occasions.product == OTHER)
    some = np.asarray(product.any(axis=1))[:, None]
    probability = np.where(some, normalised_weights(weight, np.where(some, product, available)), 0.0)
    bought = np.where(outside.any(axis=1), 1.0 - outside_share, 1.0)[:, None]
    ordinary = np.where(other.any(axis=1), 1.0 - other_share, 1.0)[:, None]
    probability = probability * bought * ordinary + outside * outside_share + other * (bought * other_share)
    return normalised_weights(probability, available)
