"""A learnt metric on vectors of names: which differences between names matter for being bought together.

    loss = mean over products i of - sum over j of T[i, j] log softmax_j(s cosine(x[i] W, x[j] W))

x holds the sentence encoder's vector and 512 components of the n-grams; W starts as the identity; T is the
sharpened co-purchase, its rows summing to one. Half of x is hidden at random in every step. It costs about a
minute, where tuning the encoder itself (`text_tuning.py`) costs ten and gains less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from malles.errors import MissingExtra
from malles.profiles.text import unit_rows
from malles.profiles.text_folds import kept_vectors, sharpened, similarity_by_folds


@dataclass(frozen=True)
class MetricSettings:
    """How the metric is learnt; chosen on August, on held-out groups and new products."""

    folds: int = 3
    steps: int = 200
    batch: int = 1024
    """Products per step; every pair of them teaches."""
    rate: float = 1e-3
    dropout: float = 0.5
    sharpness: float = 1 / 0.07
    """Start of s; it is learnt."""
    seed: int = 1


def ngram_components(
    ngrams: Any, known: Bool[ndarray, " product"], count: int = 512, seed: int = 1
) -> Float32[ndarray, "product component"]:
    """The first components of n-gram vectors, fitted on known names alone."""
    from sklearn.decomposition import TruncatedSVD

    rows = ngrams[np.flatnonzero(known)]
    count = min(count, rows.shape[0] - 1, rows.shape[1] - 1)
    return np.asarray(TruncatedSVD(count, random_state=seed).fit(rows).transform(ngrams), np.float32)


def learnt_similarity(
    encoded: Float32[ndarray, "product width"],
    components: Float32[ndarray, "product component"],
    groups: Sequence[str],
    together: Float32[ndarray, "product product"],
    taught: Bool[ndarray, " product"],
    settings: MetricSettings | None = None,
    *,
    cache_folder: Path | None = None,
) -> Float32[ndarray, "product product"]:
    """Likeness under the learnt metric, by folds of groups.

    Args:
        encoded: centred vectors of the sentence encoder.
        components: of the n-grams.
        groups: by product code; folds are made of whole groups.
        together: how much products were bought together, from days before everything that is predicted.
        taught: products that may teach.
        settings: how it is learnt.
        cache_folder: if given, results are kept here and read again for the same content.
    """
    settings = settings or MetricSettings()
    x = np.hstack([unit_rows(encoded), components]).astype(np.float32)

    def learn(rows: ndarray, fold: int) -> Float32[ndarray, "product width"]:
        target = sharpened(together[np.ix_(rows, rows)])
        key = ("metric", settings, fold, x, rows, target)
        return kept_vectors(
            cache_folder, key, lambda: _learn(x, rows, target, settings, settings.seed * 1000 + fold)
        )

    return similarity_by_folds(learn, groups, taught, settings.folds)


def _learn(
    x: ndarray, rows: ndarray, target: ndarray, settings: MetricSettings, seed: int
) -> Float32[ndarray, "product width"]:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("learning a metric of names", "PyTorch", "text") from error
    generator = torch.Generator().manual_seed(seed)
    known, wanted = torch.from_numpy(x[rows]), torch.from_numpy(target)
    W = torch.eye(x.shape[1], requires_grad=True)
    s = torch.tensor(float(np.log(settings.sharpness)), requires_grad=True)
    optimiser = torch.optim.Adam([W, s], lr=settings.rate)
    for _ in range(settings.steps):
        batch = torch.randperm(len(rows), generator=generator)[: settings.batch]
        shown = known[batch]
        kept = (torch.rand(shown.shape, generator=generator) >= settings.dropout).float()
        z = torch.nn.functional.normalize(shown * kept / (1 - settings.dropout) @ W, dim=1)
        score = (z @ z.T * s.exp()).masked_fill(torch.eye(len(batch), dtype=torch.bool), -1e9)
        share = wanted[batch][:, batch]
        mass = share.sum(1)
        told = mass > 0
        share = share[told] / mass[told, None]
        loss = -(share * torch.log_softmax(score[told], dim=1)).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return np.asarray(x @ W.detach().numpy(), np.float32)
