"""Order files: one sentence for every mistake; planned, talked about within bounds, kept on disk."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from malles.discussion.roles import ALONE, ROLES
from malles.discussion.rounds import discuss
from malles.discussion.transcript import replay
from malles.errors import ConfigError
from malles.llm.backends.scripted import ScriptedBackend
from malles.stages.negotiate import negotiate
from malles.wholesale.order import OrderFile, ProductTable, TalkTable, load_order
from malles.wholesale.talk import build_cases, plan_file, settle_order

EXAMPLE = Path(__file__).parents[2] / "examples" / "order.toml"


def written(tmp_path, text: str) -> Path:
    path = tmp_path / "order.toml"
    path.write_text(text)
    return path


JAM = '[[product]]\nname = "jam"\nprice = 3.0\ncost = [[0, 2.0]]\nsold = [9, 9, 9, 9]\n'


def test_the_example_is_planned_within_its_budget():
    order = load_order(EXAMPLE)
    items, plan = plan_file(order)
    assert len(items) == 3
    assert 0 < plan.spent <= order.order.budget
    jam = plan.orders[0]
    assert jam.units % 6 == 0
    assert jam.cost == 1.8  # the price break from 24 is worth it
    lines = settle_order(order, items, plan, None)
    assert [x.ordered for x in lines] == [o.units for o in plan.orders]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("stok = 3\n", "unknown setting 'product.0.stok'. Did you mean 'stock'"),
        ("minimum = 9\navailable = 3\n", "jam: minimum 9 and available 3 contradict each other"),
        ("stock = -1\n", "product.0.stock"),
        ("pack = 0\n", "product.0.pack"),
        ("salvage = 2.0\n", "jam: salvage 2 is not below the lowest cost of 2: every further unit"),
    ],
)
def test_a_mistake_is_named_in_one_sentence(tmp_path, change, said):
    with pytest.raises(ConfigError) as caught:
        load_order(written(tmp_path, JAM + change))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_no_products_and_two_of_one_name_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="There is no order file"):
        load_order(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="product"):
        load_order(written(tmp_path, "[order]\nbudget = 1.0\n"))
    with pytest.raises(ConfigError, match="'jam' stands there twice"):
        load_order(written(tmp_path, JAM + JAM))


def test_the_talk_may_only_move_within_its_bounds(tmp_path):
    """A model that always asks for 99,999 gets a quarter more than the proposal, in whole packs."""

    def write(conversation):
        return json.dumps({"claim": "more!", "evidence": [], "choice": "A", "units": 99_999})

    order = load_order(written(tmp_path, JAM))
    found = negotiate(
        order, tmp_path / "kept", speak=lambda: ScriptedBackend(write=write), tell=lambda *_: None
    )
    line = found["lines"][0]
    assert line["proposed"] > 0
    assert line["ordered"] == int(line["proposed"] * 1.25)
    assert line["corrections"] == (f"the talk may take at most {line['ordered']}",)
    assert found["talk"]["roles"] == ["manufacturer", "service", "dealer"]
    assert replay(tmp_path / "kept" / "transcript.jsonl")[0][0].decision.units == line["ordered"]
    assert "jam," in (tmp_path / "kept" / "orders.csv").read_text()


@pytest.mark.parametrize(
    ("product", "said", "ordered"),
    [
        ("walk_away = 1.9\n", 40, {0}),  # a unit costs 2
        ("minimum = 40\nstock = 36\n", 1, {0}),  # nothing is needed, and 40 lie far beyond the room
        ("minimum = 30\n", 1, {30}),  # about 36 are planned: fewer than the minimum cannot be had
    ],
)
def test_hard_limits_hold_with_and_without_a_talk(tmp_path, product, said, ordered):
    """Four weeks of 9 jams are to be covered; whatever is said, and if nobody is asked."""
    order = load_order(written(tmp_path, "[order]\nname = 'o'\nweeks = 4\n" + JAM + product))
    items, plan = plan_file(order)
    reply = json.dumps({"claim": "it sells", "evidence": [], "choice": "A", "units": said})
    talks = discuss(
        build_cases(order, items, plan), list(ROLES.values()), ScriptedBackend(write=lambda c: reply)
    )
    found = {x[0].ordered for x in (settle_order(order, items, plan, t) for t in (None, talks))}
    assert found <= ordered | {u for u in (plan.orders[0].units,) if u >= 30}
    assert settle_order(order, items, plan, talks)[0].ordered in ordered


def test_a_dear_tier_is_left_and_a_bearable_one_taken(tmp_path):
    """At most 1.60 is paid, which holds from 24 units on: 24 or more are ordered, or nothing."""
    text = JAM.replace("[[0, 2.0]]", "[[0, 2.0], [24, 1.5]]") + "walk_away = 1.6\n"
    for stock, some in ((0, True), (60, False)):
        items, plan = plan_file(load_order(written(tmp_path, text + f"stock = {stock}\n")))
        assert items[0].smallest_order() == 24
        assert (plan.orders[0].units >= 24) is some
        assert some or plan.orders[0].units == 0


def test_what_the_talks_ask_for_together_is_fitted_into_the_budget(tmp_path):
    text = "[order]\nbudget = 60.0\n[talk]\nmove = 1.0\n" + JAM + JAM.replace("jam", "tea")
    order = load_order(written(tmp_path, text))

    def write(conversation):
        return json.dumps({"claim": "all of it", "evidence": [], "choice": "A", "units": 60})

    found = negotiate(
        order, tmp_path / "kept", speak=lambda: ScriptedBackend(write=write), tell=lambda *_: None
    )
    assert sum(x["talked"] * 2.0 for x in found["lines"]) > 60.0
    assert found["spent"] <= 60.0


def test_a_model_that_talks_nonsense_orders_nothing_and_is_counted(tmp_path):
    order = load_order(written(tmp_path, JAM))
    found = negotiate(
        order,
        tmp_path / "kept",
        speak=lambda: ScriptedBackend(write=lambda c: "Nonsense."),
        tell=lambda *_: None,
    )
    assert found["lines"][0]["ordered"] == 0
    assert "nothing is ordered" in found["lines"][0]["end"]
    assert found["talk"]["unreadable"] == 12


def test_facts_are_those_of_the_file_and_every_role_sees_some():
    order = load_order(EXAMPLE)
    items, plan = plan_file(order)
    cases = build_cases(order, items, plan)
    assert [c.id for c in cases] == ["plum jam", "mint tea", "candle holder"]
    topics = {f.topic for f in cases[0].facts}
    assert {"cost", "stock", "demand", "proposal", "reviews", "stock-out", "promotion"} <= topics


def said(units: int, choice: str = "A") -> str:
    return json.dumps({"claim": "it sells", "evidence": [], "choice": choice, "units": units})


def talked(order, reply: str):
    """The only line after every role said `reply`, and the plan's units."""
    items, plan = plan_file(order)
    backend = ScriptedBackend(write=lambda c: reply)
    talks = discuss(build_cases(order, items, plan), list(ROLES.values()), backend)
    (line,) = settle_order(order, items, plan, talks)
    return line, items[0]


