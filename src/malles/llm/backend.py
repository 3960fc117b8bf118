"""What a language model is to malles: something that scores the alternatives of a prompt, and that writes.

A backend has two methods. `score` returns log-probabilities over the alternatives of each prompt; `complete`
returns text. What cannot be answered comes back as a value with the reason, is counted, and is never
silently replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from malles.llm.prompt import ShelfPrompt


@dataclass(frozen=True)
class Scored:
    """A distribution over the alternatives of one prompt, or the reason why there is none."""

    log_probability: Float[ndarray, " alternative"] | None
    """Natural logarithms, normalised over the alternatives; None if the model gave nothing usable."""
    problem: str = ""
    """Why there is no distribution, in one sentence."""
    shortened: int = 0
    """Words (tokens) that the prompt was shortened by to fit the context."""


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str
    again: int = 0
    """Characters from its start that later conversations repeat after the same messages; a local model reads
    them once.
    """


@dataclass(frozen=True)
class Completion:
    """Text that a model wrote, or the reason why there is none."""

    text: str
    problem: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: str = ""
    """'stop', 'length', or what the server says."""


@dataclass
class Usage:
    """What a backend has used so far."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: int = 0
    """Answers taken from the cache."""
    unusable: int = 0
    """Replies that could not be used."""
    retries: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    """Money, in the currency of the configured prices."""
    problems: dict[str, int] = field(default_factory=dict)
    """Unusable replies by cause."""

    def lose(self, cause: str) -> str:
        """Count a reply that could not be used; returns the cause."""
        self.unusable += 1
        self.problems[cause] = self.problems.get(cause, 0) + 1
        return cause

    def count(self, reply: Completion) -> Completion:
        """Count a reply, its call and its tokens; returns it.

        >>> usage = Usage()
        >>> _ = usage.count(Completion("", "nothing was written", prompt_tokens=7))
        >>> usage.calls, usage.prompt_tokens, usage.problems
        (1, 7, {'nothing was written': 1})
        """
        self.calls += 1
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        if reply.problem:
            self.lose(reply.problem)
        return reply


@runtime_checkable
class Backend(Protocol):
    """A language model, here or behind a server."""

    @property
    def name(self) -> str:
        """What tables call it, for example 'hf:smollm2'."""
        ...

    @property
    def usage(self) -> Usage:
        """What it has used so far."""
        ...

    def score(self, prompts: Sequence[ShelfPrompt]) -> list[Scored]:
        """A distribution over the alternatives of every prompt, in the given order."""
        ...

    def complete(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        schema: dict[str, Any] | None = None,
    ) -> list[Completion]:
        """A reply to every conversation; `schema` asks for JSON of that shape where the backend can."""
        ...
