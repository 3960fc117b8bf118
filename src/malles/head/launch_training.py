"""Fits the members of the launch head with PyTorch; predictions need numpy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped
from numpy import ndarray

from malles.errors import MissingExtra
from malles.head.launch import LaunchSettings, masked_softmax, member_utility, relative_features
from malles.vocabulary import ChoiceData

if TYPE_CHECKING:
    import torch

_MIXING = 1e-4


def fit_members(
    settings: LaunchSettings,
    data: ChoiceData,
    products: Bool[ndarray, "occasion alternative"],
    group: Shaped[ndarray, " occasion"],
    use: Int64[ndarray, " used"],
) -> tuple[list[dict[str, ndarray]], Float32[ndarray, " feature"], float, tuple[tuple[float, ...], ...]]:
    """Fit every member on its groups.

    Returns:
        Weights of the members, scale of the features, temperature, and log-loss on unseen groups by
        member and epoch.
    """
    rng = np.random.default_rng(settings.seed)
    scale = slate_spread(data, products, np.sort(rng.permutation(use)[:20_000]))
    names = np.unique(group[use])
    parts = min(max(settings.members, 2), len(names))
    part = dict(zip(names.tolist(), (rng.permutation(len(names)) % parts).tolist(), strict=True))
    part_of = np.array([part[g] for g in group[use].tolist()])
    weights: list[dict[str, ndarray]] = []
    history: list[tuple[float, ...]] = []
    kept: list[tuple[ndarray, ndarray]] = []
    for member in range(settings.members):
        inside, unseen = use[part_of != member % parts], use[part_of == member % parts]
        inside = rng.permutation(inside)[: settings.occasions]
        unseen = np.sort(rng.permutation(unseen)[: max(settings.occasions // 8, 1)])
        seed = int(rng.integers(2**31))
        weight, losses = _fit_member(settings, data, products, inside, unseen, scale, seed)
        weights.append(weight)
        history.append(losses)
        kept.append((unseen, _utility(weight, data, products, unseen, scale)))
    rows = np.concatenate([rows for rows, _ in kept])
    utility = np.concatenate([u for _, u in kept])
    temperature = fit_temperature(utility, products[rows], data.occasions.chosen[rows].astype(np.int64))
    return weights, scale, temperature, tuple(history)


def slate_spread(
    data: ChoiceData, products: Bool[ndarray, "occasion alternative"], rows: Int64[ndarray, " row"]
) -> Float32[ndarray, " feature"]:
    """Root mean square distance of each feature from its slate's mean."""
    mask = products[rows][:, :, None]
    x = np.where(mask, data.features[rows], np.float32(0))
    number = np.maximum(mask.sum(1, keepdims=True), 1)
    centred = np.where(mask, x - x.sum(1, keepdims=True) / number, 0)
    return np.asarray(np.sqrt((centred.astype(np.float64) ** 2).sum((0, 1)) / mask.sum()) + 1e-3, np.float32)


def fit_temperature(
    utility: Float32[ndarray, "occasion alternative"],
    products: Bool[ndarray, "occasion alternative"],
    chosen: Int64[ndarray, " occasion"],
) -> float:
    """The divisor of utilities in [0.5, 4] with the least log-loss, by golden section (the loss is
    unimodal in it).
    """
    low, high = np.log(0.5), np.log(4.0)
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(25):
        a, b = high - golden * (high - low), low + golden * (high - low)
        if _log_loss(utility / np.exp(a), products, chosen) < _log_loss(
            utility / np.exp(b), products, chosen
        ):
            high = b
        else:
            low = a
    return float(np.exp((low + high) / 2))


def _log_loss(
    utility: Shaped[ndarray, "occasion alternative"],
    products: Bool[ndarray, "occasion alternative"],
    chosen: Int64[ndarray, " occasion"],
) -> float:
    share = masked_softmax(utility, products)[np.arange(len(chosen)), chosen].astype(np.float64)
    return float(-np.log((1 - _MIXING) * share + _MIXING / np.maximum(products.sum(1), 1)).mean())


