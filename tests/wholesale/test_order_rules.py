"""A rule in an order file: its units by hand, what they may move, and what is refused in one sentence."""

from __future__ import annotations

import csv
import json
from math import ceil, floor
from pathlib import Path

import pytest

from malles.cli import run as command_line
from malles.discussion.roles import ROLES, Role
from malles.errors import ConfigError
from malles.llm.backends.scripted import ScriptedBackend
from malles.report.order_page import order_content, order_sections
from malles.report.page import render_sections
from malles.stages.negotiate import negotiate, settled
from malles.wholesale.order import load_order
from malles.wholesale.rule import TOPIC, apply_rule, inputs_of, roles_that_see
from malles.wholesale.rule_table import INPUTS
from malles.wholesale.talk import build_cases, plan_file, settle_order

EXAMPLE = Path(__file__).parents[2] / "examples" / "order.toml"
JAM = '[[product]]\nname = "jam"\nprice = 3.0\ncost = [[0, 2.0]]\nsold = [9, 9, 9, 9]\nstock = 5\n'
TEA = JAM.replace("jam", "tea").replace("9, 9, 9, 9", "0, 4, 0, 4").replace("stock = 5", "stock = 0")
UP_TO = "max(0, demand * lead_time - stock)"


def order_of(tmp_path, formula: str = UP_TO, *, more: str = "", products: str = JAM, head: str = ""):
    path = tmp_path / "order.toml"
    path.write_text(
        f"[order]\nweeks = 2.0\n{head}\n[rule]\nformula = {json.dumps(formula)}\n{more}\n{products}"
    )
    return load_order(path)


def quiet(*_: object) -> None:
    """Progress that nobody hears."""


def test_units_by_hand(tmp_path):
    """Nine a week for two weeks, five in stock: 9 * 2 - 5 = 13; tea sold twice, four each: 4 * 2 = 8."""
    assert apply_rule(order_of(tmp_path)).units == (13,)
    found = apply_rule(order_of(tmp_path, "history * lead_time", products=JAM + TEA))
    assert found.units == (18, 8)
    assert found.inputs == ({"lead_time": 2.0, "history": 9.0}, {"lead_time": 2.0, "history": 4.0})


def test_every_documented_input_is_there_by_hand(tmp_path):
    more = "pack = 6\nminimum = 12\navailable = 40\n"
    found = inputs_of(order_of(tmp_path, products=JAM + more).product[0], 2.0)
    assert found == {
        "demand": pytest.approx(9.0), "lead_time": 2.0, "stock": 5.0, "last_week": 9.0, "history": 9.0,
        "price": 3.0, "cost": 2.0, "pack": 6.0, "minimum": 12.0, "available": 40.0,
    }  # fmt: skip
    assert found.keys() == INPUTS.keys()


def test_recent_weeks_count_more_in_the_demand_of_a_rule(tmp_path):
    """Weights 2^(-1/8) and 1 of 0 and 10: 10 / (1 + 0.917) = 5.22; the forecast over a week has that mean."""
    order = order_of(tmp_path, "demand", products=JAM.replace("9, 9, 9, 9", "0, 10"))
    demand = apply_rule(order).inputs[0]["demand"]
    assert demand == pytest.approx(10 / (1 + 2 ** (-1 / 8)))
    (item,), _ = plan_file(order)
    assert item.demand.mean == pytest.approx(2 * demand, rel=1e-4)


def test_halves_go_up(tmp_path):
    assert apply_rule(order_of(tmp_path, "stock / 2")).units == (3,)
    assert apply_rule(order_of(tmp_path, "stock * 0.499 / 5 + 2")).units == (2,)


def test_an_input_that_a_product_lacks_leaves_it_to_the_arithmetic(tmp_path):
    products = JAM + "available = 14\n" + TEA
    order = order_of(tmp_path, "available", products=products, more='use = "proposal"')
    applied = apply_rule(order)
    assert applied.units == (14, None)
    items, plan = plan_file(order)
    cases = build_cases(order, items, plan, applied)
    assert [any(f.topic == TOPIC for f in c.facts) for c in cases] == [True, False]
    lines = settle_order(order, items, plan, None, applied)
    assert [x.rule for x in lines] == [14, None]
    assert lines[1].ordered == plan.orders[1].units
    assert cases[1].options[0].suggested == plan.orders[1].units


