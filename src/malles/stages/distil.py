"""A discussion put into one call: teach a model what discussions decided, and say how often it agrees.

    transcripts → lessons → taught and held out → adapter
                                     held out → asked before and after: agreement, tokens, seconds

Whoever is asked sees what the roles see together, and answers in one turn. Beside them stands a baseline that
needs no model: the first option at its proposal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from malles.discussion.case import Case, Decision, enforce_limits
from malles.discussion.lessons import Lesson, agrees, read_lessons, split_lessons, write_example
from malles.discussion.roles import ALONE
from malles.discussion.rounds import DiscussionSettings, discuss
from malles.errors import DataError
from malles.evaluation.bootstrap import clusters_of, mean_interval
from malles.llm.backend import Backend
from malles.llm.backends.local import LocalBackend
from malles.llm.taught import save_taught, write_card
from malles.llm.training.replies import ReplySettings, teach_replies
from malles.road import Tell

LEAST_GROUPS = 2
"""An interval draws groups; one alone has none."""
LEAST_CASES = 20
"""Fewer held-out cases tell too little: if all of 20 agree, one in six may still differ (at least .832 agree:
Clopper & Pearson 1934)."""
WAYS = {
    "discussion": "the discussion", "proposal": "no model: the proposal",
    "before": "one call, before", "after": "one call, after",
}  # fmt: skip
COLUMNS = ("who decides", "same decision", "same option", "calls", "tokens", "processor-s", "unreadable")


@dataclass(frozen=True)
class Asked:
    """What one way of deciding said of the held-out cases."""

    decisions: list[Decision]
    calls: int
    tokens: int
    seconds: float
    """Of the processor; NaN where they were not measured."""
    unreadable: int


def distil(
    transcripts: Sequence[Path],
    folder: Path,
    settings: ReplySettings,
    *,
    held: Sequence[Path] = (),
    share: float = 0.25,
    tell: Tell,
) -> dict[str, Any]:
    """Teach, ask before and after, and keep the adapter with its figures in `folder`.

    Args:
        transcripts: what is taught, and held out from if `held` is empty.
        folder: of the adapter.
        settings: which model, how long, how fast.
        held: transcripts to ask about.
        share: of the groups that are held out where `held` is empty.
        tell: told how far it is.

    Raises:
        DataError: nothing to teach, or nothing to ask about.
    """
    tell("transcripts")
    read = read_lessons(transcripts)
    taught_on, lost, repeated = read.lessons, read.without_decision, read.repeated
    if held:
        last = read_lessons(held, known=taught_on)
        kept, lost, repeated = last.lessons, lost + last.without_decision, repeated + last.repeated
    else:
        taught_on, kept = split_lessons(taught_on, share, settings.seed)
    check_lessons(taught_on, kept)
    cases = [lesson.case for lesson in kept]
    before = ask(cases, _loaded(LocalBackend.untuned(settings.model)), "before", tell)
    taught = teach_replies(
        [write_example(lesson) for lesson in taught_on], settings,
        lambda done, total, loss: tell(f"teaching, loss {loss:.2f}", done, total),
    )  # fmt: skip
    facts: dict[str, Any] = {
        "taught_on": len(taught_on), "held_out": len(kept), "without_a_decision": lost, "repeated": repeated,
        "too_few_to_tell": len(kept) < LEAST_CASES,
    }  # fmt: skip
    save_taught(taught, folder, facts)
    after = ask(cases, _loaded(LocalBackend.taught(folder)), "after", tell)
    found = facts | {
        "settings": asdict(settings), "teaching_seconds": taught.seconds, "examples_read": taught.examples,
        "first_loss": taught.loss[0], "last_loss": taught.loss[-1], "too_long": taught.too_long,
        "discussion": summary(kept, discussion_of(kept), settings.seed),
        "proposal": summary(kept, proposals(cases), settings.seed),
        "before": summary(kept, before, settings.seed),
        "after": summary(kept, after, settings.seed),
        "cases": [
            {"case": lesson.case.id, "discussion": said(lesson.decision), "before": said(b), "after": said(a)}
            for lesson, b, a in zip(kept, before.decisions, after.decisions, strict=True)
        ],
    }  # fmt: skip
    (folder / "distillation.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shown = {name: value for name, value in facts.items() if name != "too_few_to_tell"}
    shown |= {"examples_read": taught.examples, "teaching_seconds": f"{taught.seconds:.0f}"}
    write_card(folder, settings, shown, measured(found))
    return found


def cost_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Agreement and cost of every way of deciding, as text in the order of `COLUMNS`."""
    rows: list[tuple[str, ...]] = []
    for way, name in WAYS.items():
        row, few = found[way], found["too_few_to_tell"]
        seconds = row["processor_seconds"]
        agreement = (
            ("itself", "itself") if way == "discussion"
            else (share_of(row, "same_decision", few=few), share_of(row, "same_option", few=few))
        )  # fmt: skip
        costs = (f"{row['calls']:.1f}", f"{row['tokens']:.0f}")
        rows.append(
            (name, *agreement, *costs, "not recorded" if seconds is None else f"{seconds:.2f}",
             str(row["unreadable"]))
        )  # fmt: skip
    return rows


