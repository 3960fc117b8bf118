"""Post-training on written replies: a model learns to say at once what somebody else came to say.

    loss = −(1/T) Σ_t log P(token t of the reply | conversation, tokens before it)

Only the T tokens of the reply, and the one that ends it, count. The last `tuned_layers` layers carry an
adapter of low rank in float32; everything below is read without gradients.
Source: Hu et al. (2022) for the adapter.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import numpy as np
import torch

from malles.errors import ModelError
from malles.llm.backend import Message
from malles.llm.beginnings import chat_tokens
from malles.llm.loading import check_chat, load_model
from malles.llm.reader import ALL_LINEAR, choose_dtype
from malles.llm.training.loop import rate_at
from malles.llm.training.optimizer import BETAS, LARGEST_NORM
from malles.llm.weights import find_weights

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class ReplyExample:
    """A conversation and what is to be answered."""

    conversation: tuple[Message, ...]
    reply: str


@dataclass(frozen=True)
class ReplySettings:
    """How replies are learnt."""

    model: str = "smollm2"
    """A name known to `malles models list`, or a folder of weights."""
    epochs: int = 2
    """Times that every example is read."""
    rate: float = 1e-3
    rank: int = 8
    tuned_layers: int = 15
    """The last ones, which the adapter changes."""
    batch: int = 8
    """Examples per step."""
    minutes: float = 0.0
    """Processor-minutes at most, the rate falling with them; 0 = no limit."""
    seed: int = 0
    dtype: str = "auto"
    """'bfloat16', 'float32', or 'auto': bfloat16 where the machine multiplies it faster."""


@dataclass
class Taught:
    """A model with its adapter still apart, and how it was learnt."""

    model: Any
    tokenizer: Any
    settings: ReplySettings
    loss: list[float] = field(default_factory=list)
    """Mean loss of every step."""
    seconds: float = 0.0
    examples: int = 0
    """Read in all."""
    too_long: int = 0
    """Left out because they exceed the context."""


def teach_replies(
    examples: Sequence[ReplyExample],
    settings: ReplySettings | None = None,
    progress: Progress = lambda done, total, loss: None,
) -> Taught:
    """Train an adapter on conversations and their replies.

    Args:
        examples: in any order; each epoch draws its own.
        settings: which model, how long, how fast.
        progress: told (steps done, steps, loss of the last one).

    Raises:
        ModelError: no example is left, the model cannot chat, or the loss is no number any more.
    """
    settings = settings or ReplySettings()
    model, tokenizer = load_model(find_weights(settings.model), dtype=choose_dtype(settings.dtype))
    check_chat(tokenizer, settings.model)
    longest = int(getattr(model.config, "max_position_embeddings", 2048))
    encoded = [encode_reply(tokenizer, e) for e in examples]
    fitting = [e for e in encoded if len(e[0]) <= longest]
    if not fitting:
        raise ModelError(
            f"None of {len(encoded)} replies can be learnt: there must be at least one that fits into "
            f"{longest} tokens together with its conversation."
        )
    taught = Taught(adapt_writer(model, settings), tokenizer, settings, too_long=len(encoded) - len(fitting))
    weights = [w for w in taught.model.parameters() if w.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.rate, betas=BETAS, weight_decay=0.0)
    steps = settings.epochs * -(-len(fitting) // settings.batch)
    began, done = process_time(), 0
    for epoch in range(settings.epochs):
        order = np.random.default_rng([settings.seed, 21, epoch]).permutation(len(fitting))
        for begin in range(0, len(order), settings.batch):
            spent = (process_time() - began) / (60 * settings.minutes) if settings.minutes else 0.0
            if spent >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * rate_at(max(done / steps, spent))
            rows = order[begin : begin + settings.batch]
            loss = _step(taught.model, [fitting[i] for i in rows], weights, optimizer)
            if not math.isfinite(loss):
                raise ModelError(f"The loss of step {done + 1} is {loss}; lower the rate ({settings.rate}).")
            done += 1
            taught.loss.append(loss)
            taught.examples += len(rows)
            taught.seconds = process_time() - began
            progress(done, steps, loss)
    taught.model.eval()
    return taught


def encode_reply(tokenizer: Any, example: ReplyExample) -> tuple[list[int], int]:
    """Tokens of conversation and reply, and how many of them are the reply with its end."""
    asked = chat_tokens(tokenizer, example.conversation)
    said = tokenizer(example.reply, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    reply = [*said, int(tokenizer.eos_token_id)]
    return [*asked, *reply], len(reply)


def adapt_writer(model: Any, settings: ReplySettings) -> Any:
    """The model with a fresh adapter on its last layers, which changes nothing yet."""
    from peft import LoraConfig, get_peft_model

    depth = int(model.config.num_hidden_layers)
    model.requires_grad_(False)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=settings.rank, lora_alpha=2 * settings.rank, lora_dropout=0.0,
        target_modules=list(ALL_LINEAR),
        layers_to_transform=list(range(max(depth - settings.tuned_layers, 0), depth)),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an older name
        torch.manual_seed(settings.seed)
        return get_peft_model(model, config)


def _step(
    model: Any,
    batch: list[tuple[list[int], int]],
    weights: list[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> float:
    """One step on the mean loss of a batch; examples are read one by one, so none is padded."""
    total = 0.0
    optimizer.zero_grad(set_to_none=True)
    for ids, reply in batch:
        read = torch.tensor([ids])
        logits = model(read, use_cache=False, logits_to_keep=reply + 1).logits[0, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits, read[0, -reply:]) / len(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(weights, LARGEST_NORM)
    optimizer.step()
    return total
