"""AdamW on float32 masters of half-precision weights, with an average of the weights that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from malles.llm.reader import Reader
    from malles.llm.training.loop import TrainingSettings

BETAS = (0.9, 0.98)
LARGEST_NORM = 1.0
"""Gradients are scaled down to this norm."""


class Optimizer:
    """Steps of AdamW; its whole state is named tensors, so that a checkpoint needs no pickle."""

    def __init__(self, reader: Reader, settings: TrainingSettings) -> None:
        self.settings = settings
        self.reader = asdict(reader.settings)
        self.weights: dict[str, torch.nn.Parameter] = {
            **{f"adapter.{k}": v for k, v in reader.adapter().items()},
            **{f"pointer.{k}": v for k, v in reader.pointer.named_parameters()},
        }
        if reader.soft is not None:
            self.weights |= {f"soft.{k}": v for k, v in reader.soft.named_parameters()}
        self.master = {k: v.detach().float().clone() for k, v in self.weights.items()}
        self.first = {k: torch.zeros_like(v) for k, v in self.master.items()}
        self.second = {k: torch.zeros_like(v) for k, v in self.master.items()}
        self.average = {k: v.clone() for k, v in self.master.items()}
        self.best: dict[str, torch.Tensor] = {}
        self.count = 0

    @torch.no_grad()
    def step(self, pace: float) -> None:
        """One step at `pace` times the largest rates; gradients are used up."""
        gradient = {k: v.grad.float() for k, v in self.weights.items() if v.grad is not None}
        square = (
            torch.stack([(g * g).sum() for g in gradient.values()]).sum() if gradient else torch.zeros(())
        )
        norm = torch.sqrt(square + 1e-12)
        scale = torch.clamp(LARGEST_NORM / norm, max=1.0)
        self.count += 1
        one, two = 1 - BETAS[0] ** self.count, 1 - BETAS[1] ** self.count
        keep = min(self.settings.averaging, self.count / (self.count + 10))
        for name, weight in self.weights.items():
            if name not in gradient:
                continue
            g, master = gradient[name] * scale, self.master[name]
            rate = pace * (self.settings.rate if name.startswith("adapter.") else self.settings.pointer_rate)
            self.first[name].lerp_(g, 1 - BETAS[0])
            self.second[name].lerp_(g * g, 1 - BETAS[1])
            if master.ndim > 1:
                master.mul_(1 - rate * self.settings.decay)
            master.sub_(rate * (self.first[name] / one) / ((self.second[name] / two).sqrt() + 1e-8))
            self.average[name].lerp_(master, 1 - keep)
            weight.copy_(master)
            weight.grad = None

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights are in place inside this block."""
        self._place(self.average)
        try:
            yield
        finally:
            self._place(self.master)

    def remember(self) -> None:
        """Keep the present average as the best so far."""
        self.best = {k: v.clone() for k, v in self.average.items()}

    def finish(self) -> None:
        """Put the best average in place, or the last one if nothing was looked at."""
        self._place(self.best or self.average)

    @torch.no_grad()
    def _place(self, values: dict[str, torch.Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.copy_(values[name])

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that training goes on from, as named tensors."""
        kinds = {"master": self.master, "first": self.first, "second": self.second, "average": self.average}
        if self.best:
            kinds["best"] = self.best
        return {f"{kind}/{k}": v.contiguous() for kind, values in kinds.items() for k, v in values.items()}

    def restore(self, state: dict[str, torch.Tensor], count: int) -> None:
        """Go on from what `state` returned after `count` steps."""
        for kind in ("master", "first", "second", "average", "best"):
            found = {k.partition("/")[2]: v.clone() for k, v in state.items() if k.startswith(kind + "/")}
            setattr(self, kind, found)
        self.count = count
        self._place(self.master)
