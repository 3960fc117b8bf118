"""The page of an order: what is ordered, the numbers behind it, and what the roles said, as sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from malles.discussion.case import MOST_UNITS, Case, price_text
from malles.report.blocks import Block, Bullets, Facts, Section
from malles.report.content import ReportContent
from malles.report.order_rule import rule_section
from malles.report.tables import number, plain_table
from malles.wholesale.order import OrderFile, ProductTable
from malles.wholesale.reasons import told_of

LIMITS = (
    "A claim is what a language model wrote. Nobody checked it; it moved the units only within the limits.",
    "The plan rests on the units sold in the weeks of the order file, and on nothing that the file does not "
    "say.",
)
"""Printed below every order."""


def order_content(order: OrderFile, found: Mapping[str, Any]) -> ReportContent:
    """Title and headline of the page.

    Args:
        order: the order file.
        found: what is in decision.json.
    """
    talk = found.get("talk")
    how = f"discussed by {', '.join(talk['roles'])} ({talk['model']})" if talk else "by arithmetic alone"
    rule = found.get("rule")
    if rule:
        how += f", a rule as {rule['use']}"
    units = sum(line["ordered"] for line in found["lines"])
    return ReportContent(
        f"Order {found['order']}",
        f"{len(found['lines'])} products, {order.order.weeks:g} weeks to cover, {how}",
        headline={"Ordered": f"{number(units)} units", "Costs": _money(found["spent"], found["currency"])},
    )


def order_sections(order: OrderFile, cases: Sequence[Case], found: Mapping[str, Any]) -> list[Section]:
    """The sections of the page; figures are those of `found`, the order file and the cases.

    Args:
        order: the order file.
        cases: one per product, as they were or would be discussed.
        found: what is in decision.json.
    """
    sections = [_lines(order, found), _numbers(order, cases)]
    if found.get("rule"):
        sections.append(rule_section(found["rule"], found["lines"]))
    if found.get("talk"):
        sections.append(_talk(found["talk"]))
    return [*sections, Section("limits", "Warnings and limits", "", (Bullets(LIMITS),))]


def _lines(order: OrderFile, found: Mapping[str, Any]) -> Section:
    plan, currency = found["planned"], found["currency"]
    facts = [
        ("budget", "none" if order.order.budget is None else _money(order.order.budget, currency)),
        ("planned cost", _money(plan["spent"], currency)),
        ("expected profit of the plan, stock at hand included", _money(plan["profit"], currency)),
        ("of it, added by the plan", _money(plan["gain"], currency)),
        ("worth of one more in the budget", _money(plan["budget_worth"], currency)),
        ("cost of the order", _money(found["spent"], currency)),
        ("expected profit added by the order", _money(found["gain"], currency)),
    ]
    rows = [{**line, "cost": price_text(line["cost"]), "how": told_of(line)} for line in found["lines"]]
    talk, ruled = found.get("talk"), found.get("rule")
    names = {
        "name": "Product", "proposed": "Planned",
        **({"rule": "Rule"} if ruled else {}), **({"talked": "After the talk"} if talk else {}),
        "ordered": "Ordered", "cost": "Unit cost", "gain": "Order adds",
        **({"planned_gain": "Plan adds"} if talk or ruled else {}),
        "how": "How the talk ended; what the limits changed" if talk else "Why",
    }  # fmt: skip
    frame = pl.DataFrame(rows, infer_schema_length=None)
    digits = dict.fromkeys(("gain", "planned_gain"), 2)
    table = plain_table(frame, "Units by product", names, digits=digits)
    who = "rule proposes within limits" if ruled and ruled["use"] == "proposal" else "plan proposes"
    moved = "the talk may move it, " if talk else ""
    lead = f"The {who}, {moved}budget and shelf have the last word. What is added is expected profit beyond "
    lead += "that of ordering none of the product, by the plan's forecast."
    return Section("order", "The order", lead, (Facts(tuple(facts)), table))


def _numbers(order: OrderFile, cases: Sequence[Case]) -> Section:
    rows = [_numbers_of(p, case) for p, case in zip(order.product, cases, strict=True)]
    names = {
        "name": "Product", "price": "Sold at", "breaks": "Unit cost", "stock": "In stock",
        "sold": "Sold by week, last one last", "demand": "Demand", "suggested": "Planned",
        "low": "Talk: at least", "high": "Talk: at most", "pack": "Pack", "minimum": "Minimum",
        "available": "Available", "walk_away": "Walk-away cost",
    }  # fmt: skip
    frame = pl.DataFrame(rows, infer_schema_length=None)
    table = plain_table(frame, "Prices, stock and limits", names)
    lead = f"What the plan rests on. The talk may move it by {order.talk.move:.0%} of the planned units"
    lead += " or leave it out." if order.talk.drop else "; none lies outside, unless that reaches 0."
    return Section("numbers", "The numbers behind it", lead, (table,))


def _numbers_of(product: ProductTable, case: Case) -> dict[str, Any]:
    option = case.options[0]
    return {
        "name": product.name, "price": price_text(product.price),
        "breaks": ", ".join(f"{price_text(cost)} from {least}" for least, cost in product.cost),
        "stock": product.stock, "sold": ", ".join(f"{units:g}" for units in product.sold),
        "demand": next((fact.text for fact in case.facts if fact.topic == "demand"), None),
        "suggested": option.suggested, "low": option.low,
        "high": None if option.high >= MOST_UNITS else option.high,
        "pack": product.pack, "minimum": product.minimum, "available": product.available,
        "walk_away": None if product.walk_away is None else price_text(product.walk_away),
    }  # fmt: skip


def _talk(talk: Mapping[str, Any]) -> Section:
    facts = Facts(
        (
            ("model", str(talk["model"])),
            ("turns", number(talk["turns"])),
            ("turns that could not be read", number(talk["unreadable"])),
            ("turns repaired", number(talk["repaired"])),
            ("tokens read, written", f"{number(talk['tokens_read'])}, {number(talk['tokens_written'])}"),
        )
    )
    blocks: list[Block] = [facts]
    names = {"round": "Round", "role": "Role", "units": "Units", "claim": "Claim", "evidence": "Evidence"}
    for product in dict.fromkeys(turn["product"] for turn in talk["said"]):
        said = [t for t in talk["said"] if t["product"] == product]
        rows = [{**t, "evidence": "; ".join(t["evidence"]) or "none"} for t in said]
        blocks.append(plain_table(pl.DataFrame(rows), str(product), names))
    lead = "Every readable turn, by product and round. Units of 0 propose to buy nothing."
    return Section("talk", "What was said", lead, tuple(blocks))


def _money(value: float, currency: str) -> str:
    return f"{number(float(value), 2)} {currency}".rstrip()