def test_a_rule_as_a_fact_moves_nothing_by_itself(tmp_path):
    order = order_of(tmp_path, "100 * demand")
    items, plan = plan_file(order)
    applied = apply_rule(order)
    assert [x.ordered for x in settle_order(order, items, plan, None, applied)] == [plan.orders[0].units]
    (case,) = build_cases(order, items, plan, applied)
    (before,) = build_cases(order, items, plan)
    assert case.options == before.options
    assert case.facts[:-1] == before.facts
    assert case.facts[-1].text == "the rule says 900: 100 * demand"


@pytest.mark.parametrize(
    ("formula", "product", "ordered", "said"),
    [
        ("0 * stock", "[talk]\ndrop = true\n", 0, ""),
        ("0 * stock", "", None, "nothing was proposed; the rule may take at least"),
        ("1000 * demand", "", None, "the rule may take at most"),  # a quarter above the plan
        ("stock", "", None, "the rule may take at least"),  # a quarter below it
        ("13 + 0 * stock", "pack = 6\n", 12, "13 units are no whole packs of 6: 12"),
        ("20 * demand", "available = 11\n", 11, "at most 11 units can be had"),
        (UP_TO, "walk_away = 1.5\n", 0, "above the walk-away of 1.5"),
    ],
)
def test_a_rule_that_proposes_is_held_within_the_limits(tmp_path, formula, product, ordered, said):
    order = order_of(tmp_path, formula, more='use = "proposal"', products=JAM + product)
    items, plan = plan_file(order)
    planned = plan.orders[0].units
    assert planned == 0 if "walk_away" in product else planned > 4
    (line,) = settle_order(order, items, plan, None, apply_rule(order))
    bound = floor(planned * 1.25) if "most" in said else ceil(planned * 0.75)
    assert line.ordered == (bound if ordered is None else ordered)
    assert said in "; ".join(line.corrections)
    assert line.proposed == planned


def test_a_proposal_that_hard_limits_alone_bind_may_leave_the_plan(tmp_path):
    """20 times 9 is 180, which is ordered with bound = "limits"; and 3 becomes the minimum of 12."""
    more = 'use = "proposal"\nbound = "limits"'
    product = JAM + "pack = 6\nminimum = 12\navailable = 200\n"
    for formula, ordered in (("20 * demand", 180), ("stock - 2", 12), ("40 * demand", 198), ("0 * stock", 0)):
        order = order_of(tmp_path, formula, more=more, products=product)
        items, plan = plan_file(order)
        applied = apply_rule(order)
        (line,) = settle_order(order, items, plan, None, applied)
        assert line.ordered == ordered
        (case,) = build_cases(order, items, plan, applied)
        (before,) = build_cases(order, items, plan)
        assert case.options[0].suggested == ordered
        assert case.options[0].high == max(before.options[0].high, min(applied.units[0], 200))
        assert case.options[0].low == 12


def test_a_plan_of_nothing_binds_a_rule_unless_hard_limits_alone_do(tmp_path):
    """Sold below cost: the arithmetic orders none; neither does a rule within its room."""
    product = JAM.replace("price = 3.0", "price = 1.0")
    for bound, ordered in (("plan", 0), ("limits", 13)):
        order = order_of(tmp_path, more=f'use = "proposal"\nbound = "{bound}"', products=product)
        items, plan = plan_file(order)
        (line,) = settle_order(order, items, plan, None, apply_rule(order))
        assert (line.proposed, line.rule, line.ordered) == (0, 13, ordered)


def test_the_expected_profit_of_a_rule_stands_beside_that_of_the_plan(tmp_path):
    """The plan is the best by its own forecast; the profits of the plan add up to the plan's."""
    order = order_of(tmp_path, products=JAM + TEA)
    items, plan = plan_file(order)
    found = settled(order, items, plan, None, apply_rule(order))["rule"]["values"]
    assert sum(v["planned_profit"] for v in found) == pytest.approx(plan.profit)
    assert all(v["profit"] <= v["planned_profit"] for v in found)
    jam = items[0]
    sold = sum(min(d, 18) * p for d, p in enumerate(jam.demand.probability))
    assert found[0]["held"] == 13
    assert found[0]["profit"] == pytest.approx(3.0 * sold - 2.0 * 13)  # five in stock


