"""The pointer: utilities of alternatives from the hidden states at the ends of their lines.

    u[j] = A norm(h[j])            the end of line j, in a narrow space
    q    = B norm(h[question])     the end of the question
    s    = set block over (u[1..J], q): every alternative sees the others and the question
    V[j] = v · gelu(s[j] C) + u[j] · q / sqrt(width)

Reordering the lines reorders V and changes nothing else. V starts at exactly zero, so that training
starts from the skip. No letter has to be learnt, and any number of alternatives can be read.
"""

from __future__ import annotations

import torch
from torch import nn

from malles.errors import UsageError


class Pointer(nn.Module):
    """Reads utilities, and the expected units, from hidden states."""

    def __init__(self, hidden: int, width: int = 64, heads: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(
                f"llm.width = {width} cannot be cut into {heads} heads; take a multiple of {heads}."
            )
        self.norm = nn.LayerNorm(hidden)
        self.line = nn.Linear(hidden, width)
        self.ask = nn.Linear(hidden, width)
        self.block_norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.read = nn.Linear(2 * width, 1, bias=False)
        self.units = nn.Linear(2 * width + 1, 1)
        self.match = nn.Parameter(torch.zeros(()))
        self.heads = heads
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.units.weight)
        nn.init.constant_(self.units.bias, -1.0)

    def forward(
        self, lines: torch.Tensor, question: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Utilities [prompt, alternative] and states [prompt, alternative, 2 * width].

        Args:
            lines: hidden states [prompt, alternative, hidden].
            question: hidden states [prompt, hidden].
            present: bool [prompt, alternative].
        """
        u = self.line(self.norm(lines))
        q = self.ask(self.norm(question))
        x = torch.cat([u, q[:, None]], dim=1)
        seen = torch.cat([present, torch.ones_like(present[:, :1])], dim=1)
        z = self.block_norm(x)
        n, k, width = z.shape

        def split(t: torch.Tensor) -> torch.Tensor:
            return t.view(n, k, self.heads, width // self.heads).transpose(1, 2)

        mixed = nn.functional.scaled_dot_product_attention(
            split(self.query(z)), split(self.key(z)), split(self.value(z)), attn_mask=seen[:, None, None]
        )
        x = x + self.out(mixed.transpose(1, 2).reshape(n, k, width))
        state = self.mlp(x[:, :-1])
        direct = (u @ q[:, :, None])[:, :, 0] / width**0.5
        utility = self.read(state)[:, :, 0] + self.match * direct
        return utility, state

    def log_rate(self, state: torch.Tensor, usual: torch.Tensor) -> torch.Tensor:
        """Logarithm of the expected units beyond the first, given that the alternative is bought.

        Args:
            state: [..., 2 * width] from `forward`.
            usual: [...] logarithm of the units the customer usually takes.
        """
        rate: torch.Tensor = self.units(torch.cat([state, usual[..., None]], dim=-1))[..., 0]
        clamped: torch.Tensor = rate.clamp(-8.0, 6.0)
        return clamped
