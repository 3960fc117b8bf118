"""`ApiBackend`: any server that speaks chat completions (vLLM, llama.cpp, Ollama, hosted).

    ShelfPrompt → rotations → lettered messages → one token → log P per letter → average → Scored
                  a shelf longer than the shortlist: parts first, then a final of their winners

Where the server gives no log-probabilities (found out at the start), letters are drawn instead and counted.
Every reply is checked; what stays unusable is a value with its cause, counted, never replaced.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from jaxtyping import Float
from numpy import ndarray

from malles.errors import ModelError
from malles.llm.backend import Completion, Message, Scored, Usage
from malles.llm.backends.answer_cache import AnswerCache
from malles.llm.backends.api_client import ApiClient, Clock, all_of
from malles.llm.backends.api_settings import ApiSettings
from malles.llm.backends.rates import NOTHING, Estimate
from malles.llm.backends.replies import Cause, Reply, Unusable
from malles.llm.backends.shelf_asking import Request, ShelfAsker
from malles.llm.prompt import ShelfPrompt

R = TypeVar("R")
JUDGED = 20
"""Prompts before the share of unusable ones is judged."""


class ApiBackend:
    """A language model behind a server.

    Args:
        settings: which server and how it is asked; the key is read now, from the environment or its file.
        cache: a SQLite file of answers, shared by runs; None keeps none.

    Raises:
        ConfigError: the address is refused or the key file cannot be read.
        MissingExtra: the package openai is not installed.
    """

    def __init__(self, settings: ApiSettings, *, cache: Path | None = None) -> None:
        self.settings = settings
        self._cache = AnswerCache(cache) if cache is not None else None
        self._client = ApiClient(settings, self._cache)
        self._asker = ShelfAsker(self._client)
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ApiBackend({self.name!r} at {self._client.server!r})"

    def close(self) -> None:
        """Close connections and the cache."""
        self._client.close()
        if self._cache is not None:
            self._cache.close()

    @property
    def name(self) -> str:
        """What tables call it, for example 'api:qwen3'."""
        return f"api:{self.settings.model}"

    @property
    def usage(self) -> Usage:
        """What it has used so far; `unusable` and `problems` count prompts that stayed without an answer."""
        return self._client.usage

    @property
    def mended(self) -> Counter[str]:
        """Unusable replies that a further try made good, by cause."""
        return self._client.mended

    @property
    def reads(self) -> str:
        """'logprobs', 'samples', or 'unknown' before the server was asked."""
        return {None: "unknown", 0: "samples"}.get(self._asker.top, "logprobs")

    # ---- beforehand ----

    def probe(self) -> str:
        """Ask the server whether it gives log-probabilities: 'logprobs' or 'samples'.

        Some servers refuse the field, others silently drop it; both fall back to samples.

        Raises:
            ModelError: the server cannot be reached, refuses the key, or does not know the model.
        """
        self._client.run(self._asker.probe())
        return self.reads

    def estimate(self, prompts: Sequence[ShelfPrompt]) -> Estimate:
        """Calls, tokens and money that scoring these prompts would take, without retries; asks nothing.

        Tokens are estimated from characters (three to a token).
        """
        return sum((self._asker.estimate(prompt) for prompt in prompts), NOTHING)

    # ---- scoring ----

    def score(
        self,
        prompts: Sequence[ShelfPrompt],
        *,
        priors: Sequence[Float[ndarray, " alternative"] | None] | None = None,
    ) -> list[Scored]:
        """A distribution over the alternatives of every prompt, in the given order.

        Args:
            prompts: any number of alternatives each; one needs no call.
            priors: log-probabilities known beforehand, for shelves longer than the shortlist: the
                likeliest are asked about, the others keep what the prior gives them. Without one, parts of
                the shelf are asked about in turn, and their winners meet.

        Raises:
            ModelError: the server cannot be used, or too many prompts stay without an answer.
            UsageError: it would take more than the budget; nothing was asked.
        """
        if priors is not None and len(priors) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts but {len(priors)} priors")
        self._client.check_budget(self.estimate(prompts), f"Scoring {len(prompts):,} prompts")
        if self._asker.top is None and prompts:
            self.probe()
            self._client.check_budget(self.estimate(prompts), f"Scoring {len(prompts):,} prompts")
        known = priors if priors is not None else [None] * len(prompts)
        calls = max((self._asker.count_calls(len(p)) for p in prompts), default=1)
        work = [lambda p=p, k=k: self._asker.score(p, k) for p, k in zip(prompts, known, strict=True)]
        return self._all(work, together=-(-self.settings.concurrency // calls))

    # ---- writing ----

    def complete(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        schema: dict[str, Any] | None = None,
    ) -> list[Completion]:
        """A reply to every conversation; the draw of conversation i depends on (seed, i) alone.

        With a schema the server is asked for JSON of that shape, and a reply that is no JSON object, or
        lacks a required name, is asked for again.

        Raises:
            ModelError: the server cannot be used, or too many conversations stay without a reply.
            UsageError: it would take more than the budget; nothing was asked.
        """
        requests = []
        for i, conversation in enumerate(conversations):
            request: Request = {
                "model": self.settings.model,
                "messages": [{"role": m.role, "content": m.content} for m in conversation],
                "max_tokens": max_tokens,
                "temperature": temperature,
                "seed": (seed * 1_000_003 + i) % 2**31 if temperature > 0 else seed % 2**31,
            }
            if schema is not None:
                named = {"name": "reply", "schema": schema, "strict": True}
                request["response_format"] = {"type": "json_schema", "json_schema": named}
            requests.append(request)
        self._client.check_budget(self._client.estimate(requests), f"Writing {len(requests):,} replies")
        work = [lambda r=r: self._complete_one(r, schema) for r in requests]
        return self._all(work, together=self.settings.concurrency)

    async def _complete_one(self, request: Request, schema: dict[str, Any] | None) -> Completion:
        clock = Clock(self.settings.deadline)
        await self._client.admit([request])
        try:
            async with clock.running():
                reply = await self._client.ask(request, lambda r: _check_text(r, schema), clock)
        except Unusable as problem:
            return Completion("", self._client.lose(problem))
        return Completion(reply.text, "", reply.prompt_tokens, reply.completion_tokens, reply.finish)

    # ---- many at once ----

    def _all(self, work: Sequence[Callable[[], Coroutine[Any, Any, R]]], *, together: int) -> list[R]:
        """Everything, a few prompts at a time; stops as soon as too many are lost."""
        started = time.monotonic()
        self._asked += len(work)
        queue = iter(enumerate(work))
        found: dict[int, R] = {}

        async def worker() -> None:
            for i, make in queue:
                found[i] = await make()
                self._judge()

        async def everything() -> None:
            await all_of([worker() for _ in range(min(together, len(work)))])

        try:
            self._client.run(everything())
        finally:
            self.usage.seconds += time.monotonic() - started
        return [found[i] for i in range(len(work))]

    def _judge(self) -> None:
        lost, share = self.usage.unusable, self.settings.unusable_share
        if self._asked >= JUDGED and lost > share * self._asked:
            causes = ", ".join(f"{n} {cause}" for cause, n in sorted(self.usage.problems.items()))
            raise ModelError(
                f"{self.name}: {lost} of {self._asked} prompts stayed without a usable answer ({causes}), "
                f"more than the {share:.0%} that unusable_share allows. Mend the server or raise it; "
                "usable answers are kept where a cache was given."
            )


def _check_text(reply: Reply, schema: dict[str, Any] | None) -> None:
    if not reply.text.strip():
        raise Unusable(Cause.EMPTY, "the reply has no text")
    if schema is None:
        return
    try:
        read = json.loads(reply.text)
    except (ValueError, RecursionError):
        raise Unusable(Cause.SCHEMA, f"{reply.text[:40]!r} is not JSON (finish: {reply.finish})") from None
    missing = [n for n in schema.get("required", ()) if not (isinstance(read, dict) and n in read)]
    if missing or (schema.get("type") == "object" and not isinstance(read, dict)):
        raise Unusable(Cause.SCHEMA, f"the JSON lacks {', '.join(map(repr, missing)) or 'its object'}")
