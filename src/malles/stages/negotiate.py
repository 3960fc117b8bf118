"""From an order file to a decision on disk: arithmetic, discussion, transcript."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from malles.discussion.case import Case
from malles.discussion.roles import ALONE, ROLES, Role, load_roles
from malles.discussion.rounds import Discussion, DiscussionSettings, discuss
from malles.discussion.transcript import Transcript, count_exchanges, find_difference, partial_of, replay
from malles.errors import ConfigError
from malles.llm.backend import Backend
from malles.report.order_page import order_content, order_sections
from malles.report.page import write_page
from malles.road import Tell
from malles.rules.printing import safe_cell
from malles.wholesale.items import Item
from malles.wholesale.order import OrderFile
from malles.wholesale.plan import Plan
from malles.wholesale.rule import AppliedRule, apply_rule, roles_that_see, rule_facts
from malles.wholesale.talk import build_cases, plan_file, settle_order

Speak = Callable[[], Backend]
"""Makes the language model, when somebody has to talk."""
TRANSCRIPT = "transcript.jsonl"


@dataclass(frozen=True)
class Prepared:
    """An order that was worked out and checked: nobody has talked, nothing is on the disk."""

    order: OrderFile
    items: list[Item]
    plan: Plan
    applied: AppliedRule | None
    cases: list[Case]
    roles: tuple[Role, ...]

    def decided(
        self, talks: list[Discussion] | None = None, talk: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What is in decision.json: after the talks, or by the arithmetic alone; `talk` says how it went."""
        order, plan = self.order, self.plan
        found: dict[str, Any] = {
            "order": order.order.name, "currency": order.order.currency,
            "planned": {"spent": plan.spent, "profit": plan.profit, "budget_worth": plan.budget_worth,
                        "gain": plan.gain},
        }  # fmt: skip
        if talk is not None:
            found["talk"] = talk
        return found | settled(order, self.items, plan, talks, self.applied)


def prepare(order: OrderFile, *, alone: bool = False) -> Prepared:
    """The arithmetic of an order, and the roles that may talk about it.

    Args:
        order: what could be bought.
        alone: one role that sees everything, instead of those of the file.

    Raises:
        ConfigError: the rule or the roles cannot be used, or a role sees no fact of a product.
    """
    items, plan = plan_file(order)
    applied = apply_rule(order)
    roles = (ALONE,) if alone else tuple(ROLES.values())
    if order.talk.roles is not None and not alone:
        roles = load_roles(order.talk.roles)
    if applied is not None:
        roles = roles_that_see(roles)
    cases = build_cases(order, items, plan, applied)
    for case in cases:
        for role in roles:
            role.facts(case)
    return Prepared(order, items, plan, applied, cases, roles)


def negotiate(
    order: OrderFile,
    folder: Path,
    *,
    speak: Speak | None,
    alone: bool = False,
    tell: Tell,
) -> dict[str, Any]:
    """Decide an order and keep everything it rests on in `folder`.

    Args:
        order: what could be bought.
        folder: new folder for transcript.jsonl, orders.csv, decision.json and report.html.
        speak: makes the model that talks; None leaves the order to the arithmetic.
        alone: one role that sees everything, instead of the discussion.
        tell: told how far it is.

    Returns:
        What is in decision.json.
    """
    tell("arithmetic")
    ready = prepare(order, alone=alone)
    backend = None if speak is None else speak()
    folder.mkdir(parents=True)
    return hold(ready, folder, backend, tell=tell)


