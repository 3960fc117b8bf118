"""Transcripts: every exchange as a line of JSON, chained by digests so that an edit is noticed; and replay.

    {"kind": "header", "roles": [...], "settings": {...}, "cases": [...], "seal": ...}
    {"kind": "exchange", "case": ..., "round": 1, "role": "dealer", "reply": ..., "seal": ...}
    {"kind": "decision", "case": ..., "choice": "A", "units": 24, "end": "AGREED", "seal": ...}

Each seal is the SHA-256 of the seal before it and of the line itself. `replay` holds the discussion again
with the recorded replies instead of a model, and must come to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from malles.discussion.case import Case, Fact, Option
from malles.discussion.roles import Role
from malles.discussion.rounds import Discussion, DiscussionSettings, Exchange, digest_of, discuss
from malles.errors import RunError
from malles.llm.backend import Completion, Message, Scored, Usage
from malles.llm.prompt import ShelfPrompt

VERSION = 1
WORDS = {
    "text": "name of the option", "cost": "unit cost", "suggested": "units proposed", "low": "least units",
    "high": "most units", "reservation": "walk-away cost", "may_drop": "right to order none",
    "low_words": "words of the least units", "high_words": "words of the most units",
}  # fmt: skip
"""Fields of an option, for a person."""


class Transcript:
    """Collects a discussion; `listen` is handed to `discuss`."""

    def __init__(
        self,
        cases: Sequence[Case],
        roles: Sequence[Role],
        settings: DiscussionSettings,
        path: Path | None = None,
    ) -> None:
        """With `path`, from the first exchange on everything stands at once in `partial_of(path)` as well."""
        self._partial = None if path is None else partial_of(path)
        self._lines: list[str] = []
        self._grown = 0
        self._seal = ""
        self._add(
            "header", version=VERSION, settings=asdict(settings), roles=[asdict(role) for role in roles],
            cases=[
                {**asdict(case), "about": dict(case.about), "options": [_written(o) for o in case.options]}
                for case in cases
            ],
        )  # fmt: skip

    def listen(self, exchange: Exchange) -> None:
        """Keep one exchange."""
        self._add("exchange", **asdict(exchange))
        self._grow()

    def close(self, talks: Sequence[Discussion]) -> None:
        """Keep the decisions."""
        for talk in talks:
            end = talk.end.name if talk.end else ""
            self._add("decision", case=talk.case.id, end=end, **asdict(talk.decision))
        self._grow()

    def bytes(self) -> bytes:
        """What is written to the disk."""
        return ("\n".join(self._lines) + "\n").encode()

    def write(self, path: Path) -> None:
        """Write all of it, or nothing."""
        partial = partial_of(path)
        if partial != self._partial:  # else it has grown there
            partial.write_bytes(self.bytes())
        partial.replace(path)

    def _grow(self) -> None:
        """Write the lines that are new behind those on the disk: a stop at any time leaves what was said."""
        if self._partial is not None:
            with self._partial.open("a" if self._grown else "w", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in self._lines[self._grown :])
            self._grown = len(self._lines)

    def _add(self, kind: str, **values: Any) -> None:
        body = json.dumps(_plain({"kind": kind, **values}), sort_keys=True, allow_nan=False)
        self._seal = seal_of(self._seal, body)
        self._lines.append(json.dumps({"line": body, "seal": self._seal}))


def partial_of(path: Path) -> Path:
    """Where a transcript grows until it is whole."""
    return path.with_name(path.name + ".partial")


def count_exchanges(path: Path) -> int:
    """Exchanges of a transcript, whole or not, whose seals are right; a last line cut short is left out."""
    whole = path.read_bytes().rpartition(b"\n")[0]
    return sum(line["kind"] == "exchange" for line in _read_lines(whole.decode(), path))


def _plain(value: Any) -> Any:
    """JSON values; numbers without end become words."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def seal_of(before: str, body: str) -> str:
    """Digest of a line and of everything before it."""
    return hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()


