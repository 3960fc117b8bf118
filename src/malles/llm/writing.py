"""Text from local weights: many conversations in lock step, held to a JSON schema where one is given.

    prompts are read one by one        the same reading whether a conversation stands alone or among others
    a known beginning is not read      in two parts, whether it is known or not
    caches are put side by side        each row as it would be alone: no word depends on the other rows
    every step writes one token each   masked by the schema's grammar, drawn by inverse CDF by key

The grammar allows no token that would leave the schema; a reply that is cut by `max_tokens` before its object
is closed is not valid, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import process_time
from typing import Any

import numpy as np
import torch

from malles.errors import MissingExtra, ModelError
from malles.llm.beginnings import Beginnings
from malles.llm.prefix import cache_name
from malles.llm.row_cache import RowCache

LEAST = 2
"""Rows that are written at once. A lone conversation stands beside a copy of itself: in bfloat16 one row is
multiplied by another kernel, which adds up its 1,536 numbers in another order. From two rows on all come out
the same bit for bit (measured with AVX-512); the copy costs 5 % of the time of a lone conversation.
"""


@dataclass(frozen=True)
class Written:
    """What was written in one conversation."""

    text: str
    prompt_tokens: int
    tokens: int
    finished: bool
    """Whether the model ended by itself (or the schema was complete) within the limit."""


@dataclass
class Pace:
    """Processor-seconds and tokens so far, reading and writing apart."""

    read_tokens: int = 0
    read_seconds: float = 0.0
    written_tokens: int = 0
    write_seconds: float = 0.0


class Grammar:
    """What a JSON schema allows, token by token (llguidance).

    Raises:
        MissingExtra: llguidance is not installed.
        ModelError: the schema cannot be turned into a grammar.
    """

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        try:
            from llguidance.hf import from_tokenizer
        except ImportError as problem:
            raise MissingExtra("Holding local weights to a JSON schema", "llguidance", "llm") from problem
        self._tokens = from_tokenizer(tokenizer, n_vocab=vocabulary)
        self._known: dict[str, str] = {}

    def matchers(self, schema: dict[str, Any], count: int) -> list[Any]:
        """Fresh matchers of a schema."""
        from llguidance import LLMatcher

        text = json.dumps(schema, sort_keys=True)
        if text not in self._known:
            grammar = LLMatcher.grammar_from_json_schema(
                schema, defaults={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
            )
            wrong = LLMatcher.validate_grammar(grammar, self._tokens)
            if wrong:
                raise ModelError(f"this JSON schema cannot be turned into a grammar: {wrong[:160]}")
            self._known[text] = grammar
        return [LLMatcher(self._tokens, self._known[text]) for _ in range(count)]


def write_replies(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    end: Sequence[int],
    decode: Callable[[list[int]], str],
    uniform: Callable[[int, int], float],
    temperature: float = 0.0,
    matchers: Sequence[Any] | None = None,
    batch: int = 16,
    pace: Pace | None = None,
    again: Sequence[int] | None = None,
    beginnings: Beginnings | None = None,
) -> list[Written]:
    """Continue every prompt.

    Args:
        model: a causal language model of transformers.
        prompts: token ids of every conversation.
        max_tokens: of a reply.
        end: tokens that end a reply.
        decode: from token ids to text.
        uniform: numbers in (0, 1) by (conversation, step); asked for at temperatures above 0.
        temperature: 0 takes the likeliest token.
        matchers: one per prompt, from `Grammar.matchers`.
        batch: conversations in lock step.
        pace: counts tokens and processor-seconds.
        again: tokens from the start of every prompt that other prompts begin with; 0 for none.
        beginnings: keeps what was read of these.
    """
    pace, beginnings = pace or Pace(), beginnings or Beginnings()
    repeated = again or [0] * len(prompts)
    out: list[Written] = []
    for begin in range(0, len(prompts), batch):
        rows = range(begin, min(begin + batch, len(prompts)))
        part = [prompts[i] for i in rows]
        mine = [matchers[i] for i in rows] if matchers is not None else None
        draw = [partial(uniform, i) for i in rows]
        began, before = process_time(), beginnings.read_tokens
        _check_window(model.config, max(len(p) for p in part) + max_tokens)
        with torch.inference_mode():
            cache, logits = _read(model, part, [repeated[i] for i in rows], max_tokens, beginnings)
        pace.read_seconds += process_time() - began
        pace.read_tokens += beginnings.read_tokens - before
        ids, done = _write_together(model, cache, logits, max_tokens, set(end), temperature, draw, mine, pace)
        for prompt, reply, finished in zip(part, ids, done, strict=True):
            out.append(Written(decode(reply), len(prompt), len(reply), finished))
    return out


def _write_together(
    model: Any,
    cache: RowCache,
    logits: torch.Tensor,
    max_tokens: int,
    end: set[int],
    temperature: float,
    draw: Sequence[Callable[[int], float]],
    matchers: Sequence[Any] | None,
    pace: Pace,
) -> tuple[list[list[int]], list[bool]]:
    n, name = len(logits), cache_name(model)
    with torch.inference_mode():
        began = process_time()
        replies: list[list[int]] = [[] for _ in range(n)]
        open_, finished = [True] * n, [False] * n
        for step in range(max_tokens):
            u = [d(step) for d in draw] if temperature > 0 else []  # the likeliest token needs none
            token = _next(logits, temperature, u, matchers, open_)
            for i in range(n):
                if not open_[i]:
                    continue
                if token[i] in end:
                    open_[i], finished[i] = False, True
                    continue
                replies[i].append(token[i])
                if matchers is not None:
                    matchers[i].consume_token(token[i])
                    if matchers[i].is_stopped() or (
                        matchers[i].is_accepting() and _only_end(matchers[i], end, logits.shape[1])
                    ):
                        open_[i], finished[i] = False, True
            if not any(open_) or step == max_tokens - 1:
                break
            said = model(
                input_ids=torch.tensor(token * (cache.rows // n))[:, None], attention_mask=cache.mask(),
                position_ids=cache.positions, use_cache=True, **{name: cache},
            )  # fmt: skip
            cache.advance()
            logits = said.logits[:n, -1].float()
        pace.write_seconds += process_time() - began
        pace.written_tokens += sum(len(r) for r in replies)
    return replies, finished


def _read(
    model: Any, prompts: Sequence[Sequence[int]], again: Sequence[int], more: int, beginnings: Beginnings
) -> tuple[RowCache, torch.Tensor]:
    """Caches of all prompts side by side, and the logits after each."""
    name = cache_name(model)
    read = [beginnings.read(model, name, p, a) for p, a in zip(prompts, again, strict=True)]
    caches = [cache for cache, _ in read]
    logits = torch.cat([said for _, said in read])
    return RowCache(caches * (LEAST if len(caches) == 1 else 1), more), logits


def _check_window(config: Any, tokens: int) -> None:
    """Refuse a conversation that is longer than some layers look back: rows know one mask for all layers."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if window and tokens > window and (kinds is None or "sliding_attention" in kinds):
        raise ModelError(
            f"a conversation and its reply take {tokens} tokens, but some layers of this model look back "
            f"only {window}; take a model that looks back further (for example smollm2), or shorten the talk."
        )


def _next(
    logits: torch.Tensor,
    temperature: float,
    u: Sequence[float],
    matchers: Sequence[Any] | None,
    open_: Sequence[bool],
) -> list[int]:
    """The next token of every row."""
    logits = logits.clone()
    if matchers is not None:
        for i, is_open in enumerate(open_):
            if is_open:
                logits[i, torch.from_numpy(~_allowed(matchers[i], logits.shape[1]))] = -torch.inf
    if temperature <= 0:
        return [int(t) for t in logits.argmax(dim=1)]
    p = torch.softmax(logits / temperature, dim=1).double().numpy()
    goal = np.asarray(u) * p.sum(axis=1)
    return [int(np.searchsorted(np.cumsum(row), g)) for row, g in zip(p, goal, strict=True)]


def _allowed(matcher: Any, vocabulary: int) -> np.ndarray:
    """Which tokens the grammar allows next."""
    bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
    return np.unpackbits(bits, bitorder="little")[:vocabulary].astype(bool)


def _only_end(matcher: Any, end: set[int], vocabulary: int) -> bool:
    """Whether nothing but the end may follow a complete object."""
    return set(np.flatnonzero(_allowed(matcher, vocabulary)).tolist()) <= end
