"""Calls to one server: a loop of their own, rates, retries, a check of every reply, and what it all took.

The `openai` package carries the requests; retries, the validity check and the deadline are ours, because the
package returns pages and foreign JSON as if they were answers, its time limit starts anew with every byte.
"""

from __future__ import annotations

import asyncio
import email.utils
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from malles.errors import ConfigError, MissingExtra, ModelError
from malles.llm.backend import Usage
from malles.llm.backends.address import check_resolved, check_url
from malles.llm.backends.answer_cache import AnswerCache, answer_key
from malles.llm.backends.api_settings import KEY_VARIABLE, ApiSettings
from malles.llm.backends.rates import Bucket, Budget, Estimate, estimate_tokens
from malles.llm.backends.replies import Cause, Reply, ReplyTooLong, Unusable, read_reply

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

T = TypeVar("T")
Check = Callable[[Reply], object]
"""Raises `Unusable` if the reply does not answer the question."""

LONGEST_WAIT = 8.0
"""Seconds between two tries at most, unless the server asks for more."""


class Clock:
    """The deadline of one prompt; it runs only inside `running`."""

    def __init__(self, seconds: float) -> None:
        self.total = self.left = seconds
        self.last = ""
        """The last problem, for the sentence."""
        self._ends = 0.0

    def remaining(self) -> float:
        """Seconds until the work is cut."""
        return self._ends - time.monotonic()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Cut what stands inside when the time is up; raises `Unusable`."""
        began = time.monotonic()
        self._ends = began + self.left
        try:
            async with asyncio.timeout(self.left):
                yield
        except TimeoutError:
            last = f"; last problem: {self.last}" if self.last else ""
            raise Unusable(Cause.DEADLINE, f"nothing usable within {self.total:g} s{last}") from None
        finally:
            self.left -= time.monotonic() - began


class ApiClient:
    """One server and everything that is counted about it. Its methods run in a loop of their own thread."""

    def __init__(self, settings: ApiSettings, cache: AnswerCache | None) -> None:
        try:
            import httpx2  # noqa: F401
            import openai  # noqa: F401
        except ImportError:
            raise MissingExtra("asking a model server", "openai", "api") from None
        self.settings = settings
        self.url = check_url(settings.url())
        self.server = urlsplit(self.url).netloc.lower() + urlsplit(self.url).path
        self.cache = cache
        self.usage = Usage()
        self.mended: Counter[str] = Counter()
        """Unusable replies that a further try made good, by cause."""
        self._key = settings.key()
        self._budget = Budget(settings.budget_tokens, settings.budget_money)
        self._under_way = 0
        self._reached = False
        """Whether the server ever answered; until then a refused connection is tried once more only."""
        self._client: AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._starting = threading.Lock()

    # ---- the loop ----

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do asynchronous work from ordinary code, also where another loop is running (a notebook)."""
        with self._starting:
            if self._loop is None or self._pid != os.getpid():
                self._loop, self._pid, self._client = asyncio.new_event_loop(), os.getpid(), None
                self._requests = Bucket(self.settings.requests_per_minute)
                self._tokens = Bucket(self.settings.tokens_per_minute)
                self._slots = asyncio.Semaphore(self.settings.concurrency)
                threading.Thread(target=_turn, args=(self._loop,), name="malles-api", daemon=True).start()
                weakref.finalize(self, _stop, self._loop)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # the user's Ctrl-C too: what is under way is given up
            future.cancel()
            raise

    def close(self) -> None:
        """Close connections and the loop."""
        if self._loop is not None and self._pid == os.getpid():
            if self._client is not None:
                self.run(self._client.close())
            _stop(self._loop)
        self._loop = self._client = None

    # ---- what it may and did take ----

    def price(self, calls: int, prompt_tokens: int, completion_tokens: int) -> Estimate:
        """An amount of work with its money."""
        s = self.settings
        money = (prompt_tokens * s.prompt_price + completion_tokens * s.completion_price) / 1e6
        return Estimate(calls, prompt_tokens, completion_tokens, money)

    def estimate(self, requests: Sequence[dict[str, Any]]) -> Estimate:
        """What these calls would take; what the cache knows is free."""
        new = [r for r in requests if not self._is_kept(r)]
        prompt = sum(estimate_tokens(r["messages"]) for r in new)
        found = self.price(len(new), prompt, sum(int(r["max_tokens"]) for r in new))
        return Estimate(found.calls, prompt, found.completion_tokens, found.money, len(requests) - len(new))

    def check_budget(self, more: Estimate, what: str) -> None:
        """Refuse work above the budget.

        Raises:
            UsageError: with what it would take, before anything is asked.
        """
        self._budget.check(self._used(), more, what)

    def _used(self) -> Estimate:
        u = self.usage
        return Estimate(u.calls, u.prompt_tokens, u.completion_tokens, u.cost)

    def _is_kept(self, request: dict[str, Any]) -> bool:
        return self.cache is not None and self.cache.get(answer_key(self.server, request)) is not None

    def lose(self, problem: Unusable) -> str:
        """Count a prompt that stays without an answer; returns the sentence."""
        self.usage.lose(problem.cause)
        return str(problem)

    # ---- asking ----

    async def admit(self, requests: Sequence[dict[str, Any]]) -> None:
        """Wait until the rate limits let these calls through."""
        more = self.estimate(requests)
        await self._requests.take(more.calls)
        await self._tokens.take(more.tokens)

    async def ask(self, request: dict[str, Any], check: Check, clock: Clock) -> Reply:
        """One question: from the cache, or from the server with further tries until a reply passes `check`.

        Raises:
            Unusable: no try gave anything usable.
            ModelError: no try can: wrong key, unknown model, a redirect.
        """
        key = answer_key(self.server, request)
        if self.cache is not None and (kept := self.cache.get(key)) is not None:
            reply = Reply.from_json(kept)
            if reply is not None:
                check(reply)
                self.usage.cached += 1
                return reply
        failed: Counter[str] = Counter()
        tries = 0
        while True:
            try:
                reply = await self._try(request)
                check(reply)
            except Unusable as problem:
                clock.last = str(problem)
                delay = _delay(problem, tries, self.settings.wait)
                if problem.cause is Cause.CONNECTION and not self._reached and tries:
                    raise unusable_server(self.server, problem) from None
                if not problem.again or tries >= self.settings.retries:
                    raise
                if delay >= clock.remaining():
                    raise Unusable(
                        problem.cause, f"the next try would be in {delay:.3g} s, after the deadline"
                    ) from problem
                failed[problem.cause] += 1
                tries += 1
                self.usage.retries += 1
                await asyncio.sleep(delay)
                await self.admit([request])
                continue
            self.mended += failed
            if self.cache is not None:
                await asyncio.to_thread(self.cache.put, key, reply.as_json())
            return reply

    async def _try(self, request: dict[str, Any]) -> Reply:
        async with self._slots:
            guess = estimate_tokens(request["messages"])
            expected = self.price(1, guess, int(request["max_tokens"]))
            pending = self.price(self._under_way, self._under_way * guess, 0)
            self._budget.check(self._used(), expected + pending, "Going on")
            self.usage.calls += 1
            self._under_way += 1
            try:
                async with asyncio.timeout(self.settings.timeout):
                    body = await self._post(request)
            except TimeoutError:
                raise Unusable(Cause.TIMEOUT, f"nothing whole within {self.settings.timeout:g} s") from None
            finally:
                self._under_way -= 1
        try:
            reply = read_reply(body)
        except Unusable:
            self._spend(guess, 0)  # it was worked for, whatever it is
            raise
        self._spend(reply.prompt_tokens or guess, reply.completion_tokens or estimate_words(reply.text))
        return reply

    def _spend(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.usage.prompt_tokens += prompt_tokens
        self.usage.completion_tokens += completion_tokens
        self.usage.cost += self.price(1, prompt_tokens, completion_tokens).money

    async def _post(self, request: dict[str, Any]) -> bytes:
        import httpx2
        import openai

        client = await self._open()
        try:
            raw = await client.chat.completions.with_raw_response.create(**request)
            self._reached = True
            return bytes(raw.content)
        except openai.APITimeoutError:
            raise Unusable(Cause.TIMEOUT, "the connection was silent") from None
        except openai.APIStatusError as problem:
            self._reached = True
            raise self._read_status(problem) from None
        except (openai.APIConnectionError, httpx2.HTTPError, ReplyTooLong) as problem:
            raise _read_break(problem) from None
        except openai.OpenAIError as problem:
            raise Unusable(Cause.SHAPE, self._scrub(str(problem))) from None

    async def _open(self) -> AsyncOpenAI:
        """The client, after the name of the server was looked up and found to be allowed."""
        if self._client is None:
            from malles.llm.backends.api_transport import make_client

            await self._look_up()
            if self._client is None:
                self._client = make_client(self.url, self._key, self.settings)
        return self._client

    async def _look_up(self) -> None:
        host, port = urlsplit(self.url).hostname or "", urlsplit(self.url).port or 0
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port)
        except (OSError, UnicodeError) as problem:
            raise ModelError(
                f"The model server's name {host!r} cannot be found ({problem}); "
                "check base_url and the network."
            ) from None
        check_resolved(self.url, [str(entry[4][0]) for entry in found], with_key=self._key is not None)

    def _read_status(self, problem: APIStatusError) -> Unusable | ModelError:
        """What a status other than 200 means: worth another try, a refusal of this prompt, or the end."""
        status, said = problem.status_code, self._scrub(_said(problem))
        if status == 429 and "insufficient_quota" not in said:
            return Unusable(Cause.RATE, said or "status 429", after=_retry_after(problem.response.headers))
        if status in (408, 409) or status >= 500:
            after = _retry_after(problem.response.headers)
            return Unusable(Cause.SERVER, f"status {status}", after=after)
        if status in (401, 403, 429):
            return ModelError(
                f"The model server {self.server} refused the key or the account (status {status}: {said}); "
                f"check ${KEY_VARIABLE} or key_file."
            )
        if status == 404:
            return ModelError(
                f"The model server {self.server} knows no model {self.settings.model!r} under this address "
                f"(status 404: {said}); check `model`, and that base_url ends where "
                "/chat/completions follows (often in /v1)."
            )
        if status < 400:
            return ModelError(
                f"The model server {self.server} redirects elsewhere (status {status}); redirects are not "
                "followed, name the final address as base_url."
            )
        return Unusable(Cause.REFUSED, f"status {status}: {said}", again=False)

    def _scrub(self, text: str) -> str:
        secret = self._key.get_secret_value() if self._key is not None else ""
        if secret:
            text = text.replace(secret, "[key]")
        return " ".join(text.split())[:200]


