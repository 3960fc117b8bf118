"""Soft tokens: the embedding vectors of a product as tokens that stand on its line.

    x[k] = E[place] + GAIN · spread · s · norm(W (v - mean) / deviation + a)     vector v is known
    x[k] = E[place] + GAIN · spread · m                                          it is missing

E is the table of the model's own tokens and `spread` its standard deviation; s, m, W and a are learnt, one
set per embedding column. s and m start at zero: before training a vector says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from malles.errors import ModelError
from malles.vocabulary import Embedding

if TYPE_CHECKING:
    from malles.llm.reader import Reader

GAIN = 10.0
"""A unit of s or m moves a token by so many standard deviations: AdamW moves s by about its rate per step."""


class SoftTokens(nn.Module):
    """From the number of a vector (product * columns + column) to what is added to its place."""

    def __init__(self, embeddings: Sequence[Embedding], hidden: int, spread: float) -> None:
        super().__init__()
        self.names = tuple(e.name for e in embeddings)
        self.sizes = tuple(int(e.vector.shape[1]) for e in embeddings)
        self.spread = spread
        self.project = nn.ModuleList([nn.Linear(size, hidden) for size in self.sizes])
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.scale = nn.Parameter(torch.zeros(len(self.names), hidden))
        self.missing = nn.Parameter(torch.zeros(len(self.names), hidden))
        for k, e in enumerate(embeddings):
            known = e.vector[e.known].astype(np.float64)
            mean = known.mean(axis=0) if len(known) else np.zeros(e.vector.shape[1])
            deviation = max(float(np.sqrt(((known - mean) ** 2).mean())) if len(known) else 1.0, 1e-6)
            self.register_buffer(f"mean{k}", torch.from_numpy(mean).float())
            self.register_buffer(f"deviation{k}", torch.tensor(deviation))
        self.attach(embeddings)

    def attach(self, embeddings: Sequence[Embedding]) -> None:
        """Read the vectors of these products; the columns must be those that were learnt.

        Raises:
            ModelError: the columns have other names or lengths.
        """
        found = tuple((e.name, int(e.vector.shape[1])) for e in embeddings)
        wanted = tuple(zip(self.names, self.sizes, strict=True))
        if found != wanted:
            raise ModelError(
                f"This model reads the embedding columns {wanted}, the products have {found}; import the "
                "product table with the same columns, or fit the model again."
            )
        self.vectors = [torch.from_numpy(e.vector).float() for e in embeddings]
        self.known = [torch.from_numpy(e.known) for e in embeddings]

    def forward(self, number: torch.Tensor) -> torch.Tensor:
        """[vector, hidden] of vector numbers [vector]."""
        columns = len(self.names)
        product, column = (number // columns).cpu(), number % columns
        if len(number) and int(product.max()) >= len(self.known[0]):
            raise ModelError(
                f"A prompt names the vector of product {int(product.max())}, but this model has vectors "
                f"of {len(self.known[0])} products; attach those of the catalogue the prompts come from."
            )
        out = torch.zeros(len(number), self.scale.shape[1], device=self.scale.device)
        for k in range(columns):
            rows = (column == k).nonzero()[:, 0]
            which = product[rows.cpu()]
            vector = self.vectors[k][which].to(out.device)
            known = self.known[k][which].to(out.device)[:, None]
            mean, deviation = self.get_buffer(f"mean{k}"), self.get_buffer(f"deviation{k}")
            said = self.norm(self.project[k]((vector - mean) / deviation)) * self.scale[k]
            out = out.index_copy(0, rows, torch.where(known, said, self.missing[k].expand_as(said)))
        scaled: torch.Tensor = out * (GAIN * self.spread)
        return scaled


def save_soft(soft: SoftTokens, folder: Path) -> None:
    """Write what was learnt to `soft.safetensors`; the vectors themselves belong to the products."""
    from safetensors.torch import save_file

    about = {"names": json.dumps(soft.names), "sizes": json.dumps(soft.sizes)}
    weights = {k: v.detach().cpu().contiguous() for k, v in soft.state_dict().items()}
    save_file(weights, folder / "soft.safetensors", metadata=about)


def load_soft(reader: Reader, folder: Path) -> None:
    """Let `reader` read vectors as it did when `save_soft` wrote them; the products are attached later."""
    from safetensors import safe_open

    with safe_open(folder / "soft.safetensors", framework="pt") as file:
        about = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    columns = zip(json.loads(about["names"]), json.loads(about["sizes"]), strict=True)
    nothing = [Embedding(n, np.zeros((0, size), np.float32), np.zeros(0, bool)) for n, size in columns]
    reader.add_soft(nothing).load_state_dict(weights)