def _utility(
    weight: dict[str, ndarray],
    data: ChoiceData,
    products: Bool[ndarray, "occasion alternative"],
    rows: Int64[ndarray, " row"],
    scale: Float32[ndarray, " feature"],
) -> Float32[ndarray, "row alternative"]:
    out = [
        member_utility(weight, relative_features(data.features[r], products[r], scale), products[r])
        for r in np.array_split(rows, len(rows) // 2048 + 1)
    ]
    return np.concatenate(out)


def _fit_member(
    settings: LaunchSettings,
    data: ChoiceData,
    products: Bool[ndarray, "occasion alternative"],
    inside: Int64[ndarray, " row"],
    unseen: Int64[ndarray, " unseen"],
    scale: Float32[ndarray, " feature"],
    seed: int,
) -> tuple[dict[str, ndarray], tuple[float, ...]]:
    """One network, as it stood after the epoch that was best on the unseen groups."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("fitting the launch head", "PyTorch", "torch") from error
    F, h = data.features.shape[2], settings.hidden
    generator = torch.Generator().manual_seed(seed)
    w = network_start(2 * F, h, generator)
    chosen = data.occasions.chosen.astype(np.int64)
    category = data.occasions.category
    count = np.bincount(category[inside], minlength=int(category.max()) + 1)
    emphasis = np.maximum(count[category], 1).astype(np.float64) ** -settings.balance
    emphasis = (emphasis / emphasis[inside].mean()).astype(np.float32)
    optimiser = torch.optim.AdamW(list(w.values()), lr=settings.rate, weight_decay=settings.weight_decay)
    batches = max(len(inside) // settings.batch, 1)
    total, at = settings.epochs * batches, 0
    rng = np.random.default_rng(seed)
    losses: list[float] = []
    best: dict[str, ndarray] = {}
    for _ in range(settings.epochs):
        order = rng.permutation(inside)
        for b in range(batches):
            rows = order[b * settings.batch : (b + 1) * settings.batch]
            z = torch.from_numpy(relative_features(data.features[rows], products[rows], scale))
            present = torch.from_numpy(products[rows])
            z = z * _kept((len(rows), 1, F), settings.feature_dropout, generator).repeat(1, 1, 2)
            utility = network_utility(w, z, present, settings.dropout, generator)
            loss = torch.nn.functional.cross_entropy(
                utility, torch.from_numpy(chosen[rows]), reduction="none"
            )
            rate = settings.rate * 0.5 * (1 + np.cos(np.pi * at / total))  # cosine decay to zero
            for part in optimiser.param_groups:
                part["lr"] = rate
            optimiser.zero_grad()
            (loss * torch.from_numpy(emphasis[rows])).mean().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            at += 1
        plain = {k: v.detach().numpy().copy() for k, v in w.items()}
        losses.append(
            _log_loss(_utility(plain, data, products, unseen, scale), products[unseen], chosen[unseen])
        )
        if losses[-1] == min(losses):
            best = plain
    return best, tuple(losses)


def network_start(width: int, hidden: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    import torch

    def uniform(*shape: int) -> torch.Tensor:
        bound = shape[0] ** -0.5
        start: torch.Tensor = (torch.rand(*shape, generator=generator) * 2 - 1) * bound
        return start.requires_grad_()

    w = {"skip": torch.zeros(width, requires_grad=True)}
    if hidden:
        w |= {"first": uniform(width, hidden), "first_bias": torch.zeros(hidden, requires_grad=True)}
        w |= {"attention": uniform(hidden)}
        w |= {"second": uniform(3 * hidden, hidden), "second_bias": torch.zeros(hidden, requires_grad=True)}
        w |= {"last": uniform(hidden)}
    return w


def _kept(shape: tuple[int, ...], drop: float, generator: torch.Generator) -> torch.Tensor:
    """A dropout mask: 0 with chance `drop`, else 1 / (1 - drop)."""
    import torch

    kept: torch.Tensor = (torch.rand(shape, generator=generator) >= drop).float() / (1 - drop)
    return kept


def network_utility(
    w: dict[str, torch.Tensor],
    z: torch.Tensor,
    present: torch.Tensor,
    drop: float,
    generator: torch.Generator,
) -> Any:
    """`member_utility` in PyTorch with dropout; absent columns get -1e9."""
    import torch

    utility = z @ w["skip"]
    if "first" in w:
        u = torch.relu(z @ w["first"] + w["first_bias"])
        u = u * _kept(tuple(u.shape), drop, generator)
        mask = present.unsqueeze(-1).float()
        mean = (u * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
        score = (u @ w["attention"]).masked_fill(~present, -1e9)
        weighted = (torch.softmax(score, 1).unsqueeze(-1) * u).sum(1, keepdim=True)
        h = u.shape[2]
        pooled = mean @ w["second"][h : 2 * h] + weighted @ w["second"][2 * h :] + w["second_bias"]
        v = torch.relu(u @ w["second"][:h] + pooled)
        utility = utility + (v * _kept(tuple(v.shape), drop, generator)) @ w["last"]
    return utility.masked_fill(~present, -1e9)
