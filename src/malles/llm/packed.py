"""A Llama-like model read without padding, without masked pairs and without temporaries, on a CPU.

The layers are those of transformers, in its weights and its number format; only the passes over memory are
fewer: products write into arrays that are kept for the whole reading and add the residual themselves, norms,
rotary positions and gates are one pass each, attention computes the pairs that are seen. After the attention
of the last layer only the tokens that are read go on. Nothing here has a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from malles.llm.attention_kernels import attend
from malles.llm.lanes import WIDTH
from malles.llm.packing import Pack
from malles.llm.row_kernels import gate, normalise, rotate_columns, rotate_rows

READABLE = {"LlamaModel"}
"""Decoders of transformers whose layers are the ones below."""


@dataclass(frozen=True)
class Earlier:
    """Keys [layer][numbers, token] and values [layer][token, numbers] of tokens that were read before."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]


def readable(trunk: Any) -> bool:
    """Whether `read` computes what `trunk` computes: a plain decoder on a CPU, in widths that fit."""
    if type(trunk).__name__ not in READABLE:
        return False
    config, weight, width = trunk.config, trunk.embed_tokens.weight, trunk.layers[0].self_attn.head_dim
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.bfloat16, torch.float32)
        and config.hidden_act in {"silu", "swish"}
        and width % (2 * WIDTH) == 0
        and config.hidden_size % WIDTH == 0
        and config.intermediate_size % WIDTH == 0
    )


def read(
    trunk: Any, x: torch.Tensor, pack: Pack, earlier: Earlier | None = None, *, keep: bool = False
) -> tuple[Float[torch.Tensor, "prompt read hidden"], Earlier]:
    """States of the rows that `pack` names, after the last norm, and keys and values if they are kept.

    Args:
        trunk: a model that is `readable`.
        x: vectors of the tokens [token, hidden]; they are overwritten.
        pack: positions, what sees what, what is read.
        earlier: keys and values of the tokens that the ranges call EARLIER.
        keep: return keys and values of all tokens and layers, for what is read later.
    """
    count, width = len(x), trunk.layers[0].self_attn.head_dim
    columns = -(-count // WIDTH) * WIDTH + WIDTH  # attention reads up to 15 tokens too many
    inner, wide = trunk.config.intermediate_size, trunk.config.num_attention_heads * width
    narrow = trunk.config.num_key_value_heads * width
    cosine, sine = _angles(trunk, pack.position, x.dtype)
    across = [np.zeros((width // 2, columns), np.float32) for _ in range(2)]
    for table, source in zip(across, (cosine, sine), strict=True):
        table[:, :count] = source[pack.position].T

    padded, query, out, gated, up = (
        torch.empty(n, m, dtype=x.dtype)
        for n, m in ((columns, x.shape[1]), (count, wide), (count, wide), (count, inner), (count, inner))
    )
    padded[count:] = 0
    h = padded[:count]
    rows = torch.from_numpy(pack.rows.reshape(-1))
    asked = np.ones(count, np.bool_)
    seen = Earlier([], [])
    for index, layer in enumerate(trunk.layers):
        attention, last = layer.self_attn, index == len(trunk.layers) - 1
        if index == 0 or keep:
            key = torch.empty(narrow, columns, dtype=x.dtype)
            value = torch.empty(count, narrow, dtype=x.dtype)
        if keep:
            seen.keys.append(key)
            seen.values.append(value)
        _normalise(layer.input_layernorm, x, h)
        _project(attention.q_proj, h, query)
        _project(attention.v_proj, h, value)
        _project_across(attention.k_proj, padded, count, key)
        rotate_rows(bits(query), cosine, sine, pack.position)
        rotate_columns(bits(key), *across)
        if last:
            asked[:] = False
            asked[pack.rows] = True
        old = (earlier.keys[index], earlier.values[index]) if earlier else (key[:, :0], value[:0])
        attend(
            bits(query),
            (bits(old[0].contiguous()), bits(key)),
            (bits(old[1]), bits(value)),
            *(pack.spans, pack.ranges, pack.room, asked, width, attention.scaling, bits(out)),
        )
        if last:
            x, out = x[rows], out[rows]
            h, gated, up = h[: len(rows)], gated[: len(rows)], up[: len(rows)]
        _add(attention.o_proj, out, x)
        _normalise(layer.post_attention_layernorm, x, h)
        _project(layer.mlp.gate_proj, h, gated)
        _project(layer.mlp.up_proj, h, up)
        gate(bits(gated), bits(up))
        _add(layer.mlp.down_proj, gated, x)
    state = torch.empty_like(x)
    _normalise(trunk.norm, x, state)
    return state.view(*pack.rows.shape, -1), seen


def bits(x: torch.Tensor) -> ndarray:
    """The same memory as numpy sees it: bfloat16 as uint16, float32 as it is."""
    found: ndarray = (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()
    return found


def _angles(trunk: Any, position: ndarray, dtype: torch.dtype) -> tuple[ndarray, ndarray]:
    """Cosine and sine [position, half], rounded as the model rounds them."""
    places = torch.arange(int(position.max()) + 1)[None]
    tables = trunk.rotary_emb(torch.empty(0, dtype=dtype), places)
    half = tables[0].shape[-1] // 2
    cosine, sine = (np.ascontiguousarray(t[0, :, :half].float().numpy()) for t in tables)
    return cosine, sine


def _normalise(norm: Any, x: torch.Tensor, out: torch.Tensor) -> None:
    weight = norm.weight.detach().float().numpy()
    normalise(bits(x), weight, float(norm.variance_epsilon), bits(out))


def _plain(layer: Any) -> bool:
    return type(layer) is torch.nn.Linear and layer.bias is None


def _project(layer: Any, x: torch.Tensor, out: torch.Tensor) -> None:
    """Out = x Wᵀ; a layer with an adapter or a bias computes it itself."""
    if _plain(layer):
        torch.mm(x, layer.weight.detach().t(), out=out)
    else:
        out.copy_(layer(x))


def _project_across(layer: Any, padded: torch.Tensor, count: int, out: torch.Tensor) -> None:
    """Out [numbers, token] = W xᵀ."""
    if _plain(layer):
        torch.mm(layer.weight.detach(), padded.t(), out=out)
    else:
        out.zero_()[:, :count].copy_(layer(padded[:count]).t())


def _add(layer: Any, x: torch.Tensor, to: torch.Tensor) -> None:
    """To += x Wᵀ, rounded once."""
    if _plain(layer):
        to.addmm_(x, layer.weight.detach().t())
    else:
        to.add_(layer(x))
