"""`head`: a set model over the alternatives of an occasion on economic features; small and fast."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32
from numpy import ndarray

from malles.errors import MissingExtra, ModelError, OccasionError
from malles.head import network
from malles.head.vectors import PREFIX, VectorProjection, fit_projection
from malles.vocabulary import ChoiceData, Regime

VERSION = 1
"""Raised when a saved head can no longer be read; older folders are refused."""

GAPS = (
    "own_frequency", "own_decay8", "own_trip_decay6", "own_weeks_since", "own_share", "follow_all",
    "follow_last", "together_lift", "maker_share", "popularity", "store_recent", "chain_8", "price_gap",
    "unit_price_gap", "discount", "chain_display",
)  # fmt: skip
"""Features that also enter as the gap to the best other alternative, where present."""

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class HeadSettings:
    """How a head is fitted; `fit` returns a `FittedHead`."""

    width: int = 96
    """Units of the candidate encoder and of both pooling blocks."""
    embedding: int = 8
    """Length of the learned vector of a category."""
    epochs: int = 7
    batch: int = 512
    """Occasions per step."""
    rate: float = 2e-3
    """Largest learning rate; rises over the first 2 % of the steps, then falls by a half cosine to zero."""
    decay: float = 0.02
    """Weight decay of the matrices (AdamW)."""
    embedding_decay: float = 0.2
    dropout: float = 0.1
    """Part of the hidden units left out, the same for all alternatives of an occasion."""
    averaging: float = 0.998
    """Exponential moving average of the weights; the average is what is kept."""
    half_life: float = 0.0
    """Weeks after which an occasion counts half as much as one of the last week; 0 counts all the same."""
    seed: int = 0

    def fit(self, train: ChoiceData, valid: ChoiceData, progress: Progress | None = None) -> FittedHead:
        """Minimise the negative log-likelihood of the choices on `train`; fit the temperature on `valid`.

        Args:
            train: occasions with known choices, all of an available column other than 0.
            valid: later occasions with the same features.
            progress: called as `progress(step, steps, loss)` about a hundred times.

        Raises:
            MissingExtra: PyTorch is not installed.
            ModelError: no occasion to learn from, or the two parts have different features.
        """
        try:
            import torch  # noqa: F401
        except ImportError:
            raise MissingExtra("fitting the set model `head`", "PyTorch", "torch") from None
        from malles.head.training import train_parameters

        if train.feature_names != valid.feature_names or train.context_names != valid.context_names:
            raise ModelError("Training and validation features differ; build both with the same regime.")
        usable = can_learn(train)
        if not usable.any():
            raise ModelError(
                "No training occasion has a known choice among its alternatives; nothing to learn."
            )
        projection, names = fit_projection(train), train.feature_names
        if projection is not None:
            train, valid = projection.add(train), projection.add(valid)
        start = prepare(self, train, usable)
        parameters = train_parameters(self, start, train, usable, progress)
        fitted = start.with_parameters(parameters)
        fitted = fitted.with_temperature(find_temperature(fitted, valid))
        return replace(fitted, feature_names=names, projection=projection)


@dataclass(frozen=True)
class FittedHead:
    """A fitted set model: arrays and names, nothing else."""

    settings: HeadSettings
    feature_names: tuple[str, ...]
    context_names: tuple[str, ...]
    regime: Regime
    parameters: network.Parameters = field(repr=False)
    feature_mean: Float32[ndarray, " input"] = field(repr=False)
    feature_scale: Float32[ndarray, " input"] = field(repr=False)
    context_mean: Float32[ndarray, " context"] = field(repr=False)
    context_scale: Float32[ndarray, " context"] = field(repr=False)
    temperature: float = 1.0
    name: str = "head"
    projection: VectorProjection | None = field(default=None, repr=False)
    """What makes features of the products' embedding vectors, if they have any."""

    def predict(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities given that the customer buys; unavailable columns are exactly 0.

        Column 0 is 0 too, unless it is all there is.

        Raises:
            OccasionError: an occasion has no available alternative at all.
        """
        open_ = offered(data)
        empty = ~open_.any(axis=1)
        if empty.any():
            shut = empty & ~data.occasions.available[:, 0]
            if shut.any():
                first = int(np.flatnonzero(shut)[0])
                raise OccasionError(
                    f"{int(shut.sum())} of {len(data)} occasions have no available alternative, the first at "
                    f"row {first}; each needs at least one. Leave them out or give them some."
                )
            open_[empty, 0] = True
        masked = np.where(open_, self.utility(data) / self.temperature, -np.inf)
        weight = np.exp(masked - masked.max(axis=1, keepdims=True))
        probability: ndarray = weight / weight.sum(axis=1, keepdims=True)
        return probability

    def utility(self, data: ChoiceData, chunk: int = 256) -> Float32[ndarray, "occasion alternative"]:
        """Systematic utilities V before the temperature."""
        self._check(data)
        if self.projection is not None:
            data = self.projection.add(data)
        out = np.zeros(data.occasions.shape, np.float32)
        open_ = offered(data)
        columns = np.flatnonzero(open_.any(axis=0))
        if not len(columns):
            return out
        lo, hi = int(columns[0]), int(columns[-1]) + 1
        category = self.category_rows(data)
        for a in range(0, len(data), chunk):
            rows = slice(a, a + chunk)
            mask = open_[rows, lo:hi]
            z, c = self.inputs(data.features[rows, lo:hi], data.context[rows], mask)
            out[rows, lo:hi] = network.utilities(self.parameters, z, c, category[rows], mask)
        return out

    def inputs(
        self,
        features: Float32[ndarray, "occasion alternative feature"],
        context: Float32[ndarray, "occasion context"],
        mask: Bool[ndarray, "occasion alternative"],
    ) -> tuple[Float32[ndarray, "occasion alternative input"], Float32[ndarray, "occasion context"]]:
        """Standardised inputs of the network: features, gaps to the best other alternative, context."""
        gaps = gap_columns(self.feature_names)
        F = features.shape[2]
        z = np.empty((*features.shape[:2], F + len(gaps)), np.float32)
        z[:, :, :F] = features
        z[:, :, F:] = gap_to_best(features[:, :, gaps], mask)
        z -= self.feature_mean
        z *= self.feature_scale
        np.clip(z, -network.CLIP, network.CLIP, out=z)
        z *= mask[:, :, None]
        c = np.clip((context - self.context_mean) * self.context_scale, -network.CLIP, network.CLIP)
        return z, c

    def category_rows(self, data: ChoiceData) -> Int32[ndarray, " occasion"]:
        """Row of each occasion's category in the learned vectors; the last, zero, if it was never learnt."""
        last = len(self.parameters["category"]) - 1
        category = data.occasions.category
        return np.where((category >= 0) & (category < last), category, last).astype(np.int32)

    def with_parameters(self, parameters: network.Parameters) -> FittedHead:
        """The same head with other weights."""
        return FittedHead(**{**_fields(self), "parameters": parameters})

    def with_temperature(self, temperature: float) -> FittedHead:
        """The same head with utilities divided by `temperature`."""
        return FittedHead(**{**_fields(self), "temperature": temperature})

    def save(self, folder: Path) -> None:
        """Write `head.json` and `weights.safetensors` to a new folder."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=False)
        arrays = dict(self.parameters)
        for name in ("feature_mean", "feature_scale", "context_mean", "context_scale"):
            arrays[f"input.{name}"] = getattr(self, name)
        if self.projection is not None:
            arrays |= self.projection.arrays()
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "weights.safetensors")
        about = {
            "kind": "head",
            "version": VERSION,
            "settings": asdict(self.settings),
            "feature_names": self.feature_names,
            "context_names": self.context_names,
            "regime": self.regime.value,
            "temperature": self.temperature,
        }
        (folder / "head.json").write_text(json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a head written by `save`."""
        from safetensors.numpy import load_file

        try:
            about = json.loads((folder / "head.json").read_text())
            if about.get("kind") != "head" or about.get("version") != VERSION:
                raise ModelError(
                    f"{folder} holds a model of kind {about.get('kind')!r}, version "
                    f"{about.get('version')!r}; this malles reads 'head' version {VERSION}. Fit it again."
                )
            arrays = load_file(folder / "weights.safetensors")
            known = [name for name in arrays if name.startswith("input.")]
            inputs: dict[str, Any] = {name.removeprefix("input."): arrays.pop(name) for name in known}
            projection = VectorProjection.of_arrays(arrays)
            return cls(
                settings=HeadSettings(**about["settings"]),
                feature_names=tuple(about["feature_names"]),
                context_names=tuple(about["context_names"]),
                regime=Regime(about["regime"]),
                parameters={name: a for name, a in arrays.items() if not name.startswith(PREFIX)},
                projection=projection,
                temperature=float(about["temperature"]),
                **inputs,
            )
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"{folder} is not a readable head ({error}); it needs head.json and weights.safetensors."
            ) from error

    def _check(self, data: ChoiceData) -> None:
        if data.feature_names != self.feature_names or data.context_names != self.context_names:
            missing = [n for n in self.feature_names + self.context_names
                       if n not in data.feature_names + data.context_names]  # fmt: skip
            raise ModelError(
                f"This head was fitted on {len(self.feature_names)} features of regime {self.regime.value}, "
                f"but the data has {len(data.feature_names)} of regime {data.regime.value}"
                f"{'; it lacks ' + ', '.join(missing[:5]) if missing else ''}. "
                "Build them with the same regime."
            )


