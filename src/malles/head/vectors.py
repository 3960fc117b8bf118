"""Embedding vectors as inputs of the set model: principal components, centred over the alternatives.

    x[p] = ((v[p] - mean) · weight) B / scale          B: the leading principal axes of the offered products
    vector_k[j] = x[j, k] - mean of x[·, k] over the alternatives that have a vector; 0 for the others

The axes are fitted on the products offered in training and belong to the model, so that a later catalogue
with new products is seen along the same axes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from malles.errors import ModelError
from malles.profiles.vectors import KNOWN_NAME
from malles.vocabulary import ChoiceData, Embedding

COMPONENTS = 16
"""Principal axes at most; they hold most of what tells the products of a shelf apart, and a narrow input
leaves a small training set nothing to memorise products by."""

PREFIX = "vector."
"""Of the arrays of a saved projection."""


@dataclass(frozen=True)
class VectorProjection:
    """Principal axes of the embedding columns, side by side."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    mean: Float32[ndarray, " dimension"]
    weight: Float32[ndarray, " dimension"]
    """1 / standard deviation of the column, so that columns of different length and scale count alike."""
    basis: Float32[ndarray, "dimension component"]
    """Axes divided by the spread of the products along them."""

    def positions(self, embeddings: tuple[Embedding, ...]) -> Float32[ndarray, "product component"]:
        """Every product along the axes; 0 without a vector.

        Raises:
            ModelError: the embedding columns are not those the axes were fitted on.
        """
        found = tuple((e.name, e.vector.shape[1]) for e in embeddings)
        if found != tuple(zip(self.names, self.sizes, strict=True)):
            raise ModelError(
                f"This head was fitted on the embedding columns {', '.join(self.names)} of {self.sizes} "
                f"numbers, but the products have {found or 'none'}; import the same columns, or fit it again."
            )
        standard = standardise(embeddings, self.mean, self.weight)
        return np.asarray(standard @ self.basis, np.float32)

    def add(self, data: ChoiceData) -> ChoiceData:
        """The same occasions with `vector_0`, `vector_1`, … as further features."""
        products = embeddings_of(data)
        position = self.positions(products)
        product = data.occasions.product
        known = (data.feature(KNOWN_NAME) > 0)[:, :, None]
        x = np.where(known, position[np.maximum(product, 0)], np.float32(0))
        x -= x.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
        x = np.where(known, x, np.float32(0)).astype(np.float32)
        names = tuple(f"vector_{k}" for k in range(x.shape[2]))
        return replace(
            data,
            features=np.concatenate([data.features, x], axis=2),
            feature_names=data.feature_names + names,
        )

    def arrays(self) -> dict[str, ndarray]:
        """As arrays to be saved."""
        about = json.dumps([self.names, self.sizes]).encode()
        parts = {"mean": self.mean, "weight": self.weight, "basis": self.basis}
        parts["columns"] = np.frombuffer(about, np.uint8)
        return {PREFIX + name: values for name, values in parts.items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, ndarray]) -> VectorProjection | None:
        """Back from `arrays`, or None if nothing was saved."""
        if PREFIX + "basis" not in arrays:
            return None
        names, sizes = json.loads(arrays[PREFIX + "columns"].tobytes())
        return cls(
            tuple(names), tuple(sizes), *(arrays[PREFIX + part] for part in ("mean", "weight", "basis"))
        )


def embeddings_of(data: ChoiceData) -> tuple[Embedding, ...]:
    """The embedding columns behind some occasions."""
    return data.catalogue.products.embeddings if data.catalogue is not None else ()


def standardise(embeddings: tuple[Embedding, ...], mean: ndarray, weight: ndarray) -> ndarray:
    """Columns side by side, centred and scaled; 0 where a vector is missing."""
    known = np.concatenate([np.broadcast_to(e.known[:, None], e.vector.shape) for e in embeddings], axis=1)
    raw = np.concatenate([e.vector for e in embeddings], axis=1)
    standard: ndarray = np.where(known, (raw - mean) * weight, np.float32(0))
    return standard


def fit_projection(train: ChoiceData, components: int = COMPONENTS) -> VectorProjection | None:
    """Principal axes of the products that are offered in `train`; None if they carry no vectors."""
    embeddings = embeddings_of(train)
    if KNOWN_NAME not in train.feature_names or not embeddings:
        return None
    offered = np.unique(train.occasions.product[train.occasions.available])
    offered = offered[offered >= 0]
    offered = offered[np.any([e.known[offered] for e in embeddings], axis=0)]
    if len(offered) < 2:
        return None
    means, weights = [], []
    for e in embeddings:
        seen = e.vector[offered[e.known[offered]]].astype(np.float64)
        center = seen.mean(axis=0) if len(seen) else np.zeros(e.vector.shape[1])
        spread = np.sqrt(((seen - center) ** 2).mean()) if len(seen) else 0.0
        means.append(center)
        weights.append(np.full(e.vector.shape[1], 1 / spread if spread > 1e-9 else 0.0))
    mean = np.concatenate(means).astype(np.float32)
    weight = np.concatenate(weights).astype(np.float32)
    x = standardise(embeddings, mean, weight)[offered].astype(np.float64)
    _, size, axes = np.linalg.svd(x, full_matrices=False)
    kept = int(min(components, (size > 1e-6 * max(size[0], 1e-12)).sum()))
    if not kept:
        return None
    axes = axes[:kept]
    axes *= np.sign(axes[np.arange(kept), np.abs(axes).argmax(axis=1)])[
        :, None
    ]  # one sign, whatever the solver
    spread = size[:kept] / np.sqrt(len(offered))
    return VectorProjection(
        tuple(e.name for e in embeddings),
        tuple(e.vector.shape[1] for e in embeddings),
        mean,
        weight,
        (axes.T / spread).astype(np.float32),
    )
