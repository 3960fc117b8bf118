"""A turn: a claim, the facts it rests on, and a proposal; read strictly from what a model wrote.

{"claim": "stock lasts one week", "evidence": ["f3"], "choice": "A", "units": 24}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from malles.discussion.case import MOST_UNITS, Case, clean_text
from malles.discussion.roles import Role

NOBODY = "none"
"""What a proposal to buy nothing names."""
CLAIM = 30
"""Characters of a claim. It is words without digits, a mark only after a word: digits and marks cost a token
each, and a claim like "A.A.B.C" would leave no room for the rest of a turn of 48 tokens.
"""
WORDS = "^[A-Za-z]+(( {1,2}|[,.] )[A-Za-z]+)* {0,2}[.]?$"
"""Between words a space or two, or a mark and a space: a model that may write no digit likes to skip it."""


@dataclass(frozen=True)
class Turn:
    """What one role said in one round."""

    claim: str
    evidence: tuple[str, ...]
    choice: str | None
    """Option id; None proposes to buy nothing."""
    units: int


@dataclass(frozen=True)
class Unreadable:
    """Why a reply is no turn, in one sentence, for the repair round and for the count."""

    problem: str


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    claim: str = Field(max_length=400)
    evidence: list[str] = Field(max_length=8)
    choice: str
    units: int = Field(ge=0, le=MOST_UNITS)


def turn_schema(case: Case, role: Role) -> dict[str, Any]:
    """JSON schema of a turn of this role: constrained decoding can leave nothing else possible."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["claim", "evidence", "choice", "units"],
        "properties": {
            "claim": {"type": "string", "maxLength": CLAIM, "pattern": WORDS},
            "evidence": {
                "type": "array", "maxItems": 2,
                "items": {"type": "string", "enum": [fact.id for fact in role.facts(case)]},
            },
            "choice": {"type": "string", "enum": [*(o.id for o in case.options), NOBODY]},
            "units": {"type": "integer", "minimum": 0, "maximum": 99_999},
        },
    }  # fmt: skip


def read_turn(text: str, case: Case, role: Role) -> Turn | Unreadable:
    """The turn in a reply, or why there is none. Nothing is guessed, nothing is evaluated.

    Evidence that the role was not shown makes a turn unreadable: it would be made up.
    """
    if not text.strip():
        return Unreadable("the reply is empty")
    if len(text) > 4000:
        return Unreadable(f"the reply has {len(text)} characters, at most 4000 are read")
    try:
        value = json.loads(text, object_pairs_hook=_each_once, parse_int=_whole)
    except (ValueError, RecursionError) as problem:
        return Unreadable(f"the reply is no JSON object ({clean_text(str(problem), 80)})")
    try:
        reply = _Reply.model_validate(value)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(p) for p in first["loc"]) or "the reply"
        return Unreadable(f"{place}: {first['msg'].lower()}")
    shown = [fact.id for fact in role.facts(case)]
    unknown = [e for e in reply.evidence if e not in shown]
    if unknown:
        return Unreadable(f"evidence {clean_text(unknown[0], 20)!r} was not shown to {role.name}")
    if reply.choice != NOBODY and case.option(reply.choice) is None:
        offered = ", ".join(o.id for o in case.options)
        return Unreadable(f"choice {clean_text(reply.choice, 20)!r} is none of {offered}, {NOBODY}")
    nothing = reply.choice == NOBODY or reply.units == 0
    return Turn(
        clean_text(reply.claim), tuple(dict.fromkeys(reply.evidence)),
        None if nothing else reply.choice, 0 if nothing else reply.units,
    )  # fmt: skip


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def _whole(text: str) -> int:
    if len(text) > 12:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)
