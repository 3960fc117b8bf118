"""A choice scale per customer: how sharply each follows its utilities, shrunk to its segment.

    P[n, j] ∝ exp(s[customer n] · V[n, j]),    log s ~ Normal(m[segment], t²)

A customer with s above one is more predictable than the average ("more rational"), with s near zero it picks
at random. The scales are empirical-Bayes estimates: the spread t² between customers is estimated, a customer
with few occasions stays near its segment, and one never seen has s = exp(m) of the last segment.

Source: Swait & Louviere (1993) for the scale; Efron & Morris (1975) for the shrinkage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, cast

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from numpy import ndarray

from malles.choice.model import ChoiceModel
from malles.errors import ModelError
from malles.vocabulary import ChoiceData

VERSION = 1
LARGEST = 1.5
"""|log s| stays below this: a factor of 4.5 either way."""


@dataclass(frozen=True)
class Scaled:
    """A choice model whose log-probabilities are multiplied by a scale per customer."""

    model: ChoiceModel
    log_scale: Float64[ndarray, " customer"] = field(repr=False)
    """By dense customer code."""
    unknown: float
    """Log scale of customers without a code."""
    segment_mean: Float64[ndarray, " segment"]
    spread: float
    """Standard deviation t of log scales between customers of a segment."""
    name: str = "scaled"

    def predict(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities ∝ p^s; unavailable columns are exactly 0."""
        return sharpen(self.model.predict(data), self.scale(data))

    def scale(self, data: ChoiceData) -> Float[ndarray, " occasion"]:
        """S of the customer of each occasion."""
        customer = data.occasions.customer
        known = (customer >= 0) & (customer < len(self.log_scale))
        found = (
            self.log_scale[np.where(known, customer, 0)] if len(self.log_scale) else np.zeros(len(customer))
        )
        scale: ndarray = np.exp(np.where(known, found, self.unknown))
        return scale

    def save(self, folder: Path) -> None:
        """Write the scales to a new folder, the model inside it to `model/`."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=False)
        self.model.save(folder / "model")
        save_file(
            {"log_scale": self.log_scale, "segment_mean": self.segment_mean}, folder / "scales.safetensors"
        )
        about = {"kind": "scaled", "version": VERSION, "unknown": self.unknown, "spread": self.spread}
        (folder / "scaled.json").write_text(json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a scaled head written by `save`."""
        from safetensors.numpy import load_file

        from malles.head.model import FittedHead

        try:
            about = json.loads((folder / "scaled.json").read_text())
            arrays = load_file(folder / "scales.safetensors")
        except Exception as error:
            raise ModelError(
                f"{folder} is not a readable scaled model ({error}); it needs scaled.json "
                "and scales.safetensors."
            ) from error
        if about.get("kind") != "scaled" or about.get("version") != VERSION:
            raise ModelError(
                f"{folder} holds a model of kind {about.get('kind')!r}, version {about.get('version')!r}; "
                f"this malles reads 'scaled' version {VERSION}. Fit the model again."
            )
        return cls(
            model=cast(ChoiceModel, FittedHead.load(folder / "model")),
            log_scale=arrays["log_scale"],
            unknown=float(about["unknown"]),
            segment_mean=arrays["segment_mean"],
            spread=float(about["spread"]),
        )


def sharpen(
    probability: Float[ndarray, "occasion alternative"], scale: Float[ndarray, " occasion"]
) -> Float[ndarray, "occasion alternative"]:
    """p^s, normalised.

    >>> sharpen(np.array([[0.2, 0.8]]), np.array([2.0])).round(4)
    array([[0.0588, 0.9412]])
    """
    open_ = probability > 0
    log = np.where(open_, np.log(np.where(open_, probability, 1)) * scale[:, None], -np.inf)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    sharp: ndarray = weight / weight.sum(axis=1, keepdims=True)
    return sharp


def fit_scales(
    model: ChoiceModel,
    data: ChoiceData,
    segment: Int[ndarray, " customer"],
    *,
    steps: int = 25,
) -> Scaled:
    """Estimate the scales from occasions the model was not fitted on, or was regularised well on.

    Newton steps on the posterior of log s for all customers at once, then the segment means and the spread by
    the Laplace approximation (EM), repeated.

    Args:
        model: fitted, its probabilities in proportion to exp(V).
        data: occasions with known choices.
        segment: by dense customer code.
        steps: rounds of Newton and EM.
    """
    chosen = data.occasions.chosen
    P = model.predict(data)
    rows = np.flatnonzero((chosen >= 0) & (P[np.arange(len(data)), np.maximum(chosen, 0)] > 0))
    P, chosen, customer = P[rows], chosen[rows], data.occasions.customer[rows]
    known = (customer >= 0) & (customer < len(segment))
    P, chosen, customer = P[known], chosen[known], customer[known]
    n = len(segment)
    segments = int(segment.max(initial=0)) + 1
    eta = np.zeros(n)
    mean, variance = np.zeros(segments), 0.05
    seen: Bool[ndarray, " customer"] = np.bincount(customer, minlength=n) > 0
    log = np.where(P > 0, np.log(np.where(P > 0, P, 1)), 0.0)
    own = log[np.arange(len(log)), chosen]
    for _ in range(steps):
        scale = np.exp(eta[customer])
        Q = sharpen(P, scale)
        first = (Q * log).sum(axis=1)
        spread_of_v = (Q * log**2).sum(axis=1) - first**2
        gradient = np.bincount(customer, scale * (own - first), n)
        information = np.bincount(customer, scale**2 * spread_of_v, n)
        step = (gradient - (eta - mean[segment]) / variance) / (information + 1 / variance)
        eta = np.clip(eta + np.clip(step, -0.5, 0.5), -LARGEST, LARGEST)
        posterior = 1 / (information + 1 / variance)
        for s in range(segments):
            members = seen & (segment == s)
            if members.any():
                mean[s] = eta[members].mean()
        if seen.any():
            variance = float(np.mean((eta - mean[segment])[seen] ** 2 + posterior[seen]))
            variance = min(max(variance, 1e-5), 1.0)
    return Scaled(
        model=model,
        log_scale=np.where(seen, eta, mean[segment]),
        unknown=float(mean[-1]),
        segment_mean=mean,
        spread=float(np.sqrt(variance)),
    )