def test_budget_and_shelf_hold_after_a_rule(tmp_path):
    """Jam and tea at 2.00 each by a rule that wants as much as it may get: never more than 30.00."""
    products = JAM + JAM.replace("jam", "tea")
    more = 'use = "proposal"\n[talk]\nmove = 1.0'
    order = order_of(tmp_path, "50 * demand", more=more, products=products, head="budget = 30.0")
    items, plan = plan_file(order)
    lines = settle_order(order, items, plan, None, apply_rule(order))
    assert sum(2.0 * x.talked for x in lines) > 30.0
    assert 0 < sum(2.0 * x.ordered for x in lines) <= 30.0


def test_a_rule_that_proposes_is_the_suggestion_of_a_talk_whose_bounds_stay(tmp_path):
    order = order_of(tmp_path, "max(0, demand + last_week - stock)", more='use = "proposal"')
    items, plan = plan_file(order)
    (case,), (before,) = build_cases(order, items, plan, apply_rule(order)), build_cases(order, items, plan)
    assert case.options[0].suggested == 13
    assert (case.options[0].low, case.options[0].high) == (before.options[0].low, before.options[0].high)


def test_every_role_that_sees_the_proposal_sees_the_rule():
    blind = Role("clerk", "Count.", ("stock",))
    roles = roles_that_see((*ROLES.values(), blind))
    assert [TOPIC in role.sees for role in roles] == [True, True, True, False]
    assert roles_that_see(roles) == roles
    assert not any(TOPIC in role.sees for role in ROLES.values())


def test_roles_read_the_rule_in_a_talk_and_it_is_kept(tmp_path):
    """A dealer that does what the rule says, with the fact cited, is heard: 13 units lie in the bounds."""
    seen = []

    def write(conversation):
        text = conversation[1].content
        seen.append("rule: the rule says 13: " + UP_TO in text)
        fact = next(line.split(" ")[0] for line in text.splitlines() if " rule: " in line)
        return json.dumps({"claim": "as the rule says", "evidence": [fact], "choice": "A", "units": 13})

    order = order_of(tmp_path)
    speak = lambda: ScriptedBackend(write=write)  # noqa: E731
    found = negotiate(order, tmp_path / "kept", speak=speak, tell=quiet)
    assert seen == [True, True, True]  # one round: they agree
    assert (found["lines"][0]["rule"], found["lines"][0]["talked"], found["lines"][0]["ordered"]) == (
        13,
        13,
        13,
    )
    kept = json.loads((tmp_path / "kept" / "decision.json").read_text())
    assert kept["rule"]["formula"] == UP_TO
    assert kept["rule"]["values"][0]["units"] == 13
    (row,) = csv.DictReader((tmp_path / "kept" / "orders.csv").open())
    assert (row["rule"], row["units"], int(row["proposed"])) == ("13", "13", kept["lines"][0]["proposed"])


def test_a_rule_switched_off_leaves_every_byte_as_if_the_file_had_none(tmp_path):
    """The example with and without a rule: the same four files when the rule is switched off."""

    def write(conversation):
        return json.dumps({"claim": "more", "evidence": [], "choice": "A", "units": 40})

    ruled = tmp_path / "ruled.toml"
    ruled.write_text(EXAMPLE.read_text() + f'\n[rule]\nformula = "{UP_TO}"\nuse = "proposal"\n')
    orders = load_order(EXAMPLE), load_order(ruled).model_copy(update={"rule": None}), load_order(ruled)
    for i, order in enumerate(orders):
        speak = lambda: ScriptedBackend(write=write)  # noqa: E731
        negotiate(order, tmp_path / str(i), speak=speak, tell=quiet)
    files = sorted(p.name for p in (tmp_path / "0").iterdir())
    assert files == ["decision.json", "orders.csv", "report.html", "transcript.jsonl"]
    for name in files:
        plain, off, on = ((tmp_path / str(i) / name).read_bytes() for i in range(3))
        assert plain == off
        assert plain != on
    assert "rule" not in json.loads((tmp_path / "0" / "decision.json").read_text())["lines"][0]


