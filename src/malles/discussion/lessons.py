"""What recorded discussions teach: cases with what the roles decided, for a model that decides at once.

    lesson      a case, what was decided, whether all roles agreed, and the tokens that it took
    question    the case as the single role reads it that sees every fact (`roles.ALONE`)
    answer      a turn: {"claim":"agreed","evidence":[],"choice":"A","units":24}

Decisions are taught as they stand after the limits. A discussion whose decider never gave a readable turn
teaches nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from malles.discussion.case import Case, Decision
from malles.discussion.roles import ALONE
from malles.discussion.rounds import End, digest_of, same_units
from malles.discussion.transcript import read_transcript, replay
from malles.discussion.turn import NOBODY
from malles.discussion.wording import build_conversation
from malles.errors import DataError
from malles.llm.training.replies import ReplyExample

AGREED, NOT_AGREED = "agreed", "not agreed"
"""Claims of a model that was taught: whether the roles would have come to the same proposal."""


@dataclass(frozen=True)
class Lesson:
    """One discussion that was held."""

    case: Case
    decision: Decision
    agreed: bool
    calls: int
    tokens: int
    """Read and written, all turns together."""
    group: str
    """What stays together in a split: the case's id up to a slash (a reseller), else the transcript."""


@dataclass(frozen=True)
class Lessons:
    """What transcripts teach."""

    lessons: list[Lesson]
    without_decision: int
    """Discussions whose decider was never readable."""
    repeated: int
    """Discussions of a case that reads the same as one before: asked about, it would look like agreement."""


def read_lessons(paths: Sequence[Path], *, known: Sequence[Lesson] = ()) -> Lessons:
    """Lessons of transcripts.

    Args:
        paths: transcripts that `malles negotiate` and `Transcript.write` leave.
        known: lessons whose cases are left out too.

    Raises:
        RunError: a transcript was changed on disk.
    """
    seen = {_question(lesson.case) for lesson in known}
    found: list[Lesson] = []
    lost = repeated = 0
    for path in paths:
        talks, _ = replay(path)
        calls, tokens = _costs(path)
        for talk in talks:
            name, question = talk.case.id, _question(talk.case)
            if talk.end is End.UNREADABLE:
                lost += 1
            elif question in seen:
                repeated += 1
            else:
                seen.add(question)
                group = name.partition("/")[0] if "/" in name else str(path)
                found.append(
                    Lesson(talk.case, talk.decision, talk.end is End.AGREED, calls[name], tokens[name], group)
                )
    return Lessons(found, lost, repeated)


def write_example(lesson: Lesson) -> ReplyExample:
    """Question and answer of a lesson.

    The answer is written as the grammar of a turn allows it, letter for letter.
    """
    decided = lesson.decision
    reply = {
        "claim": AGREED if lesson.agreed else NOT_AGREED, "evidence": [],
        "choice": decided.choice or NOBODY, "units": decided.units,
    }  # fmt: skip
    question = build_conversation(lesson.case, ALONE, ())
    return ReplyExample(tuple(question), json.dumps(reply, separators=(",", ":")))


def agrees(one: Decision, other: Decision) -> bool:
    """Whether two decisions are the same: option, and units within 5 %.

    >>> agrees(Decision("A", 100), Decision("A", 96)), agrees(Decision("A", 100), Decision("A", 94))
    (True, False)
    """
    return one.choice == other.choice and same_units([one.units, other.units])


def split_lessons(lessons: Sequence[Lesson], share: float, seed: int) -> tuple[list[Lesson], list[Lesson]]:
    """Lessons to teach and lessons to hold out; groups stay together, the same ones for the same seed.

    Raises:
        DataError: one of the two would be empty.
    """
    groups = sorted({lesson.group for lesson in lessons})
    order = np.random.default_rng([seed, 31]).permutation(len(groups))
    held = {groups[i] for i in order[: round(share * len(groups))]}
    taught = [lesson for lesson in lessons if lesson.group not in held]
    kept = [lesson for lesson in lessons if lesson.group in held]
    if not taught or not kept:
        raise DataError(
            f"{len(lessons)} discussions of {len(groups)} groups cannot be split into some to teach and "
            f"{share:.0%} to hold out; give more transcripts, or others to hold out with --held."
        )
    return taught, kept


def _question(case: Case) -> str:
    return digest_of(build_conversation(case, ALONE, ()))


def _costs(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    calls: dict[str, int] = {}
    tokens: dict[str, int] = {}
    for line in read_transcript(path):
        if line["kind"] == "exchange":
            case = str(line["case"])
            calls[case] = calls.get(case, 0) + 1
            tokens[case] = tokens.get(case, 0) + int(line["prompt_tokens"]) + int(line["reply_tokens"])
    return calls, tokens
