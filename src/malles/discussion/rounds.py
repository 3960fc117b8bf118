"""Discussions in lock step: every open case takes the same turn at once, so that turns batch.

    round 1: manufacturer, service, dealer      each reads what was said before it
    ...      until all propose the same (units within 5 %), or the round limit, or the budget
    decision: the last proposal of the role that decides, held within the limits

A reply that cannot be read gets one repair round; if that fails too the role has no turn in this round, which
is counted. A role that decides and never had a readable turn decides nothing: nothing is ordered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from malles.discussion.case import NOTHING, Case, Decision, enforce_limits
from malles.discussion.roles import Role, check_roles
from malles.discussion.turn import Turn, Unreadable, read_turn, turn_schema
from malles.discussion.wording import Said, build_conversation, build_repair
from malles.llm.backend import Backend, Message

AGREE = 0.05
"""Units that differ by less are the same proposal."""
CHARACTERS = 3.0
"""Characters per token, for the estimate before a call: English text has four, numbers two."""


class End(Enum):
    """How a discussion ended; the value is the text for a person."""

    AGREED = "agreed: all roles propose the same"
    ROUNDS = "the round limit was reached without agreement"
    BUDGET = "the budget of tokens was used up; the decision rests on the turns before"
    UNREADABLE = "the role that decides never gave a readable turn; nothing is ordered"


@dataclass(frozen=True)
class DiscussionSettings:
    """How a discussion is held."""

    rounds: int = 4
    turn_tokens: int = 48
    temperature: float = 0.0
    seed: int = 0
    recent: int = 3
    """Earlier turns that a role reads."""
    tokens: int = 0
    """Tokens at most for all cases together; 0 = no limit."""
    agree: bool = True
    """Whether agreement ends a discussion early."""
    batch: int = 16
    """Conversations handed to the backend at once."""


@dataclass(frozen=True)
class Exchange:
    """One question to the model and what became of it."""

    case: str
    round: int
    role: str
    question: str
    """Digest of what the model read."""
    reply: str
    problem: str
    """Why the reply is no turn; '' if it is one."""
    repair: bool
    prompt_tokens: int
    reply_tokens: int


@dataclass
class Discussion:
    """One case: what was said, and the decision after every round."""

    case: Case
    said: list[tuple[int, str, Turn]] = field(default_factory=list)
    """(Round, role, turn), in order."""
    decisions: list[Decision] = field(default_factory=list)
    """After each round; the last one holds."""
    end: End | None = None
    unreadable: int = 0
    repaired: int = 0

    @property
    def decision(self) -> Decision:
        """What is ordered."""
        return self.decisions[-1] if self.decisions else NOTHING


Listen = Callable[[Exchange], None]


def discuss(
    cases: Sequence[Case],
    roles: Sequence[Role],
    backend: Backend,
    settings: DiscussionSettings | None = None,
    *,
    listen: Listen = lambda exchange: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Discussion]:
    """Discuss every case, all in lock step.

    Args:
        cases: purchases; ids differ.
        roles: who speaks, in this order; exactly one decides.
        backend: writes the turns.
        settings: rounds, tokens, temperature.
        listen: told every exchange, in the order of a transcript.
        progress: told (turns asked, turns at most).

    Raises:
        ConfigError: the roles cannot hold a discussion, or one of them sees nothing of a case.
    """
    settings = settings or DiscussionSettings()
    roles = check_roles(roles)
    decider = next(role for role in roles if role.decides)
    for case in cases:
        for role in roles:
            role.facts(case)
    talks = [Discussion(case) for case in cases]
    used, asked = 0, 0
    total = settings.rounds * len(roles) * len(cases)
    for r in range(1, settings.rounds + 1):
        for role in roles:
            open_ = [talk for talk in talks if talk.end is None]
            for begin in range(0, len(open_), settings.batch):
                part = open_[begin : begin + settings.batch]
                if settings.tokens:
                    need = _estimate([_ask(t, role, settings) for t in part], settings.turn_tokens)
                    if used + need > settings.tokens:
                        for talk in part:
                            talk.end = End.BUDGET
                        continue
                used += _take_turn(part, role, r, backend, settings, listen)
                asked += len(part)
                progress(asked, total)
        for talk in talks:
            if talk.end is None or (talk.end is End.BUDGET and len(talk.decisions) < r):
                talk.decisions.append(_decide(talk, decider))
            if talk.end is None and settings.agree and _agreed(talk, roles, r):
                talk.end = End.AGREED
        if all(talk.end is not None for talk in talks):
            break
    for talk in talks:
        if not any(name == decider.name for _, name, _ in talk.said):
            talk.end = End.UNREADABLE
        elif talk.end is None:
            talk.end = End.ROUNDS
    return talks


def digest_of(conversation: Sequence[Message]) -> str:
    """What a conversation is known by in a transcript."""
    text = "\0".join(f"{m.role}\0{m.content}" for m in conversation)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _ask(talk: Discussion, role: Role, settings: DiscussionSettings) -> list[Message]:
    said: list[Said] = [(name, turn) for _, name, turn in talk.said]
    return build_conversation(talk.case, role, said, recent=settings.recent)


def _take_turn(
    part: Sequence[Discussion],
    role: Role,
    r: int,
    backend: Backend,
    settings: DiscussionSettings,
    listen: Listen,
) -> int:
    """One turn of one role in every case of the batch; returns the tokens it took."""
    asked = [_ask(talk, role, settings) for talk in part]
    used, waiting = 0, list(range(len(part)))
    replies = [""] * len(part)
    problems = [""] * len(part)
    for repair in (False, True):
        if not waiting:
            break
        questions = [build_repair(asked[i], replies[i], problems[i]) if repair else asked[i] for i in waiting]
        seed = settings.seed * 1_000 + r * 10 + int(repair)
        answers = _complete(backend, questions, [part[i].case for i in waiting], role, settings, seed)
        left = []
        for i, asked_now, answer in zip(waiting, questions, answers, strict=True):
            talk, digest = part[i], digest_of(asked_now)
            text, problem, read, wrote = answer
            found = Unreadable(problem) if problem else read_turn(text, talk.case, role)
            said = found.problem if isinstance(found, Unreadable) else ""
            listen(Exchange(talk.case.id, r, role.name, digest, text, said, repair, read, wrote))
            used += read + wrote
            if isinstance(found, Unreadable):
                replies[i], problems[i] = text, found.problem
                left.append(i)
                continue
            talk.said.append((r, role.name, found))
            talk.repaired += repair
        waiting = left
    for i in waiting:
        part[i].unreadable += 1
    return used


def _complete(
    backend: Backend,
    questions: list[list[Message]],
    cases: list[Case],
    role: Role,
    settings: DiscussionSettings,
    seed: int,
) -> list[tuple[str, str, int, int]]:
    """Replies in order; cases with the same schema are asked together."""
    out: list[tuple[str, str, int, int]] = [("", "", 0, 0)] * len(questions)
    groups: dict[str, list[int]] = {}
    schemas = [turn_schema(case, role) for case in cases]
    for i, schema in enumerate(schemas):
        groups.setdefault(repr(schema), []).append(i)
    for rows in groups.values():
        done = backend.complete(
            [questions[i] for i in rows], max_tokens=settings.turn_tokens, temperature=settings.temperature,
            seed=seed, schema=schemas[rows[0]],
        )  # fmt: skip
        for i, c in zip(rows, done, strict=True):
            out[i] = (c.text, c.problem, c.prompt_tokens, c.completion_tokens)
    return out


def _decide(talk: Discussion, decider: Role) -> Decision:
    last = next((turn for _, name, turn in reversed(talk.said) if name == decider.name), None)
    return NOTHING if last is None else enforce_limits(talk.case, last.choice, last.units)


def _agreed(talk: Discussion, roles: Sequence[Role], r: int) -> bool:
    """Whether every role spoke in this round and all propose the same, units within `AGREE`."""
    now = [turn for number, _, turn in talk.said if number == r]
    if len(now) < len(roles) or len({turn.choice for turn in now}) > 1:
        return False
    if len(roles) == 1:  # alone: the proposal of the round before is repeated
        before = [turn for number, _, turn in talk.said if number == r - 1]
        now += before[-1:] if before and before[-1].choice == now[0].choice else []
        if len(now) < 2:
            return False
    return same_units([turn.units for turn in now])


def same_units(units: Sequence[int]) -> bool:
    """Whether proposals of so many units of one option are the same: within 5 % of the largest.

    >>> same_units([100, 96]), same_units([100, 94])
    (True, False)
    """
    return max(units) - min(units) <= AGREE * max(units)


def _estimate(conversations: Sequence[Sequence[Message]], reply: int) -> int:
    return sum(int(sum(len(m.content) for m in c) / CHARACTERS) + 20 + reply for c in conversations)
