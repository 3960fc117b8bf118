"""Attention of the language model: a set mask, and a look at what chosen rows attend to.

`malles` is registered with transformers as an attention implementation: scaled dot products by PyTorch's
own kernel, and, while a `Watch` is active, the attention of a few rows (the decision rows) recomputed with
its gradient, summed over fields. Watching J rows costs J / T of an attention, not an attention matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

NAME = "malles"

PLAIN = 320
"""Tokens up to which two batched products beat the fused kernel on a CPU (its backward pass above all)."""


@dataclass
class Watch:
    """Collects the attention mass of the decision rows by field."""

    rows: torch.Tensor
    """[prompt, row]: tokens whose attention is looked at."""
    one_hot: torch.Tensor
    """[prompt, token, field]: the field of every token."""
    layers: frozenset[int]
    mass: list[torch.Tensor] = field(default_factory=list)
    """One [prompt, row, field] per watched layer, a mean over heads; fields sum to one."""


_watch: Watch | None = None


@contextmanager
def watching(watch: Watch | None) -> Iterator[Watch | None]:
    """Attention by field is collected in `watch` inside this block."""
    global _watch  # noqa: PLW0603  (transformers calls the function below without a place for it)
    before, _watch = _watch, watch
    try:
        yield watch
    finally:
        _watch = before


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in the form that transformers asks for; returns [prompt, token, head, width]."""
    groups = query.shape[1] // key.shape[1]
    if query.device.type == "cpu" and attention_mask is not None and key.shape[2] <= PLAIN:
        out = _plain(query, key, value, attention_mask, scaling or query.shape[3] ** -0.5, groups)
    else:
        out = torch.nn.functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention_mask,
            scale=scaling,
            is_causal=attention_mask is None and query.shape[2] > 1,
            enable_gqa=groups > 1,
        )
    if _watch is not None and getattr(module, "layer_idx", -1) in _watch.layers:
        _watch.mass.append(_look(_watch, query, key, attention_mask, scaling, groups))
    return out.transpose(1, 2).contiguous(), None


def _plain(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
    groups: int,
) -> torch.Tensor:
    """Attention by two batched products: query heads that share a key are stacked below each other."""
    n, heads, t, width = query.shape
    stacked = (query * scaling).reshape(n, heads // groups, groups * t, width)
    score = (stacked @ key.transpose(2, 3)).view(n, heads // groups, groups, t, key.shape[2])
    if mask.dtype == torch.bool:
        score = score.masked_fill(~mask[:, :, None], max(-1e9, torch.finfo(score.dtype).min))
    else:
        score = score + mask[:, :, None]
    weight = torch.softmax(score, dim=-1).view(n, heads // groups, groups * t, key.shape[2])
    return (weight @ value).view(n, heads, t, width)


def _look(
    watch: Watch,
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    groups: int,
) -> torch.Tensor:
    n, heads, _, width = query.shape
    index = watch.rows[:, None, :, None].expand(n, heads, watch.rows.shape[1], width)
    asked = query.gather(2, index).float()
    keys = key.repeat_interleave(groups, dim=1).float()
    score = asked @ keys.transpose(2, 3) * (scaling if scaling is not None else width**-0.5)
    if mask is not None:
        seen = mask.expand(n, 1, *mask.shape[2:]).gather(
            2, watch.rows[:, None, :, None].expand(n, 1, watch.rows.shape[1], mask.shape[3])
        )
        score = score.masked_fill(~seen, -1e9) if seen.dtype == torch.bool else score + seen.float()
    weight = torch.softmax(score, dim=-1).mean(dim=1)
    return weight @ watch.one_hot


def register() -> str:
    """Make the implementation known to transformers; returns its name."""
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(NAME, attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    return NAME
