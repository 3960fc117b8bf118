"""Quantity models of the trade, beside which ours stand: means of the item and the customer, and boosted
trees.

All read `build_quantity_features`. Boosted trees are saved in LightGBM's own text format.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from malles.choice.quantity import pmf_mean, pmf_median, point_of_mean
from malles.errors import MissingExtra, ModelError
from malles.head.quantity import bin_of, bought_columns, training_rows
from malles.profiles.quantity import CAP
from malles.vocabulary import ChoiceData

VERSION = 1
CLASSES = 9
"""The multiclass model tells apart 1, ..., 8, and 9 or more units."""

Pair = tuple[Float32[ndarray, "occasion alternative"], Float32[ndarray, "occasion alternative"]]


@dataclass(frozen=True)
class HistoricalMean:
    """Mean units of the past, read off one feature; the point is floor(mean + 0.35). Needs no fit."""

    name: Literal["item_mean", "customer_item_mean"]

    @property
    def feature(self) -> str:
        """The feature that holds the logarithm of the shrunk mean."""
        return {"item_mean": "item_mean", "customer_item_mean": "own_item_mean"}[self.name]

    def fit(self, data: ChoiceData) -> Self:
        """Nothing to fit: the past is in the features."""
        return self

    def predict(self, data: ChoiceData) -> Pair:
        """(mean, point) units per alternative; 0 where nothing can be bought, else >= 1."""
        present = bought_columns(data)
        mean = np.where(present, np.maximum(np.exp(data.feature(self.feature)), 1), 0).astype(np.float32)
        return mean, np.where(present, point_of_mean(mean), 0).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write `quantity.json` to a new folder."""
        _write(folder, {"name": self.name})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`; another version raises ModelError."""
        return cls(_read(folder)["name"])


@dataclass(frozen=True)
class BoostedQuantity:
    """LightGBM on the quantity features: a Poisson mean, or classes 1..8 and 9 or more."""

    kind: Literal["poisson", "multiclass"] = "poisson"
    trees: int = 200
    leaves: int = 63
    rate: float = 0.05
    threads: int = 1
    seed: int = 1

    def fit(self, data: ChoiceData) -> FittedBoostedQuantity:
        """Fit on the chosen alternatives of occasions with known units (capped at 20).

        Raises:
            MissingExtra: LightGBM is not installed.
        """
        lightgbm = _lightgbm()
        _, x, units = training_rows(data)
        classes = np.minimum(bin_of(units), CLASSES - 1)
        options: dict[str, Any] = {
            "objective": self.kind,
            "num_leaves": self.leaves if self.kind == "poisson" else 15,
            "learning_rate": self.rate,
            "min_data_in_leaf": min(100, max(len(x) // 100, 1)),
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "num_threads": self.threads,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }
        if self.kind == "multiclass":
            options["num_class"] = CLASSES
        label = units if self.kind == "poisson" else classes
        trees = self.trees if self.kind == "poisson" else self.trees // 2
        booster = lightgbm.train(options, lightgbm.Dataset(x, label), trees)
        tail = units[units >= CLASSES].mean() if (units >= CLASSES).any() else CLASSES
        return FittedBoostedQuantity(self, booster.model_to_string(), float(tail))


@dataclass(frozen=True)
class FittedBoostedQuantity:
    """A fitted LightGBM quantity model."""

    settings: BoostedQuantity
    model: str
    """LightGBM's text format."""
    tail_mean: float
    """Mean units of training purchases of 9 or more."""

    @property
    def name(self) -> str:
        """lightgbm_poisson or lightgbm_multiclass."""
        return f"lightgbm_{self.settings.kind}"

    def predict(self, data: ChoiceData) -> Pair:
        """(mean, point or median) units per alternative; 0 where nothing can be bought, else >= 1."""
        present = bought_columns(data)
        n, j = np.nonzero(present)
        mean, median = np.zeros(present.shape, np.float32), np.zeros(present.shape, np.float32)
        if len(n) == 0:
            return mean, median
        x = np.concatenate([data.features[n, j], data.context[n]], axis=1)
        booster = _lightgbm().Booster(model_str=self.model)
        if x.shape[1] != booster.num_feature():
            raise ModelError(
                f"the LightGBM quantity model expects {booster.num_feature()} features, got {x.shape[1]}; "
                "build them with the version it was fitted with."
            )
        out = np.asarray(booster.predict(x, num_threads=self.settings.threads))
        if self.settings.kind == "poisson":
            mean[n, j] = np.clip(out, 1, CAP)
            median[n, j] = point_of_mean(out)
        else:
            mean[n, j] = pmf_mean(out) + out[:, -1] * (self.tail_mean - CLASSES)
            median[n, j] = pmf_median(out)
        return mean, median

    def save(self, folder: Path) -> None:
        """Write `quantity.json` and `quantity.txt` to a new folder."""
        _write(folder, {"settings": asdict(self.settings), "tail_mean": self.tail_mean})
        (folder / "quantity.txt").write_text(self.model, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`; another version raises ModelError."""
        facts = _read(folder)
        try:
            model = (folder / "quantity.txt").read_text(encoding="utf-8")
            return cls(BoostedQuantity(**facts["settings"]), model, float(facts["tail_mean"]))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder}: no readable quantity model ({error}); fit it again.") from error


QUANTITY_BASELINES: dict[str, HistoricalMean | BoostedQuantity] = {
    "item_mean": HistoricalMean("item_mean"),
    "customer_item_mean": HistoricalMean("customer_item_mean"),
    "lightgbm_poisson": BoostedQuantity("poisson"),
    "lightgbm_multiclass": BoostedQuantity("multiclass"),
}
"""Every quantity baseline by name; each has `fit(data)`, which gives a `QuantityModel`."""


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtra("a boosted quantity model", "LightGBM", "models") from error
    return lightgbm


def _write(folder: Path, facts: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"version": VERSION, **facts}, indent=1) + "\n"
    (folder / "quantity.json").write_text(text, encoding="utf-8")


def _read(folder: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((folder / "quantity.json").read_text(encoding="utf-8"))
        version = facts.get("version")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder}: no readable quantity model ({error}); fit it again.") from error
    if version != VERSION:
        raise ModelError(
            f"{folder}: the quantity model is of version {version}, this malles reads version {VERSION}; "
            f"fit it again."
        )
    return facts