def _fields(model: Any) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.__dataclass_fields__}


def offered(data: ChoiceData) -> Bool[ndarray, "occasion alternative"]:
    """Available alternatives other than column 0: the head decides which, given that something is bought."""
    open_ = data.occasions.available.copy()
    open_[:, 0] = False
    return open_


def can_learn(data: ChoiceData) -> Bool[ndarray, " occasion"]:
    """Occasions whose choice is known, offered, and not the only alternative."""
    open_, chosen = offered(data), data.occasions.chosen
    known = (chosen > 0) & open_[np.arange(len(data)), np.maximum(chosen, 0)]
    usable: ndarray = known & (open_.sum(axis=1) > 1)
    return usable


def gap_columns(names: tuple[str, ...]) -> list[int]:
    """Columns of `GAPS` that these features have."""
    return [names.index(name) for name in GAPS if name in names]


def gap_to_best(
    x: Float32[ndarray, "occasion alternative gap"], mask: Bool[ndarray, "occasion alternative"]
) -> Float32[ndarray, "occasion alternative gap"]:
    """x[j] − the largest x[k] over available k ≠ j; 0 where j is alone.

    >>> gap_to_best(np.array([[[3.0], [5.0], [4.0]]], np.float32), np.ones((1, 3), bool))[0, :, 0]
    array([-2.,  1., -1.], dtype=float32)
    """
    n, J, G = x.shape
    filled = np.where(mask[:, :, None], x, np.float32(-1e9))
    if J < 2:
        return np.zeros_like(x)
    best = filled.max(axis=1, keepdims=True)
    where = filled.argmax(axis=1)
    without = filled.copy()
    without[np.arange(n)[:, None], where, np.arange(G)[None]] = -1e9
    second = without.max(axis=1, keepdims=True)
    other = np.broadcast_to(best, x.shape).copy()
    other[np.arange(n)[:, None], where, np.arange(G)[None]] = second[:, 0]
    return np.where(mask[:, :, None] & (other > -1e8), x - other, 0).astype(np.float32)


