"""Fits one member of the similarity head with PyTorch; predictions need numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from malles.head.launch_training import network_start, network_utility
from malles.head.similarity import FittedSimilarityHead, SimilarityData, SimilaritySettings, inputs


def fit_member(
    settings: SimilaritySettings,
    train: SimilarityData,
    valid: Sequence[SimilarityData],
    scale: Float32[ndarray, " feature"],
    seed: int,
) -> tuple[dict[str, ndarray], tuple[float, ...]]:
    """Weights as they stood after the epoch that was best on the parts of `valid`, and all epochs' losses."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = settings.hidden > 0
    width = inputs(train.features[:1], train.cold[:1], scale, network=network).shape[2]
    w = network_start(width, settings.hidden, generator)
    optimiser = torch.optim.AdamW(list(w.values()), lr=settings.rate, weight_decay=settings.weight_decay)
    batches = -(-len(train) // settings.batch)
    present = torch.ones((settings.batch, train.features.shape[1]), dtype=torch.bool)
    best: dict[str, ndarray] = {}
    losses: list[float] = []
    for epoch in range(settings.epochs):
        order = rng.permutation(len(train))
        for b in range(batches):
            rows = order[b * settings.batch : (b + 1) * settings.batch]
            progress = (epoch + b / batches) / settings.epochs
            for part in optimiser.param_groups:
                part["lr"] = settings.rate * 0.5 * (1 + np.cos(np.pi * progress))
            z = torch.from_numpy(inputs(train.features[rows], train.cold[rows], scale, network=network))
            utility = network_utility(w, z, present[: len(rows)], settings.dropout, generator)
            loss = torch.nn.functional.cross_entropy(
                utility, torch.from_numpy(train.chosen[rows].astype(np.int64))
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        plain = {k: v.detach().numpy().copy() for k, v in w.items()}
        head = FittedSimilarityHead.of(settings, scale, plain)
        losses.append(float(np.mean([head.loss(part) for part in valid])))
        if losses[-1] == min(losses):
            best = plain
    return best, tuple(losses)