@pytest.mark.parametrize("nothing", [said(0), said(9, "none")])
def test_a_talk_may_not_leave_out_what_the_plan_orders(tmp_path, nothing):
    """Planned p: nothing becomes three quarters of p, rounded up; with drop, or the whole as room, 0."""
    order = load_order(written(tmp_path, JAM))
    line, _ = talked(order, nothing)
    assert line.ordered == math.ceil(0.75 * line.proposed) > 0
    assert line.corrections == (f"nothing was proposed; the talk may take at least {line.ordered}",)
    for talk in ("[talk]\ndrop = true\n", "[talk]\nmove = 1.0\n"):
        line, _ = talked(load_order(written(tmp_path, talk + JAM)), nothing)
        assert (line.ordered, line.corrections) == (0, ())
    unread, _ = talked(order, "Nonsense.")
    assert (unread.ordered, unread.corrections) == (0, ())


@given(st.floats(0, 1), st.integers(1, 40), st.integers(1, 5), st.integers(0, 80))
@settings(deadline=None, max_examples=25)
def test_the_talk_never_leaves_its_stated_part_of_the_plan(move, weekly, pack, units):
    product = ProductTable(name="jam", price=3.0, cost=((0, 2.0),), sold=(float(weekly),), pack=pack)
    order = OrderFile(product=(product,), talk=TalkTable(move=move))
    line, _ = talked(order, said(units))
    assert abs(line.ordered - line.proposed) <= move * max(line.proposed, pack) + 1e-6


