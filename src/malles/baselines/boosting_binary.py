"""Boosted trees for a yes-or-no question on a matrix of features: does this trip buy in this category."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.baselines.boosting import load_lightgbm, read_trees
from malles.baselines.saved import SavedModel, read_model, write_model
from malles.errors import DataError, ModelError

_VERSION = 1


@final
@dataclass(frozen=True)
class BoostedBinary:
    """Settings of the boosted incidence model: logit of the probability = a sum of trees.

    Source: Friedman (2001); Ke et al. (2017).
    """

    trees: int = 200
    learning_rate: float = 0.1
    leaves: int = 31
    bins: int = 127
    smallest_leaf: int = 200
    l2: float = 1.0
    patience: int = 15
    """Trees without a better validation loss before the fit stops."""
    seconds: float = 0.0
    """Process time after which no further tree is begun; 0 means no limit."""
    threads: int = 1
    seed: int = 0

    def fit(
        self,
        features: Float[ndarray, "row feature"],
        happened: Bool[ndarray, " row"],
        names: tuple[str, ...],
        valid: tuple[ndarray, ndarray] | None = None,
    ) -> FittedBoostedBinary:
        """Fit on rows; with `valid` = (features, happened), stop early on its log-loss.

        Raises:
            DataError: no rows, one outcome only, or not one name per feature.
        """
        if len(features) == 0 or len(names) != features.shape[1] or happened.all() or not happened.any():
            raise DataError(
                f"got {len(features)} rows with {int(happened.sum())} events and {len(names)} names for "
                f"{features.shape[1]} features; rows of both outcomes and a name per feature are needed."
            )
        lightgbm = load_lightgbm()
        parameters = {
            "objective": "binary", "metric": "binary_logloss", "learning_rate": self.learning_rate,
            "num_leaves": self.leaves, "max_bin": self.bins, "min_data_in_leaf": self.smallest_leaf,
            "lambda_l2": self.l2, "bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.8,
            "num_threads": self.threads, "seed": self.seed, "deterministic": True, "force_col_wise": True,
            "verbosity": -1,
        }  # fmt: skip
        begun = time.process_time()
        columns = [f"column_{k}" for k in range(len(names))]
        data = lightgbm.Dataset(
            features, happened.astype(np.float32), feature_name=columns, params=parameters
        )
        booster = lightgbm.Booster(parameters, data)
        if valid is not None:
            held_out = lightgbm.Dataset(
                valid[0], valid[1].astype(np.float32), reference=data, params=parameters
            )
            booster.add_valid(held_out, "valid")
        best, best_loss = self.trees, np.inf
        for tree in range(self.trees):
            if booster.update() or (self.seconds and time.process_time() - begun > self.seconds):
                best = min(best, tree + 1)
                break
            if valid is None:
                continue
            loss = booster.eval_valid()[-1][2]
            if loss < best_loss - 1e-7:
                best, best_loss = tree + 1, loss
            elif tree + 1 - best >= self.patience:
                break
        return FittedBoostedBinary(booster.model_to_string(num_iteration=best), names, self)


@final
@dataclass(frozen=True)
class FittedBoostedBinary:
    """Boosted trees for one probability."""

    trees: str
    """LightGBM's own text form."""
    names: tuple[str, ...]
    settings: BoostedBinary

    name: ClassVar[str] = "boosting_binary"

    def predict(self, features: Float[ndarray, "row feature"]) -> Float[ndarray, " row"]:
        """Probability of the event for each row.

        Raises:
            ModelError: another number of features than in the fit.
        """
        if features.shape[1] != len(self.names):
            raise ModelError(
                f"the boosted incidence model reads {len(self.names)} features, got {features.shape[1]}. "
                "Build the features as for the fit."
            )
        probability: ndarray = read_trees(self.trees).predict(features, num_threads=self.settings.threads)
        return probability

    def save(self, folder: Path) -> None:
        """Write the trees as text and the rest as JSON to a new folder."""
        settings: dict[str, Any] = {"names": list(self.names), "settings": asdict(self.settings)}
        write_model(folder, SavedModel(self.name, _VERSION, settings, texts={"trees": self.trees}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`; another version raises ModelError."""
        saved = read_model(folder, cls.name, _VERSION)
        try:
            settings = BoostedBinary(**saved.settings["settings"])
            model = cls(saved.texts["trees"], tuple(saved.settings["names"]), settings)
        except (KeyError, TypeError) as error:
            raise ModelError(f"{folder} is damaged ({error!r}). Fit and save the model again.") from None
        read_trees(model.trees)
        return model