def test_the_command_shows_the_rule_and_switches_it_off(tmp_path, capsys):
    order_of(tmp_path)
    path = str(tmp_path / "order.toml")
    assert command_line(["negotiate", path, "--dry-run"]) == 0
    assert f"The rule, as a fact: {UP_TO}" in capsys.readouterr().out
    assert command_line(["negotiate", path, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lines"][0]["rule"] == 13
    assert command_line(["negotiate", path, "--dry-run", "--json", "--no-rule"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "rule" not in found
    assert "rule" not in found["lines"][0]


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("max(0, demnd - stock)", "The rule reads 'demnd', which is no input. Did you mean 'demand'?"),
        ("xyz * 2", "which is no input. There are available, cost, demand, history"),
        ("__import__('os').system('touch hacked')", "has no function '__import__'"),
        ("demand.__class__", "cannot be read at character 7: got '.'"),
        ("demand; stock", "cannot be read at character 7: got ';'"),
        ("1e400 * demand", "numbers between -1e100 and 1e100"),
        ("(" * 200 + "stock" + ")" * 200, "at most 40 levels deep"),
        ("demand *", "got the end of the text"),
    ],
)
def test_what_is_no_formula_is_refused_when_the_file_is_read(tmp_path, formula, said):
    with pytest.raises(ConfigError) as caught:
        order_of(tmp_path, formula)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'order.toml'}: [rule] formula: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('use = "order"', "rule.use: input should be 'fact' or 'proposal'"),
        ("uses = 1", "unknown setting 'rule.uses'. Did you mean 'use'?"),
        ('[[rule.front]]\nrule = "stok"\nerror = 1.0', "[[rule.front]] rule: The rule reads 'stok'"),
        ('[[rule.front]]\nrule = "stock"\nerror = -1.0', "rule.front.0.error"),
        ('[[rule.front]]\nrule = "stock"\nerror = nan', "rule.front.0.error"),
    ],
)
def test_a_mistake_beside_the_formula_is_named(tmp_path, more, said):
    with pytest.raises(ConfigError) as caught:
        order_of(tmp_path, more=more)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (
            "stock - demand",
            "The rule gives -4 units of 'jam' (demand 9, stock 5); an order has 0 to 10,000,000.",
        ),
        ("1e30 + demand", "The rule gives 1e+30 units of 'jam'"),
        ("exp(demand ^ 9)", "The rule gives 1.14201e+26 units of 'jam'"),
        ("(demand ^ 99) ^ 99", "The rule gives 1e+100 units of 'jam'"),
        (
            "available",
            "no product of the order: it reads 'available', the units that the supplier has, which 'jam'",
        ),
    ],
)
def test_impossible_units_are_refused_and_nothing_is_ordered(tmp_path, formula, said, capsys):
    order = order_of(tmp_path, formula)
    with pytest.raises(ConfigError, match="Nothing was ordered") as caught:
        negotiate(order, tmp_path / "kept", speak=None, tell=quiet)
    assert said in str(caught.value)
    assert not (tmp_path / "kept").exists()
    assert (
        command_line(["negotiate", str(tmp_path / "order.toml"), "--no-talk", "--out", str(tmp_path / "n")])
        == 2
    )
    assert not (tmp_path / "n").exists()
    assert command_line(["negotiate", str(tmp_path / "order.toml"), "--dry-run", "--no-rule"]) == 0


def test_the_page_shows_formula_sentence_values_and_front(tmp_path):
    front = "".join(
        f'[[rule.front]]\nrule = "{rule}"\nerror = {error}\nlow = {error - 5}\nhigh = {error + 5}\n'
        for rule, error in ((UP_TO, 20.5), ("history", 41.25))
    )
    order = order_of(tmp_path, more='error = "mean squared error"\n' + front)
    found = negotiate(order, tmp_path / "kept", speak=None, tell=quiet)
    assert [(r["nodes"], r["error"], r["chosen"]) for r in found["rule"]["front"]] == [
        (1, 41.25, False), (7, 20.5, True),
    ]  # fmt: skip
    page = (tmp_path / "kept" / "report.html").read_text()
    assert 'id="rule"' in page
    assert (
        "The order equals the expected units a week times the weeks to cover minus the units in stock, "
        "and never below 0." in page
    )
    assert "demand 9, lead_time 2, stock 5" in page
    assert page.count("<svg") == 1
    assert "mean squared error" in page
    assert "://" not in page.replace("http://www.w3.org", "")
    hostile = json.loads(json.dumps(found).replace("history", "<script>alert(1)</script>"))
    sections = order_sections(order, build_cases(order, *plan_file(order)), hostile)
    assert "<script" not in render_sections(order_content(order, hostile), sections)
