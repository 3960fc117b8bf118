"""What a server sent, read with distrust: a usable reply, or the cause why it is none.

Servers (and what stands before them) answer 200 with a web page, with JSON of another shape, with no
choices or no text. The bytes are read here, not by the client library, which lets much of this pass.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Why a reply could not be used; the names that tables count by."""

    RATE = "rate limited"
    SERVER = "server error"
    REFUSED = "request refused"
    CONNECTION = "no connection"
    TIMEOUT = "no answer in time"
    CUT = "connection broken"
    LONG = "reply too long"
    JSON = "not JSON"
    SHAPE = "JSON of another shape"
    EMPTY = "no text"
    LOGPROBS = "no log-probabilities"
    LETTER = "letter not offered"
    SCHEMA = "not the JSON asked for"
    DEADLINE = "deadline"


class Unusable(Exception):  # noqa: N818  (a value on its way to `Scored.problem`, not an error)
    """A reply that cannot be used."""

    def __init__(self, cause: Cause, detail: str, *, again: bool = True, after: float | None = None) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.again = again
        """Whether another try may help."""
        self.after = after
        """Seconds the server asks to wait."""


class ReplyTooLong(Exception):  # noqa: N818  (becomes an `Unusable`)
    """More bytes than `longest_reply`; the rest was not read."""


@dataclass(frozen=True)
class Reply:
    """A chat completion that has the shape of one."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    top: tuple[tuple[str, float], ...] = ()
    """The likeliest first tokens and their log-probabilities; empty if the server gave none."""

    def as_json(self) -> dict[str, Any]:
        """For the cache."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Reply | None:
        """What `as_json` wrote; None if it is something else."""
        try:
            return cls(**{**kept, "top": tuple((str(t), float(p)) for t, p in kept["top"])})
        except (KeyError, TypeError, ValueError):
            return None


def read_reply(body: bytes) -> Reply:
    """Read the body of an answer with status 200.

    Raises:
        Unusable: it is no chat completion.

    >>> read_reply(b'{"choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]}').text
    'A'
    >>> read_reply(b"<html>busy</html>")
    Traceback (most recent call last):
    malles.llm.backends.replies.Unusable: not JSON: begins with '<html>busy</html>'
    """
    try:
        read = json.loads(body, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Unusable(
            Cause.JSON, f"begins with {body[:40].decode('utf-8', 'replace')!r}" if body else "is empty"
        ) from None
    choices = read.get("choices") if isinstance(read, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Unusable(Cause.SHAPE, "there are no choices in it")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Unusable(Cause.SHAPE, "its choice has no message")
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        raise Unusable(Cause.SHAPE, "the content of its message is no text")
    usage = read.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Reply(
        text or "",
        finish if isinstance(finish := choice.get("finish_reason"), str) else "",
        _count(counts.get("prompt_tokens")),
        _count(counts.get("completion_tokens")),
        _read_top(choice.get("logprobs")),
    )


def _read_top(logprobs: object) -> tuple[tuple[str, float], ...]:
    """The list of the first token; () if there is none, or if a number in it is no log-probability."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    listed = first.get("top_logprobs") if isinstance(first, dict) else None
    found = []
    for entry in listed if isinstance(listed, list) else []:
        token, value = (entry.get("token"), entry.get("logprob")) if isinstance(entry, dict) else (None, None)
        if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
            return ()
        if math.isnan(value) or value > 1e-4:
            return ()
        found.append((token, min(float(value), 0.0)))
    return tuple(found)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40 else 0


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
