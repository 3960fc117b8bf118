"""The rule of an order on its page: formula, sentence, its units beside the plan's, and its front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from malles.report.blocks import Block, Facts, Figure, Section, Text
from malles.report.figures import draw_front
from malles.report.tables import number, plain_table

USES = {
    "fact": "Roles that see the plan also read the rule's units; the order moves only if they do.",
    "proposal": "Within limits the rule's units take the place of the plan's.",
}
"""What the section says of a use."""
BOUNDS = {"plan": "the room of a talk around the plan", "limits": "packs, minimum, budget and the like alone"}
JUDGE = "Profits are expected by the forecast that the plan maximises, so that they favour the plan."
FRONT = {"nodes": "Nodes", "error": "Error", "low": "from", "high": "to", "rule": "Rule"}


def rule_section(rule: Mapping[str, Any], lines: list[Mapping[str, Any]]) -> Section:
    """The section of a rule.

    Args:
        rule: `rule` of decision.json.
        lines: `lines` of decision.json.
    """
    facts = Facts((("formula", rule["formula"]), ("nodes", number(rule["nodes"])), ("use", rule["use"])))
    if rule["use"] == "proposal":
        facts = Facts((*facts.pairs, ("held within", BOUNDS[rule["bound"]])))
    blocks: list[Block] = [Text(rule["sentence"], quote=True), facts, _values(rule, lines)]
    if rule["front"]:
        front = pl.DataFrame(rule["front"], infer_schema_length=None)
        spoken = "; ".join(f"{r['nodes']} nodes {number(r['error'])}" for r in rule["front"])
        shown = {k: v for k, v in FRONT.items() if front[k].is_not_null().any()}
        digits = dict.fromkeys(("error", "low", "high"), 4)
        caption = f"{_first_upper(rule['error'])} by complexity; the rule of the order is filled."
        blocks += [
            Figure(draw_front(front, rule["error"]), caption, spoken),
            plain_table(front, f"The front of the rule, by {rule['error']}", shown, digits=digits),
        ]
    lead = f"A formula short enough to check by hand. {USES[rule['use']]} {JUDGE}"
    return Section("rule", "The rule", lead, tuple(blocks))


def _values(rule: Mapping[str, Any], lines: list[Mapping[str, Any]]) -> Any:
    rows = [
        {
            "product": value["product"],
            "read": ", ".join(f"{name} {size:.4g}" for name, size in value["inputs"].items()),
            "units": value["units"], "held": value["held"], "proposed": line["proposed"],
            "ordered": line["ordered"], "profit": value["profit"], "planned_profit": value["planned_profit"],
            "changed": "; ".join(value["corrections"]),
        }
        for value, line in zip(rule["values"], lines, strict=True)
    ]  # fmt: skip
    names = {
        "product": "Product", "read": "What it reads", "units": "Rule", "held": "Within limits",
        "proposed": "Planned by arithmetic", "ordered": "Ordered",
        "profit": "Expected profit, rule within limits", "planned_profit": "Expected profit, plan",
        "changed": "What the limits change",
    }  # fmt: skip
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return plain_table(
        frame, "Units by the rule", names, digits=dict.fromkeys(("profit", "planned_profit"), 2)
    )


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]
