"""The similarity head: a conditional logit or a small set network with a cold mode.

    z[j] = (x[j] centred by its set, the same times cold),   linear:  V[j] = b z[j]
    network: z also holds x standardised by its set and the cold flag; V adds the network of `launch.py`

One head serves products with sales and products without: in the cold mode the features of sales are zero, and
the head knows that they are hidden. `docs/method/text.md` has the measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy import ndarray

from malles.choice.probability import log_choice_probabilities
from malles.errors import MissingExtra, ModelError
from malles.head.launch import member_utility, relative_features

_BLOCK = 4096


@dataclass(frozen=True)
class SimilarityData:
    """Alternatives as the similarity head sees them; every column holds an alternative."""

    features: Float32[ndarray, "occasion alternative feature"]
    cold: Bool[ndarray, " occasion"]
    """Whether sales are hidden."""
    chosen: Int[ndarray, " occasion"]

    def __len__(self) -> int:
        return len(self.chosen)

    def take(self, rows: ndarray) -> SimilarityData:
        """The occasions selected by an index or a mask."""
        return SimilarityData(self.features[rows], self.cold[rows], self.chosen[rows])

    def joined(self, *others: SimilarityData) -> SimilarityData:
        """Occasions of several parts under each other."""
        parts = (self, *others)
        return SimilarityData(
            np.concatenate([p.features for p in parts]),
            np.concatenate([p.cold for p in parts]),
            np.concatenate([p.chosen for p in parts]),
        )


@dataclass(frozen=True)
class SimilaritySettings:
    """How the head is fitted."""

    hidden: int = 32
    """Width of the set network; 0 leaves the conditional logit."""
    members: int = 2
    """Networks averaged, with different seeds; a conditional logit needs one."""
    epochs: int = 12
    batch: int = 256
    rate: float = 3e-3
    weight_decay: float = 0.01
    dropout: float = 0.1
    seed: int = 1

    def fit(self, train: SimilarityData, valid: Sequence[SimilarityData]) -> FittedSimilarityHead:
        """Fit; the epoch kept is the one with the least mean log-loss over the parts of `valid`.

        Each part counts alike, so that the choice is not left to the commonest kind of occasion.
        """
        from malles.head.similarity_training import fit_member

        try:
            import torch  # noqa: F401
        except ImportError as error:
            raise MissingExtra("fitting the similarity head", "PyTorch", "torch") from error
        scale = _spread(train.features)
        members, history = [], []
        for member in range(self.members if self.hidden else 1):
            weights, losses = fit_member(self, train, valid, scale, self.seed + member)
            members.append(weights)
            history.append(losses)
        return FittedSimilarityHead(self, scale, tuple(members), tuple(history))


@dataclass(frozen=True)
class FittedSimilarityHead:
    """Utilities of alternatives from their features."""

    settings: SimilaritySettings
    scale: Float32[ndarray, " feature"]
    members: tuple[dict[str, ndarray], ...]
    history: tuple[tuple[float, ...], ...]
    """Mean validation log-loss per member and epoch."""

    def utility(self, data: SimilarityData) -> Float32[ndarray, "occasion alternative"]:
        """Utility V, a mean over the members."""
        if data.features.shape[2] != len(self.scale):
            raise ModelError(
                f"the similarity head was fitted on {len(self.scale)} features, got {data.features.shape[2]}."
            )
        out = np.zeros(data.features.shape[:2], np.float32)
        for start in range(0, len(data), _BLOCK):
            part = data.take(np.arange(start, min(start + _BLOCK, len(data))))
            z = inputs(part.features, part.cold, self.scale, network=self.settings.hidden > 0)
            everything = np.ones(z.shape[:2], bool)
            for weights in self.members:
                out[start : start + len(part)] += member_utility(weights, z, everything) / len(self.members)
        return out

    def log_probability(self, data: SimilarityData) -> Float32[ndarray, "occasion alternative"]:
        """Log-probabilities of all alternatives."""
        utility = self.utility(data).astype(np.float64)
        return log_choice_probabilities(utility, np.ones(utility.shape, bool)).astype(np.float32)

    def loss(self, data: SimilarityData) -> float:
        """Mean log-loss in nats."""
        return float(-self.log_probability(data)[np.arange(len(data)), data.chosen].mean())

    @classmethod
    def of(cls, settings: SimilaritySettings, scale: ndarray, weights: dict[str, ndarray]) -> Self:
        """A head of one member, as it stands during training."""
        return cls(settings, scale, (weights,), ())


def inputs(
    features: Float32[ndarray, "occasion alternative feature"],
    cold: Bool[ndarray, " occasion"],
    scale: Float32[ndarray, " feature"],
    *,
    network: bool,
) -> Float32[ndarray, "occasion alternative transformed"]:
    """What the head multiplies: features relative to their set, and the same in the cold mode only.

    >>> x = np.array([[[1.0], [3.0]]], np.float32)
    >>> inputs(x, np.array([True]), np.ones(1, np.float32), network=False)
    array([[[-1., -1.],
            [ 1.,  1.]]], dtype=float32)
    """
    relative = relative_features(features, np.ones(features.shape[:2], bool), scale)
    count = features.shape[2]
    flag = cold.astype(np.float32)[:, None, None]
    parts = [relative[:, :, :count], relative[:, :, :count] * flag]
    if network:
        parts += [relative[:, :, count:], np.broadcast_to(flag, (*features.shape[:2], 1))]
    return np.concatenate(parts, axis=2)


def _spread(features: ndarray) -> Float32[ndarray, " feature"]:
    """Root mean square distance of each feature from its set's mean, where it is not constant."""
    centred = features - features.mean(axis=1, keepdims=True)
    square = (centred.astype(np.float64) ** 2).mean(axis=1)
    varied = square > 1e-12
    return np.asarray(np.sqrt(square.sum(0) / np.maximum(varied.sum(0), 1)) + 1e-3, np.float32)
