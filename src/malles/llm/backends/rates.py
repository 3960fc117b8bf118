"""How fast and for how much: a bucket of requests and tokens per minute, a budget, an estimate beforehand."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from malles.errors import UsageError

CHARACTERS_PER_TOKEN = 3.0
"""Of English and numbers; on the safe side (most tokenizers have 3.5 to 4.5)."""
TOKENS_PER_MESSAGE = 8
"""What chat templates add around a message."""


@dataclass(frozen=True)
class Estimate:
    """What an amount of work would take, without retries."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    money: float
    """In the currency of the configured prices; 0 where there are none."""
    cached: int = 0
    """Calls that the cache answers; not among `calls`."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.money + other.money,
            self.cached + other.cached,
        )

    @property
    def tokens(self) -> int:
        """Tokens of prompts and replies."""
        return self.prompt_tokens + self.completion_tokens


NOTHING = Estimate(0, 0, 0, 0.0)


def estimate_tokens(messages: list[dict[str, str]]) -> int:
    """Tokens of a prompt by its characters.

    >>> estimate_tokens([{"role": "user", "content": "x" * 300}])
    108
    """
    return sum(
        TOKENS_PER_MESSAGE + -int(-len(m["content"].encode()) // CHARACTERS_PER_TOKEN) for m in messages
    )


@dataclass(frozen=True)
class Budget:
    """Tokens and money at most; 0 is no limit."""

    tokens: int
    money: float

    def check(self, used: Estimate, more: Estimate, what: str) -> None:
        """Refuse work that would go over.

        Raises:
            UsageError: used and more together are above the budget.
        """
        if self.tokens and used.tokens + more.tokens > self.tokens:
            raise UsageError(
                f"{what} would take about {more.tokens:,} tokens ({more.calls:,} calls); with "
                f"{used.tokens:,} used so far that is above the budget of {self.tokens:,}. "
                "Ask less or raise budget_tokens."
            )
        if self.money and used.money + more.money > self.money:
            raise UsageError(
                f"{what} would cost about {more.money:.4g} ({more.calls:,} calls); with "
                f"{used.money:.4g} spent so far that is above the budget of {self.money:.4g}. "
                "Ask less or raise budget_money."
            )


class Bucket:
    """Lets through an amount per minute; a full bucket holds a sixth of it (ten seconds), at least one.

    An amount above what the bucket holds is let through when it is full, and paid back afterwards.
    """

    def __init__(self, per_minute: float) -> None:
        self.rate = per_minute / 60.0
        self.room = max(1.0, per_minute / 6.0)
        self.level = self.room
        self.seen = time.monotonic()
        self._turn = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait until the amount may go; first come, first served."""
        if self.rate <= 0 or amount <= 0:
            return
        async with self._turn:
            while (missing := min(amount, self.room) - self._fill()) > 1e-9:
                await asyncio.sleep(missing / self.rate)
            self.level -= amount

    def _fill(self) -> float:
        now = time.monotonic()
        self.level = min(self.room, self.level + (now - self.seen) * self.rate)
        self.seen = now
        return self.level