def read_transcript(path: Path) -> list[dict[str, Any]]:
    """The lines of a transcript, if nothing was changed.

    Raises:
        RunError: a line was edited, left out or added; it says which.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as problem:
        raise RunError(f"There is no transcript {path}; malles negotiate ORDER.toml writes one.") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise RunError(f"{path} cannot be read ({problem}).") from problem
    return _read_lines(text, path)


def _read_lines(text: str, path: Path) -> list[dict[str, Any]]:
    seal, found = "", []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            outer = json.loads(line)
            body, given = str(outer["line"]), str(outer["seal"])
            values = json.loads(body)
        except (ValueError, KeyError, TypeError) as problem:
            what = f"{path}, line {number} is no line of a transcript; it was changed on disk."
            if number == 1:
                what = f"{path} is no transcript, or its first line was changed on disk."
            raise RunError(what) from problem
        seal = seal_of(seal, body)
        if given != seal:
            raise RunError(
                f"{path}, line {number} was changed on disk after it was written, or a line before it was "
                "left out; the decision cannot be trusted. Negotiate again, or restore the file."
            )
        found.append(values)
    if not found or found[0].get("kind") != "header":
        raise RunError(f"{path} does not begin with the header of a transcript.")
    if found[0].get("version") != VERSION:
        raise RunError(
            f"{path} is a transcript of version {found[0].get('version')}; this malles reads {VERSION}."
        )
    return found


class RecordedBackend:
    """Answers every recorded question with its recorded reply."""

    name = "recorded"

    def __init__(self, exchanges: Sequence[dict[str, Any]]) -> None:
        self._left: dict[str, list[dict[str, Any]]] = {}
        for exchange in exchanges:
            self._left.setdefault(str(exchange["question"]), []).append(exchange)
        self.usage = Usage()

    def score(self, prompts: Sequence[ShelfPrompt]) -> list[Scored]:
        """A transcript holds no scores."""
        return [Scored(None, "a transcript holds no scores") for _ in prompts]

    def complete(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        schema: dict[str, Any] | None = None,
    ) -> list[Completion]:
        """The recorded replies to these questions."""
        del max_tokens, temperature, seed, schema
        found = []
        for conversation in conversations:
            waiting = self._left.get(digest_of(conversation))
            if not waiting:
                raise RunError("the transcript holds no reply to a question of the replay; it was cut short.")
            e = waiting.pop(0)
            problem = "" if e["reply"] else e["problem"]
            found.append(Completion(e["reply"], problem, e["prompt_tokens"], e["reply_tokens"]))
        return found


def replay(path: Path) -> tuple[list[Discussion], bytes]:
    """Hold a recorded discussion again without a model; the bytes equal those of the file.

    Raises:
        RunError: the file was changed, or comes to something else.
    """
    lines = read_transcript(path)
    header = lines[0]
    if not any(line["kind"] == "decision" for line in lines):
        spoken = sum(line["kind"] == "exchange" for line in lines)
        raise RunError(
            f"{path} is a talk that was stopped after {spoken} exchange{'s' * (spoken != 1)}: "
            "nothing was decided. Negotiate again."
        )
    cases = [
        Case(
            c["id"], c["question"], tuple(Fact(**f) for f in c["facts"]),
            tuple(_option(o) for o in c["options"]), float(c["budget"]), c["about"],
        )
        for c in header["cases"]
    ]  # fmt: skip
    roles = [Role(r["name"], r["wants"], tuple(r["sees"]), r["decides"]) for r in header["roles"]]
    settings = DiscussionSettings(**header["settings"])
    again = Transcript(cases, roles, settings)
    backend = RecordedBackend([line for line in lines if line["kind"] == "exchange"])
    talks = discuss(cases, roles, backend, settings, listen=again.listen)
    again.close(talks)
    if again.bytes() != path.read_bytes():
        raise RunError(
            f"{path} was recorded by another version of the protocol: the replay comes to other lines."
        )
    return talks, again.bytes()


def find_difference(recorded: Sequence[Case], cases: Sequence[Case]) -> str:
    """What first differs between recorded cases and those of today, as a part of a sentence; '' if nothing.

    >>> jam = Case("jam", "?", (Fact("f1", "stock", "5 at hand"),), (Option("A", "jam"),))
    >>> tea = Case("tea", "?", (Fact("f1", "stock", "7 at hand"),), (Option("A", "tea"),))
    >>> find_difference([jam], [jam, tea])
    "it says nothing of 'tea'"
    >>> find_difference([jam], [Case("jam", "?", tea.facts, jam.options)])
    "of 'jam' it knows the stock '5 at hand', the order file '7 at hand'"
    """
    then, now = ({case.id: case for case in given} for given in (recorded, cases))
    for name in now:
        if name not in then:
            return f"it says nothing of {name!r}"
    for name in then:
        if name not in now:
            return f"it speaks of {name!r}, which the order file lacks"
    if list(then) != list(now):
        return "the products stand in another order"
    for name, case in now.items():
        old, new = _stated(then[name]), _stated(case)
        for what in sorted({**old, **new}, key=lambda what: what == "numbers of facts"):
            if old.get(what) != new.get(what):
                was, is_ = ("nothing" if v is None else repr(v) for v in (old.get(what), new.get(what)))
                return f"of {name!r} it knows the {what} {was}, the order file {is_}"
    return ""


def _stated(case: Case) -> dict[str, Any]:
    """Everything a talk may depend on, by a name for a person."""
    found: dict[str, Any] = {f.topic: f.text for f in case.facts}
    found |= {"budget": case.budget, "question": case.question}
    for option in case.options:
        of = f" of option {option.id}" if len(case.options) > 1 else ""
        found |= {WORDS.get(name, name) + of: value for name, value in asdict(option).items()}
    return found | {"numbers of facts": " ".join(f.id for f in case.facts)}


def _written(option: Option) -> dict[str, Any]:
    """The fields of an option; newer ones only where they say something: old records stay equal."""
    values = asdict(option)
    usual = {"may_drop": True, "low_words": "", "high_words": ""}
    return {k: v for k, v in values.items() if k not in usual or v != usual[k]}


def _option(values: dict[str, Any]) -> Option:
    return Option(**{**values, "reservation": float(values["reservation"]), "cost": float(values["cost"])})
