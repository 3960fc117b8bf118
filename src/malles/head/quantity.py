"""How many units: the average of a Poisson mean head and a head over the number itself, on shared
history features.

    h = relu(relu(x W1) W2),   m1 = exp(a h + a' x),   p = softmax(b h + b' x) over 1..8, 9-10, 11-14, 15-20
    mean = (m1 + mean of p) / 2,   pmf = p tilted to that mean,   median = its median

averaged over members. See `docs/method/quantity.md`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped
from numpy import ndarray

from malles.choice.quantity import pmf_mean, pmf_median, tilt_to_mean
from malles.errors import ModelError, OccasionError
from malles.profiles.quantity import CAP
from malles.vocabulary import OTHER, ChoiceData

VERSION = 1
BIN_START = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15])
"""First number of units of each bin; the last bin ends at the cap of 20."""

CLIP = 30.0
"""Standardised inputs are cut here; a tighter cut loses the heavy buyers, who carry most of the deviance."""

_BLOCK = 16_384


@dataclass(frozen=True)
class OtherWorld:
    """The same purchases at other prices, and which way economics lets units move there."""

    data: ChoiceData
    sign: int
    """+1: units must not fall (cheaper); -1: must not rise (dearer)."""


@dataclass(frozen=True)
class QuantitySettings:
    """How the quantity head is fitted."""

    hidden: int = 128
    members: int = 3
    epochs: int = 12
    batch: int = 1024
    rate: float = 4e-3
    weight_decay: float = 0.003
    dropout: float = 0.1
    seed: int = 1
    price_sign: float = 0.0
    """Weight of the penalty on units that move the wrong way in another world; 0: none."""

    def fit(self, data: ChoiceData, worlds: Sequence[OtherWorld] = ()) -> FittedQuantity:
        """Fit on the chosen alternatives of occasions with known units (capped at 20).

        Args:
            data: the purchases.
            worlds: the same purchases at other prices; read with `price_sign` alone.

        Raises:
            OccasionError: no occasion has a chosen alternative with units.
            ModelError: `price_sign` is set without worlds, or a world holds other purchases or features.
        """
        from malles.head.quantity_training import fit_member

        rows, x, units = training_rows(data)
        if len(rows) == 0:
            raise OccasionError(
                "fitting the quantity head needs occasions with a choice and its units, got none; "
                "give it occasions of the past."
            )
        mean, scale = x.mean(0), x.std(0) + np.float32(1e-3)
        bins = bin_of(units)
        within = np.zeros((len(BIN_START), CAP), np.float32)
        np.add.at(within, (bins, units - 1), 1.0)
        empty = within.sum(1) == 0
        within[empty, BIN_START[empty] - 1] = 1
        within /= within.sum(1, keepdims=True)
        seeds = np.random.default_rng(self.seed).integers(2**31, size=self.members)
        z = standardised(x, mean, scale)
        others = self._worlds(data, worlds, mean, scale) if self.price_sign else []
        bin_mean = (within @ np.arange(1, CAP + 1)).astype(np.float32)
        members = tuple(fit_member(self, z, units, bins, int(seed), others, bin_mean) for seed in seeds)
        return FittedQuantity(self, data.feature_names, data.context_names, mean, scale, within, members)

    def _worlds(
        self, data: ChoiceData, worlds: Sequence[OtherWorld], mean: ndarray, scale: ndarray
    ) -> list[tuple[ndarray, int]]:
        if not worlds:
            raise ModelError(
                f"price_sign = {self.price_sign} punishes wrong answers at other prices, got none; give "
                "`fit` the purchases at a lower or higher price, or leave price_sign at 0."
            )
        rows, found = training_rows(data)[0], []
        for world in worlds:
            same = (world.data.feature_names, world.data.context_names) == (
                data.feature_names, data.context_names,
            )  # fmt: skip
            there, x, _ = training_rows(world.data)
            if not (same and np.array_equal(there, rows)):
                raise ModelError(
                    f"another world should hold the {len(rows)} purchases of the data with their "
                    f"features, got {len(there)}; change nothing but prices and "
                    "build its features anew."
                )
            found.append((standardised(x, mean, scale), world.sign))
        return found


@dataclass(frozen=True)
class FittedQuantity:
    """Units given a purchase; follows `QuantityModel`."""

    settings: QuantitySettings
    feature_names: tuple[str, ...]
    context_names: tuple[str, ...]
    centre: Float32[ndarray, " input"]
    scale: Float32[ndarray, " input"]
    within_bin: Float32[ndarray, "bin units"]
    """Share of each number of units in its bin, in training."""
    members: tuple[dict[str, ndarray], ...]
    name: str = "quantity_head"

    def predict(
        self, data: ChoiceData
    ) -> tuple[Float32[ndarray, "occasion alternative"], Float32[ndarray, "occasion alternative"]]:
        """(mean, median) units per alternative: 0 where nothing can be bought, else >= 1.

        Raises:
            ModelError: the data has other features than the model.
        """
        present = bought_columns(data)
        mean, median = np.zeros(present.shape, np.float32), np.zeros(present.shape, np.float32)
        n, j = np.nonzero(present)
        for block in range(0, len(n), _BLOCK):
            at = (n[block : block + _BLOCK], j[block : block + _BLOCK])
            forecast, pmf = self._forward(data, *at)
            mean[at] = forecast
            median[at] = pmf_median(tilt_to_mean(pmf, forecast))
        return mean, median

    def pmf(self, data: ChoiceData) -> Float32[ndarray, "occasion alternative units"]:
        """Distribution over 1..20 units per alternative, with the mean of `predict`; all zero where none
        can be bought.
        """
        present = bought_columns(data)
        out = np.zeros((*present.shape, CAP), np.float32)
        n, j = np.nonzero(present)
        for block in range(0, len(n), _BLOCK):
            at = (n[block : block + _BLOCK], j[block : block + _BLOCK])
            forecast, pmf = self._forward(data, *at)
            out[at] = tilt_to_mean(pmf, forecast)
        return out

    def _forward(
        self, data: ChoiceData, n: Int64[ndarray, " row"], j: Int64[ndarray, " row"]
    ) -> tuple[Float32[ndarray, " row"], Float32[ndarray, "row units"]]:
        """Mean and untilted distribution of single alternatives."""
        if data.feature_names != self.feature_names or data.context_names != self.context_names:
            raise ModelError(
                f"the quantity head expects the {len(self.feature_names)} features of "
                f"build_quantity_features, got "
                f"{len(data.feature_names)} others; build them with the version it was fitted with."
            )
        z = standardised(
            np.concatenate([data.features[n, j], data.context[n]], axis=1), self.centre, self.scale
        )
        log_mean, bins = np.zeros(len(z), np.float32), np.zeros((len(z), len(BIN_START)), np.float32)
        mean = np.zeros(len(z), np.float32)
        for w in self.members:
            log_mean, logits = member_outputs(w, z)
            mean += np.exp(np.clip(log_mean, 0, np.log(CAP))) / len(self.members)
            share = np.exp(logits - logits.max(1, keepdims=True))
            bins += share / share.sum(1, keepdims=True) / len(self.members)
        pmf = bins @ self.within_bin
        return np.clip((mean + pmf_mean(pmf)) / 2, 1, CAP).astype(np.float32), pmf

    def save(self, folder: Path) -> None:
        """Write `quantity.json` and `quantity.safetensors` to a new folder."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{m}.{k}": np.ascontiguousarray(v) for m, w in enumerate(self.members) for k, v in w.items()
        }
        tensors |= {"centre": self.centre, "scale": self.scale, "within_bin": self.within_bin}
        save_file(tensors, folder / "quantity.safetensors")
        facts = {
            "version": VERSION,
            "settings": asdict(self.settings),
            "feature_names": self.feature_names,
            "context_names": self.context_names,
        }
        (folder / "quantity.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`.

        Raises:
            ModelError: a file is missing or unreadable, or of another version.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            facts = json.loads((folder / "quantity.json").read_text(encoding="utf-8"))
            if facts.get("version") != VERSION:
                raise ModelError(
                    f"{folder}: the quantity head is of version {facts.get('version')}, this malles reads "
                    f"version "
                    f"{VERSION}; fit it again."
                )
            tensors = load_file(folder / "quantity.safetensors")
            settings = QuantitySettings(**facts["settings"])
            members = tuple(
                {k.split(".", 1)[1]: v for k, v in tensors.items() if k.startswith(f"{m}.")}
                for m in range(settings.members)
            )
            names = tuple(facts["feature_names"]), tuple(facts["context_names"])
            return cls(settings, *names, tensors["centre"], tensors["scale"], tensors["within_bin"], members)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise ModelError(f"{folder}: no readable quantity head ({error}); fit it again.") from error


def bought_columns(data: ChoiceData) -> Bool[ndarray, "occasion alternative"]:
    """Columns of which units can be bought: available products and `OTHER`, never column 0."""
    o = data.occasions
    present = o.available & ((o.product >= 0) | (o.product == OTHER))
    present[:, 0] = False
    return np.asarray(present)


def training_rows(
    data: ChoiceData,
) -> tuple[Int64[ndarray, " row"], Float32[ndarray, "row input"], Int64[ndarray, " row"]]:
    """Occasions with a bought alternative and known units; its features with the context; units capped
    at 20.
    """
    o = data.occasions
    column = np.maximum(o.chosen.astype(np.int64), 0)
    known = (o.units > 0) & (o.chosen > 0) & bought_columns(data)[np.arange(len(o)), column]
    rows = np.flatnonzero(known)
    x = np.concatenate([data.features[rows, column[rows]], data.context[rows]], axis=1)
    return rows, x, np.minimum(o.units[rows], CAP).astype(np.int64)


def bin_of(units: Shaped[ndarray, " row"]) -> Int64[ndarray, " row"]:
    """Bin of a number of units.

    >>> bin_of(np.array([1, 8, 10, 20]))
    array([ 0,  7,  8, 10])
    """
    return (np.searchsorted(BIN_START, units, side="right") - 1).astype(np.int64)


def standardised(
    x: Float32[ndarray, "row input"], centre: Float32[ndarray, " input"], scale: Float32[ndarray, " input"]
) -> Float32[ndarray, "row input"]:
    """Inputs in standard deviations of training, cut at `CLIP`."""
    return np.asarray(np.clip((x - centre) / scale, -CLIP, CLIP), np.float32)


def member_outputs(
    w: dict[str, ndarray], z: Float32[ndarray, "row input"]
) -> tuple[Float32[ndarray, " row"], Float32[ndarray, "row bin"]]:
    """Log mean and logits of the bins of one member network."""
    h = np.maximum(z @ w["first"] + w["first_bias"], 0)
    h = np.maximum(h @ w["second"] + w["second_bias"], 0)
    out = h @ w["last"] + z @ w["skip"] + w["last_bias"]
    return out[:, 0], out[:, 1:]
