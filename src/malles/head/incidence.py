"""Incidence: does this trip buy in this category, and if so how many units, how many products, on the shelf
or off it?

    P(buy)       = 1 / (1 + exp(-V)),  V = w'x + g(x, e[category])
    E[units|buy] = 1 + exp(w_u'x + g_u),  E[products|buy] = 1 + exp(w_d'x + g_d),  P(other|buy) = 1 / (1 +
    exp(-V_o))

x are the features of `malles.profiles.incidence`, g a small network, e an embedding of the category. It is
fitted on all purchases and a sample of the cells without one; the sample's rate enters as an offset, so that
probabilities stay true.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray

from malles.errors import ModelError

FORMAT = "malles-incidence-1"
OUTPUTS = ("buy", "units", "products", "other")


@dataclass(frozen=True)
class IncidenceData:
    """Trips x categories cells to fit on: every purchase, and a known part of the cells without one."""

    features: Float32[ndarray, "cell feature"]
    category: Int[ndarray, " cell"]
    units: Float[ndarray, " cell"]
    """Units of all products of the category; 0 = nothing bought."""
    products: Float[ndarray, " cell"]
    """Distinct products bought; 0 = nothing bought."""
    other: Float[ndarray, " cell"]
    """Share of the distinct products bought that stood outside the slate, [0, 1]; NaN = unknown or nothing
    bought.
    """
    rate: float
    """Part of the cells without a purchase that was kept, (0, 1]."""

    def __len__(self) -> int:
        return len(self.category)

    @property
    def bought(self) -> Bool[ndarray, " cell"]:
        """Whether the category was bought."""
        return self.units > 0


@dataclass(frozen=True)
class IncidenceAnswer:
    """What the model says of trips x categories cells."""

    buy: Float32[ndarray, " cell"]
    """Probability that the trip buys in the category."""
    units: Float32[ndarray, " cell"]
    """Expected units of the category if it is bought, >= 1."""
    products: Float32[ndarray, " cell"]
    """Expected distinct products if it is bought, >= 1."""
    other: Float32[ndarray, " cell"]
    """Probability that a product bought stands outside the slate."""


@dataclass(frozen=True)
class IncidenceModel:
    """Settings of the incidence model; `fit` gives a `FittedIncidence`."""

    hidden: tuple[int, int] = (128, 64)
    embedding: int = 8
    members: int = 2
    """Networks averaged on the utility scale."""
    epochs: int = 5
    batch: int = 4096
    learning_rate: float = 4e-3
    weight_decay: float = 1e-5

    def fit(self, data: IncidenceData, n_categories: int, *, seed: int, threads: int = 1) -> FittedIncidence:
        """Fit by stochastic gradient descent with a one-cycle learning rate (PyTorch, on the processor).

        Args:
            data: cells; at least one purchase and one cell without.
            n_categories: number of choice categories.
            seed: of the initial weights and the order of the cells.
            threads: processor threads.
        """
        import torch

        from malles.head.incidence_training import train

        bought = data.bought
        if not bought.any() or bought.all():
            raise ModelError(
                f"the incidence model needs cells with and without a purchase, got "
                f"{int(bought.sum())} purchases in "
                f"{len(data)} cells; give it all cells of some trips"
            )
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            weights = train(self, data, n_categories, seed)
        finally:
            torch.set_num_threads(before)
        return FittedIncidence(weights)


@dataclass(frozen=True)
class FittedIncidence:
    """A fitted incidence model; predicts with numpy alone."""

    weights: dict[str, ndarray]
    """shift, scale [feature]; per network ("buy0", "buy1", ..., "given"): embedding, w1, b1, w2, b2, w3, b3,
    skip.
    """
    name: str = "incidence"

    def predict(
        self, features: Float32[ndarray, "cell feature"], category: Int[ndarray, " cell"]
    ) -> IncidenceAnswer:
        """Probability of a purchase, and units, products and the part outside the slate given one."""
        n = len(category)
        out = np.empty((4, n), np.float32)
        for a in range(0, n, 32768):
            rows = slice(a, a + 32768)
            x = self._standard(features[rows])
            out[0, rows] = self._score(x, category[rows])
            out[1:, rows] = self._network("given", x, category[rows]).T
        np.clip(out, -30.0, 30.0, out=out)
        return IncidenceAnswer(
            1 / (1 + np.exp(-out[0])), 1 + np.exp(np.minimum(out[1], 4.0)),
            1 + np.exp(np.minimum(out[2], 3.0)),
            1 / (1 + np.exp(-out[3])),
        )  # fmt: skip

    def probability(
        self, features: Float32[ndarray, "cell feature"], category: Int[ndarray, " cell"]
    ) -> Float32[ndarray, " cell"]:
        """Probability of a purchase alone."""
        parts = [
            self._score(self._standard(features[a : a + 32768]), category[a : a + 32768])
            for a in range(0, len(category), 32768)
        ]
        score = np.clip(np.concatenate(parts), -30, 30) if parts else np.zeros(0, np.float32)
        return np.asarray(1 / (1 + np.exp(-score)), np.float32)

    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and a manifest (JSON) to a new folder."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=False)
        save_file(
            {k: np.ascontiguousarray(v) for k, v in self.weights.items()}, folder / "incidence.safetensors"
        )
        (folder / "incidence.json").write_text(json.dumps({"format": FORMAT, "name": self.name}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`."""
        from safetensors.numpy import load_file

        try:
            manifest = json.loads((folder / "incidence.json").read_text())
        except (OSError, ValueError) as error:
            raise ModelError(f"{folder} holds no readable incidence model ({error}); fit it again") from error
        if manifest.get("format") != FORMAT:
            raise ModelError(
                f"{folder} holds format {manifest.get('format')!r}, this version reads {FORMAT!r}; "
                "fit the model again"
            )
        return cls(load_file(folder / "incidence.safetensors"), manifest["name"])

    def _standard(self, features: ndarray) -> ndarray:
        if features.shape[1] != len(self.weights["shift"]):
            raise ModelError(
                f"the incidence model was fitted on {len(self.weights['shift'])} features, "
                f"got {features.shape[1]}; "
                "build them with malles.profiles.incidence or fit again"
            )
        return np.asarray(np.clip((features - self.weights["shift"]) * self.weights["scale"], -6.0, 6.0))

    def _score(self, x: ndarray, category: ndarray) -> ndarray:
        names = sorted({k.partition(".")[0] for k in self.weights if k.startswith("buy")})
        return np.asarray(np.mean([self._network(name, x, category)[:, 0] for name in names], axis=0))

    def _network(self, which: str, x: ndarray, category: ndarray) -> ndarray:
        w = {k.partition(".")[2]: v for k, v in self.weights.items() if k.startswith(which + ".")}
        width = x.shape[1]
        # the embedding's part of the first layer is a table by category: no concatenation, fewer products
        by_category = w["embedding"] @ w["w1"][width:] + w["b1"]
        h = x @ w["w1"][:width]
        h += by_category[category]
        np.maximum(h, 0, out=h)
        h = h @ w["w2"]
        h += w["b2"]
        np.maximum(h, 0, out=h)
        return np.asarray(h @ w["w3"] + x @ w["skip"] + w["b3"])
