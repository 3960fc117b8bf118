"""Training of the incidence networks with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor, nn

if TYPE_CHECKING:
    from malles.head.incidence import IncidenceData, IncidenceModel


class _Network(nn.Module):
    """Skip connection plus two hidden layers over features and an embedding of the category."""

    def __init__(
        self, n_features: int, n_categories: int, embedding: int, hidden: tuple[int, int], n_out: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_categories, embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.one = nn.Linear(n_features + embedding, hidden[0])
        self.two = nn.Linear(hidden[0], hidden[1])
        self.three = nn.Linear(hidden[1], n_out)
        self.skip = nn.Linear(n_features, n_out, bias=False)
        nn.init.zeros_(self.three.weight)
        nn.init.zeros_(self.skip.weight)

    def forward(self, x: Tensor, category: Tensor) -> Tensor:
        h = torch.relu(self.one(torch.cat([x, self.embedding(category)], 1)))
        result: Tensor = self.three(torch.relu(self.two(h))) + self.skip(x)
        return result


def train(model: IncidenceModel, data: IncidenceData, n_categories: int, seed: int) -> dict[str, ndarray]:
    """Fit both networks; the weights by name."""
    shift = data.features.mean(0, dtype=np.float64).astype(np.float32)
    scale = (1.0 / np.maximum(data.features.std(0, dtype=np.float64), 1e-3)).astype(np.float32)
    weights = {"shift": shift, "scale": scale}

    def standard(rows: ndarray) -> Tensor:
        return torch.from_numpy(np.clip((data.features[rows] - shift) * scale, -6.0, 6.0))

    bought = data.bought
    category = torch.from_numpy(data.category.astype(np.int64))
    target = torch.from_numpy(bought.astype(np.float32))
    offset = -float(np.log(data.rate))  # the sample's odds are the true odds / rate

    def buy_loss(out: Tensor, rows: ndarray) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(out[:, 0] + offset, target[rows])

    everything = np.arange(len(data))
    start = float(np.log(max(bought.sum(), 1) * data.rate / max((~bought).sum(), 1)))
    for i in range(model.members):
        bias, name = np.array([start]), f"buy{i}"
        weights |= _fit(model, name, everything, standard, category, buy_loss, bias, n_categories, seed + i)

    rows = np.flatnonzero(bought)
    units = torch.from_numpy((np.minimum(data.units, 20) - 1).astype(np.float32))
    products = torch.from_numpy((np.minimum(data.products, 10) - 1).astype(np.float32))
    other = torch.from_numpy(data.other.astype(np.float32))

    def given_loss(out: Tensor, r: ndarray) -> Tensor:
        known = ~torch.isnan(other[r])
        poisson = nn.functional.poisson_nll_loss
        loss = poisson(out[:, 0].clamp(max=4), units[r]) + poisson(out[:, 1].clamp(max=3), products[r])
        bce = nn.functional.binary_cross_entropy_with_logits
        return loss + bce(out[known, 2], other[r][known], reduction="sum") / len(r)

    means = [float(units[rows].mean()), float(products[rows].mean())]
    off = data.other[rows]
    share = float(np.clip(np.nanmean(off), 0.01, 0.99)) if np.isfinite(off).any() else 0.5
    bias = np.array([np.log(max(means[0], 0.01)), np.log(max(means[1], 0.01)), np.log(share / (1 - share))])
    return weights | _fit(model, "given", rows, standard, category, given_loss, bias, n_categories, seed)


def _fit(
    model: IncidenceModel,
    which: str,
    rows: ndarray,
    standard: Callable[[ndarray], Tensor],
    category: Tensor,
    loss_of: Callable[[Tensor, ndarray], Tensor],
    bias: ndarray,
    n_categories: int,
    seed: int,
) -> dict[str, ndarray]:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _Network(standard(rows[:1]).shape[1], n_categories, model.embedding, model.hidden, len(bias))
    with torch.no_grad():
        net.three.bias.copy_(torch.from_numpy(bias))
    optimiser = torch.optim.AdamW(net.parameters(), lr=model.learning_rate, weight_decay=model.weight_decay)
    steps = model.epochs * -(-len(rows) // model.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=model.learning_rate, total_steps=steps + 1, pct_start=0.2, anneal_strategy="linear"
    )
    for _ in range(model.epochs):
        order = rows[torch.randperm(len(rows), generator=generator).numpy()]
        for a in range(0, len(order), model.batch):
            batch = order[a : a + model.batch]
            optimiser.zero_grad()
            loss = loss_of(net(standard(batch), category[batch]), batch)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    state = {k: v.detach().numpy().copy() for k, v in net.state_dict().items()}
    return {
        f"{which}.embedding": state["embedding.weight"],
        f"{which}.w1": state["one.weight"].T.copy(), f"{which}.b1": state["one.bias"],
        f"{which}.w2": state["two.weight"].T.copy(), f"{which}.b2": state["two.bias"],
        f"{which}.w3": state["three.weight"].T.copy(), f"{which}.b3": state["three.bias"],
        f"{which}.skip": state["skip.weight"].T.copy(),
    }  # fmt: skip
