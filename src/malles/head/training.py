"""Fitting of the set network: AdamW, cosine rate, averaged weights; deterministic by seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from malles.head import network
from malles.vocabulary import ChoiceData

if TYPE_CHECKING:
    from malles.head.model import FittedHead, HeadSettings


def train_parameters(
    settings: HeadSettings,
    start: FittedHead,
    train: ChoiceData,
    usable: Bool[ndarray, " occasion"],
    progress: Callable[[int, int, float], None] | None,
) -> network.Parameters:
    """The averaged weights after `settings.epochs` passes over the usable occasions."""
    import torch

    from malles.head.model import offered

    rng = np.random.default_rng([settings.seed, 1])
    generator = torch.Generator().manual_seed(settings.seed)
    weights = {k: torch.tensor(v, requires_grad=True) for k, v in start.parameters.items()}
    average = {k: v.detach().clone() for k, v in weights.items()}
    optimizer = torch.optim.AdamW(_groups(weights, settings), lr=settings.rate, betas=(0.9, 0.98), fused=True)
    rows = np.flatnonzero(usable)
    category = start.category_rows(train)
    age = train.occasions.week[rows].max() - train.occasions.week
    weight = np.ones(len(train), np.float32)
    if settings.half_life > 0:
        weight = (2.0 ** (-age / settings.half_life)).astype(np.float32)
        weight /= weight[rows].mean()
    open_ = offered(train)
    columns = np.flatnonzero(open_[rows].any(axis=0))
    lo, hi = int(columns[0]), int(columns[-1]) + 1
    per_epoch = math.ceil(len(rows) / settings.batch)
    steps = settings.epochs * per_epoch
    step = 0

    def keep(width: int, occasions: int) -> Any:
        draw = torch.rand(occasions, width, generator=generator)
        return (draw >= settings.dropout).to(torch.float32) / (1 - settings.dropout)

    for _ in range(settings.epochs):
        order = rng.permutation(rows)
        for a in range(0, len(order), settings.batch):
            batch = order[a : a + settings.batch]
            mask = open_[batch, lo:hi]
            z, c = start.inputs(train.features[batch, lo:hi], train.context[batch], mask)
            available = torch.from_numpy(mask)
            utility = network.torch_utilities(
                weights,
                torch.from_numpy(z),
                torch.from_numpy(c),
                torch.from_numpy(category[batch]).long(),
                available,
                keep if settings.dropout > 0 else None,
            )
            target = torch.from_numpy(train.occasions.chosen[batch].astype(np.int64) - lo)
            losses = torch.nn.functional.cross_entropy(
                utility.masked_fill(~available, -1e9), target, reduction="none"
            )
            loss = (losses * torch.from_numpy(weight[batch])).mean()
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * _rate(step, steps)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
            optimizer.step()
            part = max(1 - settings.averaging, 1 / (1 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(average.values()), [w.detach() for w in weights.values()], part)
            step += 1
            if progress is not None and (step % max(steps // 100, 1) == 0 or step == steps):
                progress(step, steps, float(loss.detach()))
    found = {k: v.numpy().copy() for k, v in average.items()}
    found["category"][-1] = 0
    return found


def _groups(weights: dict[str, Any], settings: HeadSettings) -> list[dict[str, Any]]:
    """Matrices decay, category vectors decay more, biases and the linear skip do not."""
    matrices = [v for k, v in weights.items() if v.ndim == 2 and k != "category"]
    free = [v for v in weights.values() if v.ndim == 1]
    return [
        {"params": matrices, "weight_decay": settings.decay},
        {"params": [weights["category"]], "weight_decay": settings.embedding_decay},
        {"params": free, "weight_decay": 0.0},
    ]


def _rate(step: int, steps: int) -> float:
    """Rises over the first 2 % of the steps, then a half cosine down to zero."""
    rise = max(steps // 50, 1)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))