def prepare(settings: HeadSettings, train: ChoiceData, usable: Bool[ndarray, " occasion"]) -> FittedHead:
    """Standardisation from the training occasions (a sample of at most 20,000), and starting weights."""
    rng = np.random.default_rng(settings.seed)
    rows = np.flatnonzero(usable)
    rows = np.sort(rng.choice(rows, min(len(rows), 20_000), replace=False))
    open_ = offered(train)[rows]
    features = train.features[rows]
    gaps = gap_columns(train.feature_names)
    z = np.concatenate([features[open_], gap_to_best(features[:, :, gaps], open_)[open_]], axis=1)
    context = train.context[rows]
    mean, spread = z.mean(axis=0, dtype=np.float64), z.std(axis=0, dtype=np.float64)
    context_mean, context_spread = (
        context.mean(axis=0, dtype=np.float64),
        context.std(axis=0, dtype=np.float64),
    )
    categories = int(train.occasions.category.max(initial=0)) + 1
    return FittedHead(
        settings=settings,
        feature_names=train.feature_names,
        context_names=train.context_names,
        regime=train.regime,
        parameters=network.draw_parameters(
            z.shape[1], context.shape[1], categories, settings.width, settings.embedding, rng
        ),
        feature_mean=mean.astype(np.float32),
        feature_scale=np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0).astype(np.float32),
        context_mean=context_mean.astype(np.float32),
        context_scale=np.where(context_spread > 1e-6, 1 / np.maximum(context_spread, 1e-6), 0).astype(
            np.float32
        ),
    )


def find_temperature(fitted: FittedHead, valid: ChoiceData) -> float:
    """The temperature in [0.5, 2] with the least log-loss on `valid`; 1 if no choice is known there."""
    usable = can_learn(valid)
    if not usable.any():
        return 1.0
    valid = valid.take(np.flatnonzero(usable))
    utility = np.where(offered(valid), fitted.utility(valid).astype(np.float64), -np.inf)
    rows, chosen = np.arange(len(valid)), valid.occasions.chosen

    def loss(log_temperature: float) -> float:
        v = utility / np.exp(log_temperature)
        v = v - v.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(v).sum(axis=1)) - v[rows, chosen]))

    from scipy.optimize import minimize_scalar

    return float(np.exp(minimize_scalar(loss, bounds=(-np.log(2), np.log(2)), method="bounded").x))
