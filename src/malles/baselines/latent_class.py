"""The latent-class logit: a few kinds of customers; a known customer is a mixture by its own past choices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.columns import require_choices, require_features, select_features, special_columns
from malles.baselines.latent_class_estimate import estimate_latent_classes
from malles.baselines.saved import SavedModel, read_model, required, write_model
from malles.choice.probability import choice_probabilities
from malles.errors import ModelError
from malles.vocabulary import ChoiceData

_VERSION = 1

_SAMPLE = 30_000
"""Occasions of whole customers used; the classes are few and this many fix them."""

DEFAULT_FEATURES = (
    "log_price", "discount_gap", "display", "mailer", "coupon", "private_label", "popularity",
    "own_frequency",
    "own_share", "own_last", "own_trip_decay85", "own_ever", "maker_share", "size_share", "follow_all",
    "chain_display",
)  # fmt: skip
"""Taken where the occasions have them, if no features are named."""


@final
@dataclass(frozen=True)
class LatentClassLogit:
    """Settings of the latent-class logit."""

    classes: int = 3
    features: tuple[str, ...] | None = None
    """Names of the attributes; None takes those of `DEFAULT_FEATURES` that exist."""
    iterations: int = 25
    l2: float = 1.0
    """Ridge on coefficients of attributes scaled to unit spread."""
    seed: int = 0

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedLatentClassLogit:
        """Fit by EM over the customers' panels.

        Raises:
            DataError: an occasion has no known choice.
            ModelError: a named feature is missing.
        """
        require_choices(train)
        names = self.features
        if names is None:
            names = tuple(name for name in DEFAULT_FEATURES if name in train.feature_names)
        require_features(train, names, "the latent-class logit")
        names += tuple(name for name in special_columns(train) if name not in names)
        rng = np.random.default_rng(self.seed)
        sample = _whole_customers(train, rng)
        x = select_features(sample, names).astype(np.float64)
        scale = x[sample.occasions.available].std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        x /= scale
        known, customer = np.unique(sample.occasions.customer, return_inverse=True)
        found = estimate_latent_classes(
            x,
            sample.occasions.available,
            sample.occasions.chosen,
            customer,
            self.classes,
            rng,
            self.iterations,
            self.l2,
        )
        return FittedLatentClassLogit(
            names,
            found.coefficient / scale,
            found.share,
            known.astype(np.int32),
            found.posterior,
            found.log_likelihood,
        )


@final
@dataclass(frozen=True)
class FittedLatentClassLogit:
    """Class shares, tastes and the training customers' memberships."""

    features: tuple[str, ...]
    coefficient: Float[ndarray, "class feature"]
    share: Float[ndarray, " class"]
    customer: ndarray
    """Ascending codes of the training customers."""
    posterior: Float[ndarray, "customer class"]
    log_likelihood: float

    name: ClassVar[str] = "latent_class"

    def membership(self, data: ChoiceData) -> Float[ndarray, "occasion class"]:
        """Class probabilities of each occasion's customer; the shares for customers not in the fit."""
        place = np.minimum(np.searchsorted(self.customer, data.occasions.customer), len(self.customer) - 1)
        known = (self.customer[place] == data.occasions.customer) & (data.occasions.customer >= 0)
        return np.where(known[:, None], self.posterior[place], self.share)

    def predict(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities: rows sum to one, unavailable columns are exactly 0."""
        require_features(data, self.features, "the latent-class logit")
        x, membership = select_features(data, self.features), self.membership(data)
        available = data.occasions.available
        probability = np.zeros(available.shape)
        for c, b in enumerate(self.coefficient):
            utility = np.where(available, x @ b.astype(np.float32), 0.0).astype(np.float64)
            probability += membership[:, [c]] * choice_probabilities(utility, available)
        return probability

    def save(self, folder: Path) -> None:
        """Write classes and memberships to a new folder."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        settings = {"features": list(self.features), "log_likelihood": self.log_likelihood}
        write_model(folder, SavedModel(self.name, _VERSION, settings, arrays))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`; another version raises ModelError."""
        saved = read_model(folder, cls.name, _VERSION)
        arrays = {name: required(saved, name) for name in _ARRAYS}
        try:
            features, value = tuple(saved.settings["features"]), float(saved.settings["log_likelihood"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder} is damaged ({error!r}). Fit and save the model again.") from None
        return cls(
            features, arrays["coefficient"], arrays["share"], arrays["customer"], arrays["posterior"], value
        )


_ARRAYS = ("coefficient", "share", "customer", "posterior")


def _whole_customers(train: ChoiceData, rng: np.random.Generator) -> ChoiceData:
    """All occasions of customers drawn at random until `_SAMPLE` occasions are reached."""
    if len(train) <= _SAMPLE:
        return train
    customer, place, count = np.unique(train.occasions.customer, return_inverse=True, return_counts=True)
    order = rng.permutation(len(customer))
    taken = order[np.cumsum(count[order]) <= _SAMPLE]
    chosen = np.zeros(len(customer), bool)
    chosen[taken if len(taken) else order[:1]] = True
    return train.take(np.flatnonzero(chosen[place]))
