"""The loop of post-training: counter-based batches, AdamW on float32 masters, checkpoints, early stop.

Batch number s is a function of (seed, s) alone, so that a run that was killed goes on with the same batches,
and its losses equal those of an unbroken run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

import numpy as np
import torch
from numpy import ndarray

from malles.errors import ModelError
from malles.llm.encoding import collate
from malles.llm.reader import Reader, pad
from malles.llm.training import losses
from malles.llm.training.batches import draw_lines, draw_rows, read_batch, watch_lines
from malles.llm.training.checkpoint import load_checkpoint, save_checkpoint
from malles.llm.training.examples import Examples, sampling_weights
from malles.llm.training.losses import LossWeights
from malles.llm.training.optimizer import Optimizer
from malles.llm.wording import CANONICAL

Progress = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainingSettings:
    """How a reader is post-trained."""

    steps: int = 1500
    batch: int = 4
    """Occasions per step."""
    alternatives: int = 10
    """Alternatives of an occasion that a step reads: the chosen one and a random sample of the others
    (McFadden 1978: uniform sampling keeps the logit consistent). 0 reads all."""
    rate: float = 1e-3
    """Largest learning rate of the adapter; rises over the first 5 %, then falls by a half cosine."""
    pointer_rate: float = 2e-3
    decay: float = 0.01
    averaging: float = 0.99
    """Exponential moving average of the weights; the average is what is kept. 0 keeps the last."""
    balance: float = 0.7
    """Temperature of the sampling over categories: 1 as in the data, 0 all categories alike."""
    rewording: float = 0.5
    """Part of the prompts that are read in other words than the canonical ones."""
    response: float = 0.33
    """Part of the steps that read occasions under changed prices, if `response` or `change` is on."""
    paired: float = 0.25
    """Part of the steps that read every occasion twice in different words, if `consistency` is on."""
    minutes: float = 0.0
    """Processor-minutes after which training ends early, with the rate already at zero; 0: no limit."""
    checkpoint: int = 100
    """Steps between checkpoints, if there is a folder for them."""
    look: int = 200
    """Steps between looks at the validation examples."""
    patience: int = 4
    """Looks without improvement after which training stops; 0: never."""
    seed: int = 0
    loss: LossWeights = field(default_factory=LossWeights)


@dataclass
class History:
    """What happened at each step."""

    loss: list[float] = field(default_factory=list)
    parts: list[dict[str, float]] = field(default_factory=list)
    valid: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = "all steps done"


def train(
    reader: Reader,
    examples: Examples,
    settings: TrainingSettings,
    *,
    valid: Examples | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> History:
    """Post-train `reader` in place.

    Args:
        reader: its adapter and pointer are changed.
        examples: occasions to learn from.
        settings: steps, rates, losses.
        valid: if given, looked at every `settings.look` steps; the best weights are kept.
        folder: if given, checkpoints are written there, and training goes on from the last one.
        progress: called as `progress(step, steps, losses)`.

    Raises:
        ModelError: nothing can be learnt from these examples, the losses are no longer numbers, or the
            checkpoint is damaged or of other settings.
    """
    _check_learnable(examples, settings.loss)
    optimizer = Optimizer(reader, settings)
    history, start = History(), 0
    if folder is not None and (found := load_checkpoint(folder, optimizer, settings)) is not None:
        history, start = found
    weight = sampling_weights(examples.group, settings.balance).astype(np.float64)
    chance = np.cumsum(weight / weight.sum())
    began, before = process_time(), history.seconds
    best, since = math.inf, 0
    for _, value in history.valid:
        best, since = (value, 0) if value < best else (best, since + 1)
    for step in range(start, settings.steps):
        if settings.patience and since >= settings.patience:
            history.stopped = f"no better for {since} looks"
            break
        spent = before + process_time() - began
        if settings.minutes and spent > 60 * settings.minutes:
            history.stopped = f"{settings.minutes:g} processor-minutes used"
            break
        pace = max(step / settings.steps, spent / (60 * settings.minutes) if settings.minutes else 0.0)
        parts = _step(reader, examples, settings, chance, step)
        if not math.isfinite(parts["loss"]):
            raise ModelError(
                f"The loss of step {step + 1} is {parts['loss']}; lower llm.rate and llm.pointer_rate, or "
                "look for features that are not finite."
            )
        optimizer.step(rate_at(pace))
        history.loss.append(parts["loss"])
        history.parts.append(parts)
        history.seconds = before + process_time() - began
        done = step + 1
        if progress is not None:
            progress(done, settings.steps, parts)
        if valid is not None and settings.look and done % settings.look == 0:
            with optimizer.averaged():
                value = mean_loss(reader, valid)
            history.valid.append((done, value))
            best, since = (value, 0) if value < best else (best, since + 1)
            if since == 0:
                optimizer.remember()
        if folder is not None and done % settings.checkpoint == 0:
            save_checkpoint(folder, optimizer, settings, history, done)
    optimizer.finish()
    return history


def _step(
    reader: Reader, examples: Examples, settings: TrainingSettings, chance: ndarray, step: int
) -> dict[str, float]:
    rng = np.random.default_rng([settings.seed, 12, step])
    rows = draw_rows(chance, settings, step)
    weights = settings.loss
    source = examples
    responding = weights.response > 0 or weights.change > 0
    if responding and examples.changed is not None and rng.random() < settings.response:
        source = examples.changed
    twice = weights.consistency > 0 and rng.random() < settings.paired
    drawn = [draw_lines(source, int(row), settings, rng) for row in rows]
    batch, tables = read_batch(reader, source, rows, drawn, settings, rng)
    watch = watch_lines(reader, batch) if weights.attention > 0 else None
    utility, state = reader.utilities(batch, watch)
    present = torch.from_numpy(batch.present).to(reader.device)
    total_utility = utility + tables.skip
    log_p = losses.log_probability(total_utility, present)
    found: dict[str, torch.Tensor] = {}
    if source is examples:
        if weights.choice > 0:
            found["choice"] = losses.choice_loss(log_p, tables.chosen)
        if weights.close > 0:
            found["close"] = losses.close_loss(total_utility, present, tables.chosen)
        if weights.teacher > 0 and tables.teacher is not None:
            found["teacher"] = losses.teacher_loss(log_p, tables.teacher, present)
        if weights.quantity > 0 and tables.units is not None:
            picked = tables.chosen.clamp(min=0)
            n = torch.arange(len(rows), device=reader.device)
            rate = reader.pointer.log_rate(state[n, picked], tables.usual[n, picked])
            found["quantity"] = losses.quantity_loss(rate, tables.units)
    elif tables.teacher is not None:
        if weights.response > 0:
            found["response"] = losses.teacher_loss(log_p, tables.teacher, present)
        if weights.change > 0 and examples.teacher is not None:
            earlier, known = read_batch(reader, examples, rows, drawn, settings, rng)
            assert known.teacher is not None
            before = losses.log_probability(reader.utilities(earlier)[0] + known.skip, present)
            found["change"] = losses.change_loss(log_p, before, tables.teacher, known.teacher, present)
    if twice:
        again, _ = read_batch(reader, source, rows, drawn, settings, rng, force=True)
        other, _ = reader.utilities(again)
        found["consistency"] = losses.consistency_loss(
            log_p, losses.log_probability(other + tables.skip, present), present
        )
    if watch is not None:
        offered = watch.one_hot.sum(dim=1) > 0
        found["attention"] = losses.attention_loss(
            watch.mass, present, offered, losses.prior_vector().to(reader.device)
        )
    zero = torch.zeros((), device=reader.device)
    loss = sum((getattr(weights, name) * value for name, value in found.items()), zero)
    if found:  # with the loss `response` alone, steps at the prices of the data have nothing to learn
        loss.backward()
    return {"loss": float(loss.detach()), **{name: float(v.detach()) for name, v in found.items()}}


def _check_learnable(examples: Examples, weights: LossWeights) -> None:
    if not len(examples):
        raise ModelError("There are no occasions to learn from; widen the training weeks or the data.")
    changed = examples.changed is not None and examples.changed.teacher is not None
    needs = {
        "choice": bool((examples.chosen >= 0).any()),
        "close": bool((examples.chosen >= 0).any()),
        "teacher": examples.teacher is not None,
        "response": changed,
        "change": changed and examples.teacher is not None,
        "quantity": examples.units is not None,
        "consistency": True,
        "attention": True,
    }
    if not any(getattr(weights, name) > 0 and there for name, there in needs.items()):
        raise ModelError(
            "None of the losses can be computed from these examples: give the weight of `choice` (with known "
            "choices) or `teacher` (with a fitted model) a number above 0 under [llm.losses]."
        )


def mean_loss(reader: Reader, examples: Examples, batch: int = 4) -> float:
    """Mean −log P(chosen) of all known choices, every alternative read, canonical words."""
    total, known = 0.0, np.flatnonzero(examples.chosen >= 0)
    with torch.inference_mode():
        for begin in range(0, len(known), batch):
            rows = known[begin : begin + batch]
            encoded = [reader.encoder.encode(examples.render(int(row), CANONICAL)) for row in rows]
            made = collate(encoded)
            utility, _ = reader.utilities(made)
            J = made.present.shape[1]
            given = [examples.skip[row][: len(e.end)] for row, e in zip(rows, encoded, strict=True)]
            log_p = losses.log_probability(
                utility.cpu() + torch.from_numpy(pad(given, J)), torch.from_numpy(made.present)
            )
            chosen = torch.from_numpy(examples.chosen[rows].astype(np.int64))
            total -= float(log_p.gather(1, chosen[:, None]).sum())
    return total / max(len(known), 1)


def rate_at(pace: float) -> float:
    """Rises over the first 5 %, then a half cosine down to zero."""
    if pace < 0.05:
        return max(pace / 0.05, 0.02)
    return 0.5 * (1 + math.cos(math.pi * min((pace - 0.05) / 0.95, 1.0)))
