"""`ScriptedBackend`: answers by two functions. For tests and examples; nothing is learnt, nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from malles.llm.backend import Completion, Message, Scored, Usage
from malles.llm.prompt import ShelfPrompt


class ScriptedBackend:
    """A language model that is a script: equal questions get equal answers.

    Args:
        score: from a prompt to one log-probability (or utility) per alternative; they are normalised. None
            says that the model gave nothing usable.
        write: from a conversation to the reply; None says that there was no usable reply.

    >>> prompt = ShelfPrompt((), ((), ()), (), ((), ()))
    >>> np.exp(ScriptedBackend(lambda p: [np.log(3.0), 0.0]).score([prompt])[0].log_probability).round(2)
    array([0.75, 0.25])
    """

    def __init__(
        self,
        score: Callable[[ShelfPrompt], Sequence[float] | None] = lambda prompt: [0.0] * len(prompt),
        write: Callable[[Sequence[Message]], str | None] = lambda conversation: conversation[-1].content,
        *,
        name: str = "scripted",
    ) -> None:
        self._score = score
        self._write = write
        self.name = name
        self.usage = Usage()

    def score(self, prompts: Sequence[ShelfPrompt]) -> list[Scored]:
        """What the script says of every prompt."""
        found = []
        for prompt in prompts:
            said = self._score(prompt)
            self.usage.calls += 1
            if said is None:
                found.append(Scored(None, self.usage.lose("the script says nothing")))
                continue
            value = np.asarray(said, dtype=float)
            if value.shape != (len(prompt),):
                raise ValueError(f"the script gave {value.shape} values for {len(prompt)} alternatives")
            found.append(Scored(value - np.logaddexp.reduce(value)))
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
        """What the script writes; a word counts as a token, and `max_tokens` cuts."""
        found = []
        for conversation in conversations:
            text = self._write(conversation) or ""
            words = text.split()
            written, read = min(len(words), max_tokens), sum(len(m.content.split()) for m in conversation)
            if len(words) > max_tokens:
                reply = Completion(" ".join(words[:max_tokens]), "", read, written, "length")
            elif text:
                reply = Completion(text, "", read, written, "stop")
            else:
                reply = Completion("", "the script writes nothing", read)
            found.append(self.usage.count(reply))
        return found
