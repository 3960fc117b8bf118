"""Teaches the sentence encoder which names are bought together.

    loss = mean over i of a batch of  - sum over j of T[i, j] log softmax_j(cosine(e[i], e[j]) / 0.07)

T is the sharpened co-purchase of i within the batch, its rows summing to one. Folds of groups keep it honest
(`text_folds.py`). It gains less than the metric of `text_metric.py`, at ten times the cost, and is off unless
asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from malles.profiles.text_encoder import WEIGHTS, centred, encode_with, load_encoder, pooled, tokenise
from malles.profiles.text_folds import kept_vectors, sharpened, similarity_by_folds

TEMPERATURE = 0.07

COMPANIONS = 10
"""A product is shown with some of so many products that it is most bought with."""


@dataclass(frozen=True)
class TuningSettings:
    """How the encoder is tuned."""

    folds: int = 3
    steps: int = 120
    batch: int = 256
    """Products per step: a quarter drawn, three companions of each; every pair of them teaches."""
    rate: float = 3e-5
    word_dropout: float = 0.1
    """Chance that a word of a name is left out, so that no single word carries a product."""
    seed: int = 1


def tuned_similarity(
    names: Sequence[str],
    groups: Sequence[str],
    together: Float32[ndarray, "product product"],
    taught: Bool[ndarray, " product"],
    settings: TuningSettings | None = None,
    *,
    cache_folder: Path | None = None,
) -> Float32[ndarray, "product product"]:
    """Likeness by the tuned encoder, by folds of groups.

    Args:
        names: by product code.
        groups: by product code; folds are made of whole groups.
        together: how much products were bought together, from days before everything that is predicted.
        taught: products that may teach.
        settings: how the encoder is tuned.
        cache_folder: if given, the vectors are kept here and read again for the same names and teaching.
    """
    settings = settings or TuningSettings()

    def learn(rows: ndarray, fold: int) -> Float32[ndarray, "product width"]:
        target = sharpened(together[np.ix_(rows, rows)])
        key = ("tuned", WEIGHTS, settings, fold, tuple(names), rows, target)
        seed = settings.seed * 1000 + fold
        return centred(
            kept_vectors(cache_folder, key, lambda: _tune(names, target, rows, settings, seed)), taught
        )

    return similarity_by_folds(learn, groups, taught, settings.folds)


def _tune(
    names: Sequence[str], together: ndarray, rows: ndarray, settings: TuningSettings, seed: int
) -> Float32[ndarray, "product width"]:
    import torch

    tokenizer, network = load_encoder()
    network = copy.deepcopy(network)
    for weight in network.embeddings.parameters():
        weight.requires_grad_(requires_grad=False)  # half of all weights; a word stays what it was
    weights = [w for w in network.parameters() if w.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.rate, weight_decay=0.01)
    rng = np.random.default_rng(seed)
    companions = np.argsort(-together, axis=1)[:, :COMPANIONS]
    with torch.random.fork_rng(devices=[]):  # dropout of the network has no generator of its own
        torch.manual_seed(seed)
        network.train()
        for step in range(settings.steps):
            drawn = rng.permutation(len(rows))[: settings.batch // 4]
            beside = companions[np.repeat(drawn, 3), rng.integers(companions.shape[1], size=3 * len(drawn))]
            batch = np.unique(np.concatenate([drawn, beside]))
            target = together[np.ix_(batch, batch)].astype(np.float32)
            mass = target.sum(axis=1)
            said = [_thinned(names[rows[i]], settings.word_dropout, rng) for i in batch]
            rate = settings.rate * min((step + 1) / 20, 1 - step / settings.steps)
            for part in optimiser.param_groups:
                part["lr"] = rate
            loss = _loss(network, tokenise(tokenizer, said), torch.from_numpy(target), torch.from_numpy(mass))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
    network.eval()
    return encode_with(names, network=network)


def _loss(network: Any, tokens: dict[str, Any], target: Any, mass: Any) -> Any:
    import torch

    vectors = torch.nn.functional.normalize(pooled(network, tokens), dim=1)
    score = vectors @ vectors.T / TEMPERATURE
    score = score.masked_fill(torch.eye(len(score), dtype=torch.bool), -1e9)
    told = mass > 0
    share = target[told] / mass[told, None]
    return -(share * torch.log_softmax(score[told], dim=1)).sum(dim=1).mean()


def _thinned(name: str, drop: float, rng: np.random.Generator) -> str:
    """A name without some of its words, but never without all."""
    words = name.split()
    kept = [w for w, r in zip(words, rng.random(len(words)), strict=True) if r >= drop]
    return " ".join(kept or words)
