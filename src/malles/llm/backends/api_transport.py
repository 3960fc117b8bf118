"""The openai client as malles wants it: no redirects, retries, proxies or netrc, short replies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
from openai import AsyncOpenAI
from pydantic import SecretStr

from malles.llm.backends.api_settings import ApiSettings
from malles.llm.backends.replies import ReplyTooLong

NO_KEY = "none"
"""What is sent to a server that needs no key; the client insists on a word."""


class _Counted(httpx2.AsyncByteStream):
    """A body that is read up to so many bytes."""

    def __init__(self, inner: httpx2.AsyncByteStream, longest: int) -> None:
        self._inner = inner
        self._longest = longest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for part in self._inner:
            seen += len(part)
            if seen > self._longest:
                raise ReplyTooLong(f"more than {self._longest:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


class _ShortReplies(httpx2.AsyncHTTPTransport):
    """The ordinary transport, with a limit on the size of replies."""

    def __init__(self, settings: ApiSettings) -> None:
        limits = httpx2.Limits(
            max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency
        )
        super().__init__(limits=limits, trust_env=False)
        self._longest = settings.longest_reply

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Counted(response.stream, self._longest)
        return response


def make_client(url: str, key: SecretStr | None, settings: ApiSettings) -> AsyncOpenAI:
    """A client for this address."""
    http = httpx2.AsyncClient(
        transport=_ShortReplies(settings),
        timeout=httpx2.Timeout(settings.timeout),
        follow_redirects=False,
        trust_env=False,
    )
    return AsyncOpenAI(
        api_key=key.get_secret_value() if key is not None else NO_KEY,
        base_url=url,
        http_client=http,
        max_retries=0,
        timeout=settings.timeout,
        default_headers={"Accept-Encoding": "identity"},
    )