def estimate_words(text: str) -> int:
    """Tokens of a reply whose server does not say."""
    return -(-len(text.encode()) // 3)


async def all_of(work: Sequence[Awaitable[T]]) -> list[T]:
    """Results in order; the first failure cancels the rest and is raised as it is."""
    tasks = [asyncio.ensure_future(w) for w in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def unusable_server(server: str, problem: Unusable) -> ModelError:
    """The sentence for a server that gives nothing usable at the start."""
    return ModelError(
        f"The model server {server} cannot be used ({problem}); start it, or set base_url ([api] base_url "
        "in a configuration, else $OPENAI_BASE_URL) to where it listens."
    )


def _read_break(problem: BaseException) -> Unusable:
    import httpx2

    seen: BaseException | None = problem
    while seen is not None:
        if isinstance(seen, ReplyTooLong):
            return Unusable(Cause.LONG, str(seen))
        if isinstance(seen, ConfigError | ModelError):
            raise seen
        if isinstance(seen, httpx2.ConnectError):
            return Unusable(Cause.CONNECTION, f"{seen}" or "it was refused")
        seen = seen.__cause__ or seen.__context__
    return Unusable(Cause.CUT, "the reply ended before it was whole")


def _said(problem: APIStatusError) -> str:
    body = problem.body
    inner = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inner, dict):
        return f"{inner.get('message', '')} {inner.get('code') or ''}".strip()
    return inner if isinstance(inner, str) else ""


def _retry_after(headers: Any) -> float | None:
    """Seconds from Retry-After: a number or a date."""
    text = headers.get("retry-after")
    if not text:
        return None
    with suppress(ValueError, OverflowError):
        return max(0.0, float(text))
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


def _delay(problem: Unusable, tries: int, wait: float) -> float:
    if problem.after is not None:
        return problem.after
    return min(wait * 2.0 ** min(tries, 16), LONGEST_WAIT)


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):  # closed already
        loop.call_soon_threadsafe(loop.stop)
