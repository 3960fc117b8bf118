"""The set network of `head`: utilities of alternatives that know of each other, in numpy and in torch.

    z        standardised features of an alternative, with gaps to the best other alternative
    c        standardised context of the occasion, and a learned vector of its category
    V[j]     = (w + c B) · z[j]  +  v · h[j]                      linear skip, then the network
    h⁰[j]    = relu(z[j] A + mean(z) M + c C + a)
    hᵇ⁺¹[j]  = hᵇ[j] + relu(hᵇ[j] U + [pool(hᵇ), mean(hᵇ)] P + u),   pool weights = softmax(hᵇ · q)

Renaming or reordering the alternatives reorders V and changes nothing else. Prediction needs numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numpy import ndarray

if TYPE_CHECKING:
    import torch

Parameters = dict[str, ndarray]

BLOCKS = 2
CLIP = 6.0
"""Standardised inputs are clipped here; about 0.1 % of the values of heavy-tailed columns are."""


def draw_parameters(
    features: int, context: int, categories: int, width: int, embedding: int, rng: np.random.Generator
) -> Parameters:
    """Starting values: He-scaled normal draws, zero for the skip, the read-out and the biases."""

    def normal(rows: int, columns: int, scale: float = 1.0) -> ndarray:
        draw: ndarray = rng.standard_normal((rows, columns)) * scale * np.sqrt(2.0 / rows)
        return draw.astype(np.float32)

    total = context + embedding
    parameters = {
        "category": (rng.standard_normal((categories + 1, embedding)) * 0.1).astype(np.float32),
        "skip": np.zeros(features, np.float32),
        "skip_context": np.zeros((total, features), np.float32),
        "encode": normal(features, width),
        "encode_mean": normal(features, width, 0.5),
        "encode_context": normal(total, width, 0.5),
        "encode_bias": np.zeros(width, np.float32),
        "read": np.zeros(width, np.float32),
    }
    for block in range(BLOCKS):
        parameters |= {
            f"mix{block}": normal(width, width, 0.5),
            f"mix_pool{block}": normal(2 * width, width, 0.5),
            f"mix_bias{block}": np.zeros(width, np.float32),
            f"query{block}": np.zeros(width, np.float32),
        }
    return parameters


def utilities(
    p: Parameters,
    z: Float32[ndarray, "occasion alternative feature"],
    c: Float32[ndarray, "occasion context"],
    category: Int32[ndarray, " occasion"],
    available: Bool[ndarray, "occasion alternative"],
) -> Float32[ndarray, "occasion alternative"]:
    """V of every alternative; what stands in unavailable columns is ignored and has no meaning afterwards."""
    n, J, F = z.shape
    mask = available.astype(np.float32)
    count = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    c = np.concatenate([c, p["category"][category]], axis=1)
    part = mask / count
    z_mean = (part[:, None, :] @ z)[:, 0]
    flat = z.reshape(n * J, F)
    shift = z_mean @ p["encode_mean"] + c @ p["encode_context"] + p["encode_bias"]
    h = (flat @ p["encode"]).reshape(n, J, -1)
    h += shift[:, None]
    np.maximum(h, 0, out=h)
    width = h.shape[2]
    for block in range(BLOCKS):
        score = (h.reshape(n * J, width) @ p[f"query{block}"]).reshape(n, J)
        score = np.where(available, score, -1e9).astype(np.float32)
        weight = np.exp(score - score.max(axis=1, keepdims=True)) * mask
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-30)
        pool = (np.stack([weight, part], axis=1) @ h).reshape(n, 2 * width)
        mixed = (h.reshape(n * J, width) @ p[f"mix{block}"]).reshape(n, J, width)
        mixed += (pool @ p[f"mix_pool{block}"] + p[f"mix_bias{block}"])[:, None]
        np.maximum(mixed, 0, out=mixed)
        h += mixed
    taste = p["skip"] + c @ p["skip_context"]
    linear = (z @ taste[:, :, None])[:, :, 0]
    utility: ndarray = linear + (h.reshape(n * J, width) @ p["read"]).reshape(n, J)
    return utility


def torch_utilities(
    p: dict[str, torch.Tensor],
    z: torch.Tensor,
    c: torch.Tensor,
    category: torch.Tensor,
    available: torch.Tensor,
    keep: Any = None,
) -> torch.Tensor:
    """`utilities` in torch, for the gradient; `keep(width, occasions)` draws a dropout mask or is None."""
    import torch

    n, J, F = z.shape
    mask = available.to(z.dtype)
    part = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)
    c = torch.cat([c, p["category"][category]], dim=1)
    z_mean = torch.bmm(part[:, None], z)[:, 0]
    flat = z.reshape(n * J, F)
    shift = z_mean @ p["encode_mean"] + c @ p["encode_context"] + p["encode_bias"]
    h = torch.relu((flat @ p["encode"]).view(n, J, -1) + shift[:, None])
    width = h.shape[2]
    if keep is not None:
        h = h * keep(width, n)[:, None]
    for block in range(BLOCKS):
        score = (h @ p[f"query{block}"]).masked_fill(~available, -1e9)
        weight = torch.softmax(score, dim=1)
        pool = torch.bmm(torch.stack([weight, part], dim=1), h).view(n, 2 * width)
        shift = pool @ p[f"mix_pool{block}"] + p[f"mix_bias{block}"]
        mixed = torch.relu((h.reshape(n * J, width) @ p[f"mix{block}"]).view(n, J, width) + shift[:, None])
        if keep is not None:
            mixed = mixed * keep(width, n)[:, None]
        h = h + mixed
    taste = p["skip"] + c @ p["skip_context"]
    return torch.bmm(z, taste[:, :, None])[:, :, 0] + h @ p["read"]