def test_what_the_talk_costs_stands_beside_the_plan_and_a_lost_price_break_is_named(tmp_path):
    """By hand from the forecast: 3 E[min(D, q)] less the cost of q; 20 are planned for their price."""
    text = JAM.replace("[[0, 2.0]]", "[[0, 2.0], [20, 1.5]]")
    line, item = talked(load_order(written(tmp_path, text)), said(1))
    p = item.demand.probability
    bring = {q: 3 * sum(min(d, q) * x for d, x in enumerate(p)) for q in (line.proposed, line.ordered)}
    assert line.proposed >= 20 > line.ordered
    assert line.planned_gain == pytest.approx(bring[line.proposed] - 1.5 * line.proposed)
    assert line.gain == pytest.approx(bring[line.ordered] - 2.0 * line.ordered)
    assert line.gain < line.planned_gain
    assert "loses the price break at 20" in line.notes


@pytest.mark.parametrize(
    ("head", "change", "why"),
    [
        ("", "stock = 60\n", "stock at hand covers demand"),
        ("", "walk_away = 1.6\n", "every unit costs more than the walk-away of 1.60"),
        ("budget = 6.0\n", "minimum = 4\n", "the budget does not pay the smallest order"),
        ("", "minimum = 90\n", "an order adds no expected profit"),
        ("", "available = 5\npack = 6\n", "at most 5 can be had, less than the smallest order"),
    ],
)
def test_why_none_is_ordered(tmp_path, head, change, why):
    order = load_order(written(tmp_path, f"[order]\n{head}" + JAM + change))
    items, plan = plan_file(order)
    (line,) = settle_order(order, items, plan, None)
    assert (line.ordered, line.notes) == (0, (why,))


def test_a_budget_spent_on_a_better_product_is_the_reason(tmp_path):
    dear = JAM.replace("jam", "tea").replace("price = 3.0", "price = 2.2")
    order = load_order(written(tmp_path, "[order]\nbudget = 20.0\n" + JAM + dear))
    items, plan = plan_file(order)
    assert settle_order(order, items, plan, None)[1].notes == ("the budget is spent better elsewhere",)


def test_bounds_say_whose_they_are(tmp_path):
    """About 40 are planned; the supplier asks for 38 or more, has 41, or the talk may take a quarter off."""
    head = "[order]\nweeks = 4\n"
    plain, _ = talked(load_order(written(tmp_path, head + JAM)), said(1))
    p = plain.proposed
    for change, units, words in (
        ("", 1, f"the talk may take at least {math.ceil(0.75 * p)}"),
        (f"minimum = {p - 1}\n", 1, f"the supplier's minimum is {p - 1}"),
        (f"available = {p + 1}\n", 999, f"at most {p + 1} units can be had"),
        ("stock = 300\n", 999, "the plan orders none, and the talk may take at most 0"),
    ):
        line, _ = talked(load_order(written(tmp_path, head + JAM + change)), said(units))
        assert line.corrections == (words,)


def test_one_role_alone_agrees_with_nobody(tmp_path):
    order = load_order(written(tmp_path, JAM))
    items, plan = plan_file(order)
    for units, end in (((9, 9), "the same proposal twice in a row"), ((9, 12, 9, 12), "the last proposal")):
        replies = iter(units)
        backend = ScriptedBackend(write=lambda c, replies=replies: said(next(replies)))
        talks = discuss(build_cases(order, items, plan), [ALONE], backend)
        assert settle_order(order, items, plan, talks)[0].end.startswith(end)


def test_a_price_of_more_decimals_is_shown_in_full(tmp_path):
    order = load_order(written(tmp_path, JAM.replace("3.0", "0.825").replace("2.0", "0.5525")))
    facts = build_cases(order, *plan_file(order))[0].facts
    assert facts[0].text == "0.5525 each from 0"
    assert "sold at 0.825" in [f.text for f in facts]
