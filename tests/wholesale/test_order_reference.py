"""The reference of order files keeps step with the code: keys, defaults, topics, formulas and its example."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel
from scipy.stats import nbinom

from malles.cli import run as command_line
from malles.discussion.roles import EVERYTHING, ROLES, _RoleTable, load_roles
from malles.llm.backends.scripted import ScriptedBackend
from malles.stages.negotiate import negotiate
from malles.wholesale.order import OrderFile, OrderTable, ProductTable, TalkTable, load_order
from malles.wholesale.rule import TOPIC, apply_rule
from malles.wholesale.rule_table import FrontTable, RuleTable
from malles.wholesale.talk import build_cases, plan_file

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "method" / "orders.md").read_text("utf-8")
EXAMPLE = ROOT / "examples" / "order.toml"


def section(title: str) -> str:
    """The page from a heading, or a table from its head, to the next heading."""
    return re.split(r"\n## ", PAGE[PAGE.index(title) :])[0]


def rows(text: str) -> dict[str, list[str]]:
    """Cells of the first table of a text, by its first cell without backticks."""
    found: dict[str, list[str]] = {}
    for line in text[text.index("|") :].splitlines():
        if not line.startswith("|"):
            break
        first, *cells = (cell.strip() for cell in line.strip().strip("|").split("|"))
        if first.startswith("`"):
            found[first.strip("`")] = cells
    return found


@pytest.mark.parametrize(
    ("table", "head"),
    [
        (OrderTable, "## [order]"), (ProductTable, "## [[product]]"), (TalkTable, "## [talk]"),
        (RuleTable, "## [rule]"), (FrontTable, "| key of [[rule.front]]"), (_RoleTable, "## A file of roles"),
    ],
)  # fmt: skip
def test_every_key_stands_on_the_page_with_its_default(table: type[BaseModel], head: str):
    said = rows(section(head))
    assert list(said) == list(table.model_fields)
    for name, field in table.model_fields.items():
        if field.is_required():
            shown = "required"
        else:
            shown = "none" if field.default is None else f"`{json.dumps(field.default)}`"
        assert said[name][0] == shown, name


def test_every_table_of_a_file_has_a_section():
    assert set(OrderFile.model_fields) == {"order", "product", "talk", "rule"}


def test_the_topics_of_the_page_are_those_of_a_product_of_which_everything_is_known(tmp_path: Path):
    words = "".join(f'{key} = "so"\n' for key in ("returns", "reviews", "promotion", "stock_outs"))
    text = '[rule]\nformula = "demand"\n[order]\nbudget = 9.0\n[[product]]\nname = "jam"\nprice = 3.0\n'
    (tmp_path / "o.toml").write_text(text + "cost = [[0, 2.0]]\nsold = [9, 9]\n" + words)
    order = load_order(tmp_path / "o.toml")
    (case,) = build_cases(order, *plan_file(order))
    said = rows(PAGE[PAGE.index("| topic |") :])
    assert set(said) == {f.topic for f in case.facts} | {TOPIC}
    for topic, cells in said.items():
        asked = "proposal" if topic == TOPIC else topic  # whoever sees the plan sees the rule
        seen = [bool(tick) for tick in cells[-3:]]
        assert seen == [asked in ROLES[name].sees for name in ("manufacturer", "service", "dealer")], topic


def test_the_example_of_the_page_runs_and_says_what_the_page_says(tmp_path: Path, capsys):
    path = tmp_path / "order.toml"
    path.write_text(re.findall(r"```toml\n(\[order\].*?)```", PAGE, re.DOTALL)[0])
    assert command_line(["negotiate", str(path), "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jam, tea = found["lines"]
    assert f"{jam['ordered']} plum jam at {jam['cost']:.2f} and {tea['ordered']} mint tea" in PAGE
    assert f"together {found['spent']:.2f} GBP; the rule says {jam['rule']} and {tea['rule']}" in PAGE


def test_the_law_of_the_page_gives_the_range_that_roles_read():
    """Plum jam of the example over five weeks, by the formulas of the page: 34 to 53 are its outer tenths."""
    order = load_order(EXAMPLE)
    x, weeks = np.array(order.product[0].sold), order.order.weeks
    w = 2.0 ** (-np.arange(len(x))[::-1] / 8)
    m, n = (w @ x) / w.sum(), w.sum() ** 2 / (w @ w)
    s2 = (w @ (x - m) ** 2) / w.sum() * n / (n - 1)
    mean, variance = weeks * m, weeks * s2 + weeks**2 * max(s2, m) / n
    low, high = nbinom(mean**2 / (variance - mean), mean / variance).ppf([0.1, 0.9])
    assert (low, high) == (34, 53)
    case = build_cases(order, *plan_file(order))[0]
    (demand,) = (f.text for f in case.facts if f.topic == "demand")
    assert demand == f"{mean:.0f} expected in 5 weeks, 34 to 53 likely"
    assert demand in PAGE


def test_the_texts_of_the_page_are_those_that_roles_read_of_the_example(tmp_path: Path):
    """`examples/order.toml` with its rule, which stands there as a comment."""
    text = re.sub(r"^# (\[rule\]|formula = .*)$", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    (tmp_path / "order.toml").write_text(text)
    order = load_order(tmp_path / "order.toml")
    cases = build_cases(order, *plan_file(order), apply_rule(order))
    read = {(f.topic, f.text) for case in cases for f in case.facts}
    shown = {
        (topic, cells[1].partition(" (")[0]) for topic, cells in rows(PAGE[PAGE.index("| topic |") :]).items()
    }
    assert len(shown) == 13
    assert shown <= read


def test_the_role_of_the_page_is_a_role(tmp_path: Path):
    (tmp_path / "roles.toml").write_text(re.findall(r"```toml\n(\[\[role\]\].*?)```", PAGE, re.DOTALL)[0])
    assert [r.name for r in load_roles(tmp_path / "roles.toml")] == ["owner"]


def test_the_example_of_roles_discusses_the_example_order(tmp_path: Path):
    """Three roles that all ask for the proposal: agreed at once, and each read only its topics."""
    text = (ROOT / "examples" / "roles.toml").read_text()
    (tmp_path / "roles.toml").write_text(text)
    roles = load_roles(tmp_path / "roles.toml")
    assert [r.name for r in roles if r.decides] == ["owner"]
    named = re.findall(r"^#   (.*)$", text, re.MULTILINE)  # as the file says that it is named
    assert len(named) == 2
    (tmp_path / "order.toml").write_text(EXAMPLE.read_text() + "\n".join(named) + "\n")
    order = load_order(tmp_path / "order.toml")
    cases = build_cases(order, *plan_file(order))
    for role in roles:
        known = set().union(*({f.topic for f in role.facts(case)} for case in cases))
        assert known <= set(role.sees) or EVERYTHING in role.sees
        assert set(role.sees) - {EVERYTHING} <= {f.topic for case in cases for f in case.facts}

    def write(conversation):
        units = int(conversation[1].content.split("the arithmetic says ")[1].split()[0])
        return json.dumps({"claim": "as planned", "evidence": [], "choice": "A", "units": units})

    found = negotiate(
        order, tmp_path / "kept", speak=lambda: ScriptedBackend(write=write), tell=lambda *_: None
    )
    assert found["talk"]["roles"] == ["supplier", "shop floor", "owner"]
    assert [x["ordered"] for x in found["lines"]] == [x["proposed"] for x in found["lines"]]
    assert all(x["end"].startswith("agreed") for x in found["lines"])
