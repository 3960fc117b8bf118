"""One shelf, asked about in letters: the probe, rotations, draws, and the final of a long shelf's winners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.llm.backend import Scored
from malles.llm.backends.api_client import ApiClient, Clock, all_of, unusable_server
from malles.llm.backends.letters import (
    average_rotations,
    build_messages,
    find_winners,
    merge_parts,
    read_letter,
    read_top,
    rotate,
    smooth_counts,
    split_shelf,
)
from malles.llm.backends.rates import NOTHING, Estimate
from malles.llm.backends.replies import Cause, Reply, Unusable
from malles.llm.prompt import ShelfPrompt

Request = dict[str, Any]
Part = list[int]
"""Places of some alternatives in the prompt."""

TOPS = (20, 5)
"""Log-probabilities that are asked for: most servers list up to 20, some refuse more than 5."""
LOOKS = 3
"""Good replies without log-probabilities after which the server is taken to give none."""
LETTER_TOKENS = 3
"""Tokens of a drawn letter: some models begin with a blank."""


class ShelfAsker:
    """How shelves become calls, and replies a distribution."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self.settings = client.settings
        self.top: int | None = {"logprobs": TOPS[0], "samples": 0}.get(client.settings.answers)
        """Log-probabilities that the server lists; 0: none, letters are drawn; None: not known yet."""

    async def probe(self) -> None:
        """Find out whether the server gives log-probabilities.

        Raises:
            ModelError: the server cannot be reached, refuses the key, or does not know the model.
        """
        two = ShelfPrompt((), ((), ()), (), ((), ()))
        words = build_messages(two, longest_line=40, longest_data=400)[0]
        for top in TOPS:
            for look in range(LOOKS):
                request = self._letter_request(words, top) | {"seed": (self.settings.seed + look) % 2**31}
                clock = Clock(self.settings.deadline)
                await self.client.admit([request])
                try:
                    async with clock.running():
                        found = (await self.client.ask(request, _is_there, clock)).top
                except Unusable as problem:
                    if problem.cause is Cause.REFUSED:
                        break
                    raise unusable_server(self.client.server, problem) from None
                if found:
                    self.top = top
                    return
        self.top = 0

    def estimate(self, prompt: ShelfPrompt) -> Estimate:
        """What one prompt would take; a final is estimated from the first alternatives of the shelf."""
        found, rest = NOTHING, prompt
        while len(rest) > 1:
            parts = split_shelf(len(rest), self.settings.shortlist)
            found += self.client.estimate([r for part in parts for r in self._requests(rest, part)[0]])
            if len(parts) == 1:
                break
            rest = rest.reorder(list(range(self._winners(len(parts)) * len(parts))))
        return found

    def count_calls(self, count: int) -> int:
        """Calls of the first stage of a prompt with so many alternatives."""
        parts = split_shelf(max(count, 1), self.settings.shortlist)
        each = self.settings.samples if self.top == 0 else 1
        return sum(len(rotate(len(part), self.settings.rotations)) for part in parts) * each

    async def score(self, prompt: ShelfPrompt, prior: Float[ndarray, " alternative"] | None) -> Scored:
        """The distribution over a prompt's alternatives, or why there is none."""
        count, clock = len(prompt), Clock(self.settings.deadline)
        if count == 0:
            return Scored(None, self.client.lose(Unusable(Cause.REFUSED, "the prompt has no alternatives")))
        try:
            if prior is None or count <= self.settings.shortlist:
                value, shortened = await self._contest(prompt, list(range(count)), clock)
            else:
                known = np.maximum(prior, -1e3)
                known = known - np.logaddexp.reduce(known)
                short = find_winners(known, self.settings.shortlist)
                final, shortened = await self._contest(prompt, short, clock)
                value = merge_parts([list(range(count))], [known], [short], final)
        except Unusable as problem:
            return Scored(None, self.client.lose(problem))
        return Scored(value, shortened=shortened)

    async def _contest(self, prompt: ShelfPrompt, entrants: Part, clock: Clock) -> tuple[ndarray, int]:
        """Log-probabilities among some alternatives of a prompt, in their order, and words left out."""
        if len(entrants) == 1:
            return np.zeros(1), 0
        places = split_shelf(len(entrants), self.settings.shortlist)
        parts = [[entrants[i] for i in part] for part in places]
        scores, shortened = await self._stage(prompt, parts, clock)
        if len(parts) == 1:
            return scores[0], shortened
        won = [find_winners(score, self._winners(len(parts))) for score in scores]
        finalists = [part[i] for part, w in zip(parts, won, strict=True) for i in w]
        final, more = await self._contest(prompt, finalists, clock)
        return merge_parts(places, scores, won, final), max(shortened, more)

    def _winners(self, parts: int) -> int:
        """How many of each part meet in the final."""
        return max(1, self.settings.shortlist // parts)

    async def _stage(self, prompt: ShelfPrompt, parts: list[Part], clock: Clock) -> tuple[list[ndarray], int]:
        """A distribution within every part of a shelf, and words left out; all calls go at once."""
        asked = [self._requests(prompt, part) for part in parts]
        await self.client.admit([request for requests, _, _ in asked for request in requests])
        async with clock.running():
            read = self._count_draws if self.top == 0 else self._read_logprobs
            scores = await all_of([read(requests, orders, clock) for requests, orders, _ in asked])
        return scores, max(left_out for _, _, left_out in asked)

    async def _read_logprobs(
        self, requests: list[Request], orders: list[list[int]], clock: Clock
    ) -> Float[ndarray, " alternative"]:
        check = _lists_letters(len(orders[0]))
        replies = await all_of([self.client.ask(request, check, clock) for request in requests])
        return average_rotations(orders, [check(reply) for reply in replies])

    async def _count_draws(
        self, requests: list[Request], orders: list[list[int]], clock: Clock
    ) -> Float[ndarray, " alternative"]:
        count = len(orders[0])
        drawn = await all_of([self._draw(request, count, clock) for request in requests])
        counts = np.zeros(count)
        for i, place in enumerate(drawn):
            if place is not None:
                counts[orders[i // self.settings.samples][place]] += 1
        if 2 * counts.sum() < len(requests):
            raise Unusable(Cause.LETTER, f"{counts.sum():.0f} of {len(requests)} draws were letters")
        return smooth_counts(counts, self.settings.smoothing)

    async def _draw(self, request: Request, count: int, clock: Clock) -> int | None:
        """One drawn letter, from 0.

        A draw that is no offered letter is drawn anew: that is the same as renormalising over the letters.
        """
        for again in range(self.settings.retries + 1):
            seed = (request["seed"] + again * 7_919) % 2**31
            reply = await self.client.ask({**request, "seed": seed}, _is_there, clock)
            try:
                return read_letter(reply.text, count)
            except Unusable as problem:
                clock.last = str(problem)
                self.client.mended[problem.cause] += 1
        return None

    def _requests(self, prompt: ShelfPrompt, part: Part) -> tuple[list[Request], list[list[int]], int]:
        """The calls about some alternatives, the orders they are in, and the words left out of a prompt."""
        s = self.settings
        orders = rotate(len(part), s.rotations)
        requests: list[Request] = []
        left_out = 0
        for order in orders:
            words, short = build_messages(
                prompt.reorder([part[j] for j in order]),
                longest_line=s.longest_line,
                longest_data=s.longest_data,
            )
            left_out = max(left_out, short)
            if self.top == 0:
                requests += [self._draw_request(words, draw) for draw in range(s.samples)]
            else:
                requests.append(self._letter_request(words, self.top or TOPS[0]))
        return requests, orders, left_out

    def _letter_request(self, messages: list[dict[str, str]], top: int) -> Request:
        """Temperature 1: a server that applies it first then still reports the model's own distribution."""
        return {
            "model": self.settings.model,
            "messages": messages,
            "max_tokens": 1,
            "temperature": 1.0,
            "seed": self.settings.seed,
            "logprobs": True,
            "top_logprobs": top,
        }

    def _draw_request(self, messages: list[dict[str, str]], draw: int) -> Request:
        return {
            "model": self.settings.model,
            "messages": messages,
            "max_tokens": LETTER_TOKENS,
            "temperature": 1.0,
            "seed": (self.settings.seed * 1_000_003 + draw) % 2**31,
        }


def _lists_letters(count: int) -> Callable[[Reply], Float[ndarray, " alternative"]]:
    def read(reply: Reply) -> Float[ndarray, " alternative"]:
        return read_top(reply.top, count)

    return read


def _is_there(reply: Reply) -> None:
    if not reply.text.strip() and not reply.top:
        raise Unusable(Cause.EMPTY, "the reply has no text")
