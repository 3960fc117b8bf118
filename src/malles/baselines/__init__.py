"""One file per classical model that every result stands beside.

    settings.fit(train, valid) -> fitted model, which predicts, saves itself and is loaded again

`BASELINES` lists the settings, `FITTED` what comes back, by the same names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from malles.baselines.boosting import BoostedTrees, FittedBoostedTrees
from malles.baselines.cheapest import Cheapest, FittedCheapest
from malles.baselines.last_purchased import FittedLastPurchased, LastPurchased
from malles.baselines.latent_class import FittedLatentClassLogit, LatentClassLogit
from malles.baselines.logit import ConditionalLogit, FittedConditionalLogit
from malles.baselines.personal_frequency import FittedPersonalFrequency, PersonalFrequency
from malles.baselines.popularity import (
    FittedPopularityChain,
    FittedPopularityStore,
    PopularityChain,
    PopularityStore,
)
from malles.baselines.random_choice import FittedRandom, Random
from malles.baselines.saved import read_head
from malles.choice.model import ChoiceModel
from malles.errors import ModelError, did_you_mean
from malles.vocabulary import ChoiceData


class Baseline(Protocol):
    """Settings of a classical choice model."""

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> ChoiceModel:
        """Fit on `train`; models that stop early or fit a scale use `valid`."""
        ...


BASELINES: dict[str, type[Any]] = {
    "random": Random,
    "cheapest": Cheapest,
    "popularity_chain": PopularityChain,
    "popularity_store": PopularityStore,
    "last_purchased": LastPurchased,
    "personal_frequency": PersonalFrequency,
    "conditional_logit": ConditionalLogit,
    "latent_class": LatentClassLogit,
    "boosting": BoostedTrees,
}
"""Settings by name; each follows `Baseline` and has defaults for everything."""

FITTED: dict[str, type[Any]] = {
    "random": FittedRandom,
    "cheapest": FittedCheapest,
    "popularity_chain": FittedPopularityChain,
    "popularity_store": FittedPopularityStore,
    "last_purchased": FittedLastPurchased,
    "personal_frequency": FittedPersonalFrequency,
    "conditional_logit": FittedConditionalLogit,
    "latent_class": FittedLatentClassLogit,
    "boosting": FittedBoostedTrees,
}
"""What the settings of the same name return."""


def load_baseline(folder: Path) -> ChoiceModel:
    """Read any saved choice model of this package.

    Raises:
        ModelError: no model, one of another version, or one that this package does not know.
    """
    name = str(read_head(folder)["model"])
    if name not in FITTED:
        raise ModelError(f"{folder} holds the unknown model {name!r}. {did_you_mean(name, FITTED)}".rstrip())
    model: ChoiceModel = FITTED[name].load(folder)
    return model
