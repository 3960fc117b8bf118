"""`LocalBackend`: a language model on this machine. Scores with the aligned depth, writes with all layers."""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from malles.errors import ModelError
from malles.llm.backend import Completion, Message, Scored, Usage
from malles.llm.beginnings import Beginnings, chat_tokens, repeated_tokens
from malles.llm.encoding import Encoded, collate
from malles.llm.prefix import LEAST, SharedShelf, group_by_shelf
from malles.llm.prompt import ShelfPrompt
from malles.llm.reader import Reader, ReaderSettings, choose_dtype
from malles.llm.writing import Grammar, Pace, write_replies
from malles.population.kernels import uniform

Progress = Callable[[int, int], None]

LETTERS = tuple(string.ascii_uppercase)
ASK = "\nThe customer takes option"
"""What stands between the lettered shelf and the letter."""

TOKENS_PER_BATCH = 4096
"""Prompts of similar length are read together up to so many tokens; larger batches are no faster on a CPU."""


class LocalBackend:
    """Local weights: `score` through the pointer, `complete` by the full model with the adapter off."""

    def __init__(self, reader: Reader, name: str = "") -> None:
        self.reader = reader
        self.name = name or f"hf:{reader.settings.model}"
        self.usage = Usage()
        self.pace = Pace()
        self.beginnings = Beginnings()
        self.lessons: Path | None = None
        """Folder of a model that was taught to reply."""
        self._grammar: Grammar | None = None

    @classmethod
    def untuned(cls, model: str = "smollm2") -> LocalBackend:
        """The model as it is: no adapter, an untaught pointer; for `score_letters` and `complete`."""
        return cls(Reader(ReaderSettings(model=model, tuned_layers=0, layers=1)), f"untuned:{model}")

    @classmethod
    def taught(cls, folder: Path) -> LocalBackend:
        """A model that was taught to reply (`malles distil`); for `complete`."""
        from malles.llm.taught import read_taught_facts

        model = str(read_taught_facts(folder)["settings"]["model"])
        backend = cls.untuned(model)
        backend.name, backend.lessons = f"taught:{folder.name}", folder
        return backend

    def score(self, prompts: Sequence[ShelfPrompt]) -> list[Scored]:
        """Distributions by the pointer alone, without a skip."""
        encoded = [self.reader.encoder.encode(p) for p in prompts]
        return [
            Scored(_log_softmax(v), shortened=e.shortened)
            for v, e in zip(self.utilities(encoded), encoded, strict=True)
        ]

    def utilities(
        self, encoded: Sequence[Encoded], progress: Progress | None = None, *, share: bool = True
    ) -> list[Float[ndarray, " alternative"]]:
        """V of the alternatives of every prompt.

        Prompts before the same shelf share its reading if `share`; others of like length are read together.
        """
        out: list[Any] = [None] * len(encoded)
        started, alone = process_time(), []
        done = 0

        def keep(rows: list[int], utility: torch.Tensor) -> None:
            nonlocal done
            for k, i in enumerate(rows):
                out[i] = utility[k, : len(encoded[i].end)].cpu().numpy().astype(np.float64)
            done += len(rows)
            if progress is not None:
                progress(done, len(encoded))

        for group in group_by_shelf(encoded):
            if not share or len(group) < LEAST:
                alone += group
                continue
            shelf = SharedShelf(self.reader, encoded[group[0]])
            own = [len(e) - e.shared for e in encoded]
            for rows in _blocks(sorted(group, key=own.__getitem__), own):
                keep(rows, shelf.utilities([encoded[i] for i in rows]))
        with torch.inference_mode():
            whole = [len(e) for e in encoded]
            for rows in _blocks(sorted(alone, key=whole.__getitem__), whole):
                keep(rows, self.reader.utilities(collate([encoded[i] for i in rows]))[0])
        self.usage.calls += len(encoded)
        self.usage.prompt_tokens += sum(len(e) for e in encoded)
        self.usage.seconds += process_time() - started
        return out

    @cached_property
    def writer(self) -> tuple[Any, Any]:
        """The full model, without the reader's adapter, and its tokenizer."""
        from malles.llm.loading import load_model

        if self.lessons is not None:
            from malles.llm.taught import load_taught

            return load_taught(self.lessons)

        model, tokenizer = load_model(self.reader.folder, layers=None, dtype=choose_dtype("auto"))
        return model.eval(), tokenizer

    def score_letters(self, prompts: Sequence[ShelfPrompt], rotations: int = 1) -> list[Scored]:
        """What the untuned model says when it is asked for a letter, averaged over rotations of the shelf."""
        model, tokenizer = self.writer
        letter = [_single(tokenizer, f" {name}") for name in LETTERS]
        found = []
        for prompt in prompts:
            n = len(prompt)
            if n > len(LETTERS):
                found.append(Scored(None, f"{n} alternatives, but there are {len(LETTERS)} letters"))
                continue
            total = np.zeros(n)
            for k in range(rotations):
                order = [(j + k * n // rotations) % n for j in range(n)]
                text = prompt.reorder(order).lettered(LETTERS) + ASK
                ids = torch.tensor(
                    [tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]]
                )
                with torch.inference_mode():
                    logits = model(ids, use_cache=False, logits_to_keep=1).logits[0, -1].float()
                p = torch.softmax(logits[letter[:n]], dim=0).numpy()
                total[order] += p / rotations
                self.usage.prompt_tokens += ids.shape[1]
            self.usage.calls += rotations
            found.append(Scored(np.log(np.maximum(total, 1e-12))))
        return found

    def complete(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        schema: dict[str, Any] | None = None,
    ) -> list[Completion]:
        """Replies of the full model, adapter off, in lock step; the draw of conversation i depends on
        (seed, i) alone.

        Raises:
            ModelError: the model has no chat template, or the schema cannot be turned into a grammar.
            MissingExtra: a schema is given, but llguidance is not installed.
        """
        model, tokenizer = self.writer
        if not getattr(tokenizer, "chat_template", None):
            raise ModelError(
                f"{self.name} has no chat template, so it cannot hold a conversation; take an instruct model "
                "(for example smollm2), or use it for scoring only."
            )
        context = int(getattr(model.config, "max_position_embeddings", 2048))
        asked = [chat_tokens(tokenizer, conversation) for conversation in conversations]
        again = [repeated_tokens(tokenizer, c, ids) for c, ids in zip(conversations, asked, strict=True)]
        fitting = [i for i, ids in enumerate(asked) if len(ids) + max_tokens <= context]
        matchers = None
        if schema is not None:
            if self._grammar is None:
                self._grammar = Grammar(tokenizer, int(model.config.vocab_size))
            matchers = self._grammar.matchers(schema, len(fitting))
        written = write_replies(
            model, [asked[i] for i in fitting], max_tokens=max_tokens, end=[int(tokenizer.eos_token_id)],
            decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=True).strip(),
            temperature=temperature,
            uniform=lambda k, step: float(uniform(seed, step, np.array([fitting[k]]), np.array([0]))[0]),
            matchers=matchers, pace=self.pace, again=[again[i] for i in fitting],
            beginnings=self.beginnings,
        )  # fmt: skip
        replies: list[Completion] = []
        for ids in asked:
            problem = f"{len(ids)} tokens and a reply of {max_tokens} do not fit into {context}"
            replies.append(Completion("", problem, len(ids), 0, "length"))
        for i, w in zip(fitting, written, strict=True):
            problem = "" if w.text else "the model wrote nothing"
            finish = "stop" if w.finished else "length"
            reply = Completion(w.text, problem, w.prompt_tokens, w.tokens, finish)
            replies[i] = self.usage.count(reply)
        return replies


def _blocks(order: list[int], tokens: Sequence[int]) -> Iterator[list[int]]:
    """Rows in blocks of about `TOKENS_PER_BATCH` tokens."""
    begin = 0
    while begin < len(order):
        size = max(1, TOKENS_PER_BATCH // max(tokens[order[begin]], 1))
        yield order[begin : begin + size]
        begin += size


def _log_softmax(v: Float[ndarray, " alternative"]) -> Float[ndarray, " alternative"]:
    shifted = v - v.max()
    found: ndarray = shifted - math.log(float(np.exp(shifted).sum()))
    return found


def _single(tokenizer: Any, text: str) -> int:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise ModelError(
            f"The tokenizer needs {len(ids)} tokens for {text!r}; letters cannot be scored with it."
        )
    return int(ids[0])
