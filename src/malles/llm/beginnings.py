"""Beginnings of conversations that come again: their keys and values are kept, so that they are read once.

    round 1   [system, facts, options] [your turn]
    round 2   [system, facts, options] [said so far, your turn]       the first part is not read again

A conversation with such a beginning is always read in these two parts, whether the first is known or not:
what is written never depends on what was kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from malles.llm.backend import Message
from malles.llm.loading import available_bytes

SHARE, LEAST_BYTES = 8, 2**28
"""One part in so many of the memory that is free is used at most, or so many bytes; what was not used for
longest goes first. smollm2 takes 23 kB a token in bfloat16: 14 MB for a role's 600 tokens.
"""

States = list[tuple[torch.Tensor, torch.Tensor]]


class Beginnings:
    """Keys and values of beginnings, by their tokens."""

    def __init__(self, most_bytes: int | None = None) -> None:
        free = available_bytes() or 0
        self._most = max(free // SHARE, LEAST_BYTES) if most_bytes is None else most_bytes
        self._known: OrderedDict[tuple[int, ...], States] = OrderedDict()
        self._bytes = 0
        self.read_tokens = 0
        """That a model had to read."""

    def read(self, model: Any, name: str, prompt: Sequence[int], again: int) -> tuple[Any, torch.Tensor]:
        """(Cache of the whole prompt, logits after it [1, vocabulary]).

        Args:
            model: a causal language model of transformers.
            name: what it calls its cache.
            prompt: token ids.
            again: tokens from the start that other conversations begin with; 0 reads all in one part.
        """
        from transformers import DynamicCache

        cache: Any = DynamicCache()
        if 0 < again < len(prompt):
            for layer, (key, value) in enumerate(self._states(model, name, tuple(prompt[:again]))):
                cache.update(key, value, layer)
            prompt = prompt[again:]
        self.read_tokens += len(prompt)
        said = model(
            input_ids=torch.tensor([list(prompt)]), use_cache=True, logits_to_keep=1, **{name: cache}
        )
        return cache, said.logits[:, -1].float()

    def _states(self, model: Any, name: str, beginning: tuple[int, ...]) -> States:
        from transformers import DynamicCache

        if beginning in self._known:
            self._known.move_to_end(beginning)
            return self._known[beginning]
        cache: Any = DynamicCache()
        model(input_ids=torch.tensor([list(beginning)]), use_cache=True, logits_to_keep=1, **{name: cache})
        self.read_tokens += len(beginning)
        states = [(layer.keys, layer.values) for layer in cache.layers]
        self._known[beginning] = states
        self._bytes += _size(states)
        while self._bytes > self._most and self._known:
            self._bytes -= _size(self._known.popitem(last=False)[1])
        return states


def _size(states: States) -> int:
    return sum(t.numel() * t.element_size() for pair in states for t in pair)


def chat_tokens(tokenizer: Any, conversation: Sequence[Message]) -> list[int]:
    """Tokens of a conversation up to where the model begins to answer."""
    said = [{"role": m.role, "content": m.content} for m in conversation]
    ids = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=True)["input_ids"]
    return [int(i) for i in ids]


def repeated_tokens(tokenizer: Any, conversation: Sequence[Message], ids: Sequence[int]) -> int:
    """Tokens in the repeated beginning of a conversation: up to `again` of the last message that has one.

    A token that spans the end of the beginning is not among them: the number follows from the words alone.
    """
    last = max((k for k, m in enumerate(conversation) if m.again), default=None)
    if last is None:
        return 0
    cut = replace(conversation[last], content=conversation[last].content[: conversation[last].again])
    return common_length(chat_tokens(tokenizer, [*conversation[:last], cut]), ids)


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many items two sequences share from the start.

    >>> common_length([1, 2, 3], [1, 2, 9, 3])
    2
    """
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