def hold(ready: Prepared, folder: Path, backend: Backend | None, *, tell: Tell) -> dict[str, Any]:
    """Talk about a prepared order and keep the decision in `folder`, which exists and is empty.

    While it talks, what was said stands in transcript.jsonl.partial. If it is stopped or fails, the exception
    has a note that says where the talk so far is; if nothing was said, the folder is removed.
    """
    try:
        talks, talk = (None, None) if backend is None else _talk(ready, backend, folder, tell)
        found = ready.decided(talks, talk)
        _write_orders(found["lines"], folder / "orders.csv")
        (folder / "decision.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        sections = order_sections(ready.order, ready.cases, found)
        write_page(order_content(ready.order, found), folder / "report.html", sections)
    except BaseException as problem:
        problem.add_note(_leave(folder))
        raise
    return found


def hold_again(ready: Prepared, order: Path, transcript: Path) -> tuple[dict[str, Any], int]:
    """The decision of a recorded talk about this order, and the bytes of the record; asks no model.

    Args:
        ready: the order, worked out anew; its roles are not used.
        order: its file, for the message.
        transcript: what `hold` wrote, or its folder.

    Raises:
        RunError: the record was changed, is not whole, or was made by another version.
        ConfigError: it is about other products, or about other facts or limits of one.
    """
    transcript = transcript / TRANSCRIPT if transcript.is_dir() else transcript
    talks, content = replay(transcript)
    other = find_difference([t.case for t in talks], ready.cases)
    if other:
        raise ConfigError(
            f"{transcript} is not a talk about {order} as it is now: {other}. Give the order file it was "
            "held for, or leave --replay out to negotiate anew."
        )
    return ready.decided(talks), len(content)


def _leave(folder: Path) -> str:
    """Remove a folder in which nothing was said; else say where the talk is."""
    whole = folder / TRANSCRIPT
    if whole.exists():
        return f"The talk is in {whole}."
    partial = partial_of(whole)
    if partial.exists():
        count = count_exchanges(partial)
        return f"The talk so far, {count} exchange{'s' * (count != 1)}, is in {partial}."
    shutil.rmtree(folder)
    return "Nothing was said, and nothing is kept."


def settled(
    order: OrderFile,
    items: list[Item],
    plan: Plan,
    talks: list[Discussion] | None,
    applied: AppliedRule | None,
) -> dict[str, Any]:
    """The lines of the order, what they cost, and the rule that was heard; without one no line names it."""
    lines = [asdict(line) for line in settle_order(order, items, plan, talks, applied)]
    found: dict[str, Any] = {
        "lines": lines,
        "spent": sum(x["ordered"] * x["cost"] for x in lines),
        "gain": sum(x["gain"] for x in lines),
    }
    if applied is None:
        for line in lines:
            del line["rule"]
        return found
    return found | {"rule": rule_facts(applied, build_cases(order, items, plan), items)}


def _talk(
    ready: Prepared, backend: Backend, folder: Path, tell: Tell
) -> tuple[list[Discussion], dict[str, Any]]:
    talk, cases, roles = ready.order.talk, ready.cases, ready.roles
    settings = DiscussionSettings(
        rounds=talk.rounds, turn_tokens=talk.turn_tokens, temperature=talk.temperature, seed=talk.seed,
        tokens=talk.tokens,
    )  # fmt: skip
    kept = Transcript(cases, roles, settings, folder / TRANSCRIPT)
    title = f"discussion, {len(cases)} product{'s' if len(cases) > 1 else ''}"
    tell(title, 0, talk.rounds * len(roles) * len(cases))
    talks = discuss(
        cases, roles, backend, settings, listen=kept.listen,
        progress=lambda done, total: tell(title, done, total),
    )  # fmt: skip
    kept.close(talks)
    kept.write(folder / TRANSCRIPT)
    usage = backend.usage
    return talks, {
        "model": backend.name,
        "roles": [role.name for role in roles],
        "turns": sum(len(t.said) for t in talks),
        "unreadable": sum(t.unreadable for t in talks),
        "repaired": sum(t.repaired for t in talks),
        "tokens_read": usage.prompt_tokens,
        "tokens_written": usage.completion_tokens,
        "cost": usage.cost,
        "said": [
            {"product": t.case.id, "round": r, "role": name, "units": turn.units, "claim": turn.claim,
             "evidence": [f.text for f in t.case.facts if f.id in turn.evidence]}
            for t in talks for r, name, turn in t.said
        ],
    }  # fmt: skip


def _write_orders(lines: list[dict[str, Any]], path: Path) -> None:
    columns = [c for c in ("proposed", "rule", "talked") if c in lines[0]]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["product", "units", "unit_cost", *columns])
        for line in lines:
            cost = f"{line['cost']:.4f}"
            writer.writerow([safe_cell(line["name"]), line["ordered"], cost, *(line[c] for c in columns)])
