"""From an order file to a decision on disk: arithmetic, discussion, transcript."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from malles.discussion.case import Case
from malles.discussion.roles import ALONE, ROLES, Role, load_roles
from malles.discussion.rounds import Discussion, DiscussionSettings, discuss
from malles.discussion.transcript import Transcript
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
    items, plan = plan_file(order)
    applied = apply_rule(order)
    cases = build_cases(order, items, plan, applied)
    folder.mkdir(parents=True)
    found: dict[str, Any] = {
        "order": order.order.name, "currency": order.order.currency,
        "planned": {"spent": plan.spent, "profit": plan.profit, "budget_worth": plan.budget_worth},
    }  # fmt: skip
    talks: list[Discussion] | None = None
    if speak is not None:
        roles = (ALONE,) if alone else tuple(ROLES.values())
        if order.talk.roles is not None and not alone:
            roles = load_roles(order.talk.roles)
        if applied is not None:
            roles = roles_that_see(roles)
        talks, found["talk"] = _talk(order, cases, roles, speak(), folder, tell)
    found |= settled(order, items, plan, talks, applied)
    _write_orders(found["lines"], folder / "orders.csv")
    (folder / "decision.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    write_page(order_content(order, found), folder / "report.html", order_sections(order, cases, found))
    return found


def settled(
    order: OrderFile,
    items: list[Item],
    plan: Plan,
    talks: list[Discussion] | None,
    applied: AppliedRule | None,
) -> dict[str, Any]:
    """The lines of the order, what they cost, and the rule that was heard; without one no line names it."""
    lines = [asdict(line) for line in settle_order(order, items, plan, talks, applied)]
    found: dict[str, Any] = {"lines": lines, "spent": sum(x["ordered"] * x["cost"] for x in lines)}
    if applied is None:
        for line in lines:
            del line["rule"]
        return found
    return found | {"rule": rule_facts(applied, build_cases(order, items, plan), items)}


def _talk(
    order: OrderFile,
    cases: list[Case],
    roles: tuple[Role, ...],
    backend: Backend,
    folder: Path,
    tell: Tell,
) -> tuple[list[Discussion], dict[str, Any]]:
    talk = order.talk
    settings = DiscussionSettings(
        rounds=talk.rounds, turn_tokens=talk.turn_tokens, temperature=talk.temperature, seed=talk.seed,
        tokens=talk.tokens,
    )  # fmt: skip
    kept = Transcript(cases, roles, settings)
    title = f"discussion, {len(cases)} product{'s' if len(cases) > 1 else ''}"
    talks = discuss(
        cases, roles, backend, settings, listen=kept.listen,
        progress=lambda done, total: tell(title, done, total),
    )  # fmt: skip
    kept.close(talks)
    kept.write(folder / "transcript.jsonl")
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