def share_of(row: Mapping[str, Any], name: str, *, few: bool) -> str:
    """A share with its interval, or with the reason why it has none.

    >>> share_of({"same_option": 1.0}, "same_option", few=True)
    '1.00, too few to tell'
    """
    if few:
        return f"{row[name]:.2f}, too few to tell"
    if f"{name}_interval" not in row:
        return f"{row[name]:.2f}, one group: no interval"
    low, high = row[f"{name}_interval"]
    return f"{row[name]:.2f} [{low:.2f}, {high:.2f}]"


def measured(found: Mapping[str, Any]) -> list[str]:
    """Lines of the model card on agreement and cost."""
    few = f" Fewer than {LEAST_CASES} are too few to tell." if found["too_few_to_tell"] else ""
    return [
        f"## Agreement with the discussion on {found['held_out']} held-out cases, and cost per case", "",
        *(f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *cost_rows(found))), "",
        f"The same decision: the same option, and units within 5 %; 95 % intervals draw groups.{few} Tokens "
        "are those read and written; a transcript holds the calls and tokens of its discussion, no times.",
    ]  # fmt: skip


def check_lessons(taught_on: Sequence[Lesson], kept: Sequence[Lesson]) -> None:
    """Refuse to teach from nothing, or to report on nothing.

    Raises:
        DataError: there is no lesson of one kind.
    """
    for what, some in (("teach", taught_on), ("hold out", kept)):
        if not some:
            raise DataError(
                f"the transcripts hold no discussion to {what} (those without a decision, and cases that "
                "read the same as another, do not count); give transcripts of other orders."
            )


def said(decision: Decision) -> dict[str, Any]:
    """A decision as JSON."""
    return {"choice": decision.choice, "units": decision.units}


def _loaded(backend: LocalBackend) -> LocalBackend:
    """The backend with its weights in memory: reading them from the disk is no part of an answer."""
    _ = backend.writer
    return backend


def ask(cases: Sequence[Case], backend: Backend, what: str, tell: Tell, *, rounds: int = 1) -> Asked:
    """The single role's decisions, in one turn or in several."""
    began = process_time()
    settings = DiscussionSettings(rounds=rounds, agree=rounds > 1)
    calls: list[int] = []
    talks = discuss(
        cases, (ALONE,), backend, settings, listen=lambda e: calls.append(e.prompt_tokens + e.reply_tokens),
        progress=lambda done, total: tell(f"asking, {what}", done, total),
    )  # fmt: skip
    return Asked(
        [t.decision for t in talks], len(calls), sum(calls), process_time() - began,
        sum(t.unreadable for t in talks),
    )  # fmt: skip


def discussion_of(lessons: Sequence[Lesson]) -> Asked:
    """The teacher itself; its seconds are not in a transcript."""
    calls, tokens = (sum(getattr(lesson, n) for lesson in lessons) for n in ("calls", "tokens"))
    return Asked([lesson.decision for lesson in lessons], calls, tokens, float("nan"), 0)


def proposals(cases: Sequence[Case]) -> Asked:
    """The first option at its proposal, within the limits."""
    first = [case.options[0] for case in cases]
    made = [enforce_limits(case, o.id, o.suggested) for case, o in zip(cases, first, strict=True)]
    return Asked(made, 0, 0, 0.0, 0)


def summary(lessons: Sequence[Lesson], asked: Asked, seed: int) -> dict[str, Any]:
    """Agreement with the discussion, and cost per case; intervals draw groups, if there are enough cases."""
    pairs = [(lesson.decision, made) for lesson, made in zip(lessons, asked.decisions, strict=True)]
    names = sorted({lesson.group for lesson in lessons})
    group = np.array([names.index(lesson.group) for lesson in lessons])
    out: dict[str, Any] = {}
    for name, values in (
        ("same_decision", [agrees(*pair) for pair in pairs]),
        ("same_option", [a.choice == b.choice for a, b in pairs]),
    ):
        value = np.array(values, float)
        out[name] = float(value.mean())
        if len(names) >= LEAST_GROUPS and len(lessons) >= LEAST_CASES:
            interval = mean_interval(value, clusters_of(group), np.random.default_rng(seed))
            out[f"{name}_interval"] = [interval.low, interval.high]
    n = len(lessons)
    return out | {
        "calls": asked.calls / n, "tokens": asked.tokens / n, "unreadable": asked.unreadable,
        "processor_seconds": None if np.isnan(asked.seconds) else asked.seconds / n,
    }  # fmt: skip
