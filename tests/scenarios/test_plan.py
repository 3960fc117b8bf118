"""The planner on small logit markets whose best plan is known from every plan there is, and its file."""

import csv
import itertools
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from tests.scenarios.logit_markets import PRODUCTS, Logit, market_of, shelf_of
from tests.scenarios.test_scenario_examples import small

from house.source_tree import CLONE
from malles.cli import plan as command
from malles.config import Config
from malles.config.plan_file import PlanFile, build_plan_file, load_plan_file
from malles.config.scenario_file import build_scenario_file
from malles.errors import ConfigError, MissingExtra, UsageError
from malles.scenarios.naming import Resolved, resolve_scenario
from malles.scenarios.plan_goal import Worth
from malles.scenarios.plan_space import Lever, Limits, PlanSpace, Today, build_grid
from malles.scenarios.rehearsal import Desk
from malles.scenarios.responses import certain
from malles.stages import plan_search
from malles.stages.plan import answer_plan
from malles.stages.plan_search import Answers, require_optuna, search_plan
from malles.stages.planner import Planner, check_plan, write_scenario
from malles.stages.rehearse import OpenMarket

WEEKS = (8, 9)
TODAY = (2.0, 2.2, 1.8, 2.5, 2.1)
"""Price of every product today."""


def catalogue() -> Any:
    """Five products of one category, keys "0" to "4"; products 0 and 1 are of one maker."""
    known = small()
    here = np.arange(PRODUCTS)
    products = known.products
    cut = replace(
        products, key=products.key[:PRODUCTS].clone(), category=np.zeros(PRODUCTS, np.int32),
        group=products.group[here], department=products.department[here],
        manufacturer=np.array([0, 0, 1, 1, 1], np.int32), private_label=products.private_label[here],
        size=products.size[here], amount=products.amount[here],
        text=products.text[:PRODUCTS].clone(),
    )  # fmt: skip
    cut = replace(cut, key=type(cut.key)([str(code) for code in here]))
    lines = replace(
        known.lines,
        **{name: getattr(known.lines, name)[:PRODUCTS] for name in known.lines.__dataclass_fields__},
    )
    return replace(known, products=cut, lines=lines, category_name=("THINGS",))


def desk() -> Desk:
    """Forty trips in each of two weeks, all five products on every shelf at one price, elastic customers."""
    n = 80
    occasions = shelf_of(
        np.tile(TODAY, (n, 1)), customer=np.arange(n) % 30, week=np.repeat(WEEKS, n // 2),
        promotion=np.tile([0, 1, 0, 0, 0], (n, 1)),
    )  # fmt: skip
    return Desk.of(market_of(occasions), Logit(slope=4.0))


@dataclass
class SmallMarket(OpenMarket):
    """An open market of one desk."""

    only: Desk | None = None
    questions: int = 0

    @property
    def weeks(self) -> tuple[int, int]:
        return WEEKS

    def resolve(self, file: Any) -> Resolved:
        return resolve_scenario(file, self.catalogue, WEEKS, 0)

    def desk(self, asked: Resolved, customers: float | None = None) -> Desk:
        assert self.only is not None
        return self.only

    def response_parameters(self, category: int) -> Any:
        return certain()

    def rehearse(self, asked: Resolved, **options: Any) -> Any:
        self.questions += 1
        return super().rehearse(asked, **options)


def market() -> SmallMarket:
    return SmallMarket(catalogue(), Config(), None, None, None, only=desk())  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def unchecked(shapes_unchecked: None) -> Iterator[None]:
    """The market has no models, only a desk; a desk so small gains nothing from threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


PRICE = {"product": "1", "prices": [1.4, 3.4], "step": 0.2}
PROMOTION = {"product": "2", "prices": [1.4, 1.8, 2.2], "display": True}


LIMITS = {"units_at_least": 1.0, "revenue_at_least": 0.9, "most_displays": 1}


def file_of(*levers: dict[str, Any], goal: str = "margin", limits: Any = None, **plan: Any) -> PlanFile:
    return build_plan_file({
        "plan": {"goal": goal, "weeks": list(WEEKS), "margin": 0.4, **plan},
        "lever": list(levers), "constraints": limits or {},
    })  # fmt: skip


def planner_of(file: PlanFile, seed: int = 3) -> Planner:
    return Planner(market(), file, draws=40, seed=seed)


def best_of_all(planner: Planner) -> tuple[tuple[int, ...], float]:
    """By asking every plan there is."""
    every = itertools.product(*(range(len(axis.options)) for axis in planner.space.axes))
    worth = {plan: planner.ask(plan) for plan in every}
    kept = {p: w.value for p, w in worth.items() if min(w.slack.values(), default=0.0) >= -1e-9}
    best = max(kept, key=lambda plan: kept[plan])
    return best, kept[best]


def answer(planner: Planner, trials: int = 40, grid: int = 0, **options: Any) -> dict[str, Any]:
    pytest.importorskip("optuna", reason="the planner needs the extra plan")
    return answer_plan(planner, trials=trials, grid_points=grid, **options)


# ---- the search ----


def test_the_best_price_of_a_logit_is_found_within_a_step():
    """Margin of one's own product, demand known in closed form: the best point of the ladder by hand."""
    planner = planner_of(file_of(PRICE, own=["1"]))
    cost = planner.asked.cost[1]
    base = planner.market.desk(planner.asked).market.occasions
    gain = []
    for price in file_of(PRICE).lever[0].points:
        here = replace(base, price=np.where(base.product == 1, np.float32(price), base.price))
        demand = Logit(slope=4.0)(here)
        units = demand.expected()[0][here.product == 1].sum()
        gain.append((price - cost) * units)
    by_hand = file_of(PRICE).lever[0].points[int(np.argmax(gain))]
    assert 1.4 < by_hand < 3.4  # the best is inside, not at an end of the ladder
    found = answer(planner, trials=12)
    assert {row["price"] for row in found["plan"]} <= {by_hand - 0.2, by_hand, by_hand + 0.2} or (
        abs(found["plan"][0]["price"] - by_hand) < 0.2 + 1e-9
    )


@pytest.mark.parametrize("goal", ["margin", "revenue", "units", "consumer surplus"])
def test_the_plan_is_the_best_of_all_plans(goal: str):
    planner = planner_of(file_of(PRICE, PROMOTION, goal=goal, limits={"price_change_at_most": 0.3}))
    best, value = best_of_all(planner)
    found = answer(planner, trials=40, grid=200)
    assert found["regret"]["whole"]
    assert found["regret"]["grid_best"] == pytest.approx(value)
    assert found["search"]["plan"] == pytest.approx(value, rel=1e-3)
    assert found["search"]["plan"] <= value + 1e-9
    rows = planner.space.rows(best)
    for row, mine in zip(rows, found["plan"], strict=True):
        assert abs(row.price - mine["price"]) < 0.4 + 1e-9
    assert found["regret"]["search_questions"] <= 40


def test_the_best_plan_at_the_edge_of_a_constraint_is_found_from_every_seed():
    """Cheap is good, two prices share one floor: from today's edge, only steps on both axes keep it."""
    pytest.importorskip("optuna", reason="the planner needs the extra plan")
    now = (Today(8, 1.0, 1.0, False),)
    ladders = [tuple(None if j == today else 1.0 + j for j in range(n)) for n, today in ((12, 8), (14, 8))]
    space = PlanSpace(tuple(Lever(i, now, ladder, (None,)) for i, ladder in enumerate(ladders)))

    def ask(plan: tuple[int, ...]) -> Worth:
        i, j = plan
        return Worth(0.0, 4.0 * (8 - i) + 2.1 * (8 - j), {"floor": i - 8 + 0.7 * (j - 8)})

    every = itertools.product(range(12), range(14))
    best = max((w.value, plan) for plan in every if not (w := ask(plan)).violation)
    assert best == (pytest.approx(4.0 * 2 - 2.1 * 3), (6, 11))
    for seed in range(6):
        assert search_plan(space, Answers(ask), trials=80, seed=seed).best == (6, 11)


def test_regret_is_the_distance_to_the_best_of_the_grid_in_parts_of_today():
    planner = planner_of(file_of(PRICE, PROMOTION))
    _, value = best_of_all(planner)
    found = answer(planner, trials=1, grid=200)  # today's plan is the only question
    base = planner.ask(planner.space.base)
    assert base.base == pytest.approx(base.value)
    assert found["search"]["change"] == pytest.approx(0.0)
    assert found["regret"]["regret"] == pytest.approx((value - base.base) / base.base)
    assert found["regret"]["regret"] > 0.01
    assert (found["regret"]["grid_questions"], found["regret"]["search_questions"]) == (11 * 3 * 2, 1)


def test_constraints_hold_in_the_plan_and_cost_something():
    levers = ({**PRICE, "weeks": "each", "display": True}, {**PROMOTION, "weeks": "each"})
    free = answer(planner_of(file_of(*levers)), trials=60)
    limits = {"units_at_least": 1.0, "promo_weeks_at_most": 1, "most_displays": 1, "revenue_at_least": 1.0}
    planner = planner_of(file_of(*levers, limits=limits))
    found = answer(planner, trials=60)
    assert {row["constraint"] for row in found["constraints"]} == set(limits)
    assert min(row["slack"] for row in found["constraints"]) >= -1e-9
    assert found["search"]["plan"] < free["search"]["plan"]
    for week in WEEKS:
        assert sum(row["display"] for row in found["plan"] if row["week"] == week) <= 1
    for product in {row["product"] for row in found["plan"]}:
        assert sum(row["promoted"] for row in found["plan"] if row["product"] == product) <= 1
    question = planner.rehearse(planner_plan(planner, found), draws=40, seed=3)
    units = question.drawn[..., 0].sum((2, 3)).mean(0)
    assert units[1] >= units[0]


def planner_plan(planner: Planner, found: dict[str, Any]) -> tuple[int, ...]:
    """The plan of an answer, read back from its table."""
    for plan in itertools.product(*(range(len(axis.options)) for axis in planner.space.axes)):
        rows = planner.space.rows(plan)
        if all((r.price, r.display, r.changed) == (m["price"], m["display"], m["changed"])
               for r, m in zip(rows, found["plan"], strict=True)):  # fmt: skip
            return plan
    raise AssertionError("the table is no plan of the space")


def test_the_same_seed_gives_the_same_plan_and_another_seed_another_search():
    file = file_of({**PRICE, "weeks": "each"}, {**PROMOTION, "weeks": "each"})
    one, two, other = (answer(planner_of(file, seed), trials=25) for seed in (3, 3, 4))
    assert one == two
    assert one["questions"] != other["questions"]


def test_the_winner_is_asked_again_with_other_luck():
    found = answer(planner_of(file_of(PRICE, PROMOTION)), trials=20)
    assert found["goal"]["draws"] == 200
    gap = found["search"]["change"] - found["goal"]["change"]["value"]
    assert found["search"]["optimism"] == pytest.approx(gap)
    assert gap != 0.0
    low, high = found["goal"]["change"]["low"], found["goal"]["change"]["high"]
    assert low < found["goal"]["change"]["value"] < high


# ---- what is kept ----


def test_a_resumed_search_ends_where_an_uninterrupted_one_ends(tmp_path: Path):
    file = file_of({**PRICE, "weeks": "each"}, {**PROMOTION, "weeks": "each"}, limits=LIMITS)
    whole = answer(planner_of(file), trials=30)

    planner = planner_of(file)

    def stop(question: int, best: float) -> None:
        if question == 17:
            raise KeyboardInterrupt

    part = answer(planner, trials=30, journal=tmp_path / "kept.json", run="run", say=stop, grid=50)
    assert part["stopped"]
    assert part["regret"] is None
    assert len(part["questions"]) == 17
    assert part["questions"] == whole["questions"][:17]
    assert "--resume" in part["notes"][-1]

    planner = planner_of(file)
    on = answer(planner, trials=30, journal=tmp_path / "kept.json", run="run", resume=True)
    assert on == whole
    assert planner.market.questions == 30 - 17 + 1  # the rest, and the fresh luck


def test_a_search_of_another_seed_or_run_is_not_resumed(tmp_path: Path):
    file, kept = file_of(PRICE), tmp_path / "kept.json"
    with pytest.raises(UsageError, match="No search of this plan is kept"):
        answer(planner_of(file), journal=kept, resume=True)
    answer(planner_of(file), trials=2, journal=kept, run="one")
    assert len(json.loads(kept.read_text())["asked"]) == 2
    for planner, run in ((planner_of(file), "two"), (planner_of(file, seed=4), "one")):
        with pytest.raises(UsageError, match="is about another plan, run, seed"):
            answer(planner, journal=kept, run=run, resume=True)
    kept.write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        answer(planner_of(file), journal=kept, run="one", resume=True)


# ---- what cannot be ----


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"units_at_least": 5}, "units_at_least (the nearest missed it by"),
        ({"margin_at_least": 9.0, "most_displays": 1}, "margin_at_least"),
    ],
)
def test_constraints_that_nothing_keeps_are_named(limits: dict[str, Any], sentence: str):
    with pytest.raises(ConfigError) as problem:
        answer(planner_of(file_of(PRICE, PROMOTION, limits=limits)), trials=15)
    assert str(problem.value).startswith("None of the ")
    assert sentence in str(problem.value)
    assert "loosen it under [constraints]" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_constraints_that_are_never_kept_together_are_named_together():
    """Dear keeps a, cheap keeps b, today neither."""
    pytest.importorskip("optuna", reason="the planner needs the extra plan")
    space = PlanSpace((Lever(0, (Today(8, 2.0, 2.0, False),), (1.9, None, 2.1), (None,)),))
    ask = lambda plan: Worth(1.0, 1.0, {"a": plan[0] - 1.5, "b": 0.5 - plan[0], "c": 1.0})  # noqa: E731
    with pytest.raises(ConfigError, match="None of the 3 plans asked keeps a and b together; loosen"):
        search_plan(space, Answers(ask), trials=10, seed=1)


def test_counts_that_no_plan_keeps_cost_no_question():
    """Product 1 is on display in both weeks today, and no lever takes it off."""
    planner = planner_of(file_of(PRICE, limits={"promo_weeks_at_most": 1}))
    with pytest.raises(ConfigError, match="No plan at all keeps promo_weeks_at_most, whatever the levers do"):
        answer(planner)
    assert planner.market.questions == 0


def test_a_repaired_plan_keeps_the_counts_and_as_much_as_it_can():
    weeks = tuple(Today(week, 2.0, 2.0, False) for week in (1, 2, 3))
    levers = tuple(Lever(7, (now,), (1.8, None, 2.1), (None, True)) for now in weeks)
    space = PlanSpace(levers, Limits(promo_weeks_at_most=1))
    assert space.calm == space.base
    everything = (0, 1, 0, 0, 2, 1)  # week 1 cheap and on display, week 2 cheap, week 3 dear and on display
    assert space.repair(everything, [0, 1, 2]) == (0, 1, 1, 0, 1, 0)
    assert space.repair(everything, [1, 0, 2]) == (1, 0, 0, 0, 1, 0)
    assert space.repair((2, 0, 2, 0, 2, 0), [0, 1, 2]) == (2, 0, 2, 0, 2, 0)
    ladder = (1.7, None, 1.9, 1.95, 2.1)
    cheap = tuple(Lever(7, (Today(week, 1.8, 2.0, True),), ladder, (False, None)) for week in (1, 2))
    shown = replace(space, levers=cheap)
    assert shown.calm == (3, 0, 3, 0)  # 1.95 is the lowest price less than 5 % off
    assert not shown.holds(shown.base)


def test_without_optuna_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plan_search, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'malles\[plan\]'"):
        require_optuna()
    space = PlanSpace((Lever(0, (Today(8, 1.0, 1.0, False),), (None, 2.0), (None,)),))
    with pytest.raises(MissingExtra, match="optuna"):
        search_plan(space, Answers(lambda plan: pytest.fail("asked")), trials=3, seed=1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lever": [{"product": "9", "display": True}]}, "lever 1: product '9' is unknown in 'THINGS'"),
        ({"plan": {"own": ["1", "77"]}}, "[plan] own: product '77' is unknown"),
        ({"plan": {"category": "THING"}}, "[plan] category 'THING' is no choice category"),
        ({"plan": {"weeks": [8, 12]}}, "[plan] weeks = [8, 12] should lie between 8 and 9"),
        ({"constraints": {"price_change_at_most": 0.01}}, "lever 1: no price point lies within"),
    ],
)
def test_names_are_those_of_the_data(values: dict[str, Any], sentence: str):
    plan = {"goal": "revenue", "weeks": list(WEEKS), "category": "THINGS"} | values.get("plan", {})
    lever = values.get("lever", [{"product": "1", "prices": [1.0, 3.0]}])
    file = build_plan_file({"plan": plan, "lever": lever, "constraints": values.get("constraints", {})})
    with pytest.raises(ConfigError) as problem:
        planner_of(file)
    assert sentence in str(problem.value)
    assert "scenario" not in str(problem.value)


def test_the_products_of_a_maker_are_its_own():
    planner = planner_of(file_of(PRICE, manufacturer_of="0"))
    assert planner.own.tolist() == [0, 1]
    assert planner_of(file_of(PRICE, own=["3"])).own.tolist() == [3]


# ---- the space of plans ----


def test_options_stand_in_the_order_of_prices_with_today_among_them():
    planner = planner_of(file_of({**PRICE, "weeks": "each"}, PROMOTION))
    first, _, both = planner.space.levers
    assert first.prices == (1.4, 1.6, 1.8, 2.0, None, 2.4, 2.6, 2.8, 3.0, 3.2, 3.4)  # 2.2 is today's
    assert first.displays == (None,)
    assert both.prices == (1.4, None, 2.2)
    assert both.displays == (None, True)  # it is nowhere on display today
    assert [axis.field for axis in planner.space.axes] == ["price", "price", "price", "display"]
    assert not any(row.changed for row in planner.space.rows(planner.space.base))


def test_counted_limits_by_hand():
    """Displayed in two of three weeks and cheap in one of these: two promotion weeks."""
    weeks = tuple(Today(week, 2.0, 2.0, False) for week in (1, 2, 3))
    levers = tuple(Lever(7, (now,), (1.9, None), (None, True)) for now in weeks)
    space = PlanSpace((*levers, Lever(8, weeks, (None,), (None, True))), Limits(1, 1, 0.2))
    assert space.slack(space.base) == {
        "most_displays": 1.0, "promo_weeks_at_most": 1.0, "price_change_at_most": pytest.approx(0.2)
    }  # fmt: skip
    plan = (1, 1, 0, 1, 1, 0, 0)  # week 1 on display, week 2 cheap and on display, week 3 nothing
    assert space.slack(plan) == {
        "most_displays": 0.0, "promo_weeks_at_most": -1.0, "price_change_at_most": pytest.approx(0.15)
    }  # fmt: skip
    assert space.slack((*plan[:-1], 1))["most_displays"] == -1.0
    assert space.slack((*plan[:-1], 1))["promo_weeks_at_most"] == -2.0


def test_a_grid_is_every_plan_or_says_what_it_left_out():
    weeks = tuple(Today(week, 2.0, 2.0, False) for week in (1, 2))
    ladder = (1.6, 1.7, 1.8, 1.9, None, 2.1, 2.2)
    space = PlanSpace(tuple(Lever(7, (now,), ladder, (None, True)) for now in weeks))
    whole = build_grid(space, 196)
    assert whole.whole
    assert len(set(whole.plans)) == 7 * 2 * 7 * 2
    thin = build_grid(space, 60)
    assert not thin.whole
    assert len(thin.plans) <= 61
    assert space.base in thin.plans
    assert thin.words == "3 x 2 x 4 x 2 of 7 x 2 x 7 x 2"
    counted = build_grid(replace(space, limits=Limits(promo_weeks_at_most=0)), 9)
    assert counted.whole  # as today, 2.1 and 2.2 of two weeks are all that is no promotion
    assert len(counted.plans) == 9
    assert not build_grid(replace(space, limits=Limits(promo_weeks_at_most=0)), 8).whole
    alike = build_grid(space, 15)
    assert alike.words == "7 x 2 of 7 x 2, all weeks of a product alike"
    assert {(plan[0], plan[1]) == (plan[2], plan[3]) for plan in alike.plans} == {True}
    assert len(alike.plans) == 14


def test_the_plan_written_as_a_scenario_is_the_plan():
    planner = planner_of(file_of(PRICE, PROMOTION))
    found = answer(planner, trials=20)
    text = write_scenario(found["scenario"])
    scenario = build_scenario_file(tomllib.loads(text))
    asked = planner.market.resolve(scenario)
    again = planner.market.rehearse(asked, draws=40, seed=3)
    mine = planner.rehearse(planner_plan(planner, found), draws=40, seed=3)
    np.testing.assert_array_equal(again.drawn, mine.drawn)
    assert planner.scenario(planner.space.base) is None


# ---- the file and the command ----


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lever": []}, "has nothing to set"),
        ({"lever": {"product": "1"}}, "write [[lever]] above every lever"),
        ({"lever": [{"product": "1"}]}, "lever 1: leaves nothing to decide"),
        (
            {"lever": [{"product": "1", "price": [1, 2]}]},
            "lever 1: unknown field 'price'. Did you mean 'prices'?",
        ),
        ({"lever": [{"product": "1", "step": 0.1}]}, "has step without prices"),
        ({"lever": [{"product": "1", "prices": [2, 1], "step": 0.1}]}, "the lowest and the highest price"),
        ({"lever": [{"product": "1", "prices": [1, 2], "step": 3}]}, "step = 3.0 is wider"),
        ({"lever": [{"product": "1", "prices": [1, 2], "step": 0.001}]}, "makes 1001 price points"),
        ({"lever": [{"product": "1", "prices": [-1.0]}]}, "lever 1: prices.0 = -1.0 is impossible"),
        ({"lever": [{"product": "1", "prices": [1, 1]}]}, "names a price twice"),
        ({"lever": [{"product": "1", "display": True}] * 2}, "names the product '1' twice"),
        (
            {"plan": {"goal": "profit"}},
            "[plan]: goal = 'profit' is impossible; expected: 'margin', 'revenue'",
        ),
        ({"plan": {}}, "[plan]: goal is missing"),
        ({"plan": None}, "has no [plan]"),
        ({"plan": {"goal": "margin"}}, '[plan] goal = "margin" needs costs'),
        ({"plan": {"goal": "units", "weeks": [9, 8]}}, "ends before it begins"),
        ({"plan": {"goal": "units", "own": ["1"], "manufacturer_of": "1"}}, "own beside manufacturer_of"),
        ({"plan": {"goal": "consumer surplus", "own": ["1"]}}, "a gain from the whole shelf"),
        ({"plan": {"goal": "units", "trials": 0}}, "[plan]: trials = 0 is impossible"),
        ({"constraints": {"margin_at_least": 1}}, "margin_at_least needs costs"),
        ({"constraints": {"of": "own"}}, 'of = "own" needs [plan] own'),
        ({"constraints": {"most_displays": 1}}, "most_displays has no lever to act on"),
        (
            {"constraints": {"unit_at_least": 1}},
            "unknown field 'unit_at_least'. Did you mean 'units_at_least'?",
        ),
        ({"constraints": {"loss_probability_at_most": 2}}, "[constraints]: loss_probability_at_most = 2"),
        ({"change": []}, "is a scenario, not a plan"),
    ],
)
def test_every_mistake_of_a_file_is_one_sentence(change: dict[str, Any], sentence: str):
    right = {"plan": {"goal": "units"}, "lever": [{"product": "1", "prices": [1.0, 2.0]}]}
    build_plan_file(right)
    values = {k: v for k, v in {**right, **change}.items() if v is not None}
    with pytest.raises(ConfigError) as problem:
        build_plan_file(values, origin="p.toml")
    assert sentence in str(problem.value)
    assert str(problem.value).startswith("p.toml")
    assert "\n" not in str(problem.value)


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"see examples/plans/"):
        load_plan_file(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[plan")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_plan_file(tmp_path / "bad.toml")


def test_every_shipped_plan_resolves():
    shipped = sorted((CLONE / "examples" / "plans").glob("*.toml"))
    for path in shipped:
        file = load_plan_file(path)
        changes = [{"kind": "display", "product": lever.product} for lever in file.lever]
        scenario = build_scenario_file({"scenario": {"category": file.plan.category}, "change": changes})
        found = resolve_scenario(scenario, small(), (41, 44), 0)
        assert len(found.products) == len(file.lever)
        assert f"malles plan examples/plans/{path.name}" in path.read_text()
    assert len(shipped) == 2


def test_the_page_names_every_field():
    page = (CLONE / "docs" / "method" / "planning.md").read_text()
    for table in (PlanFile.model_fields[name].annotation for name in ("plan", "constraints")):
        for name in table.model_fields:
            assert f"{name} " in page or f"`{name}`" in page, name


def test_the_command_prints_and_writes_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch):
    pytest.importorskip("optuna", reason="the planner needs the extra plan")
    opened = market()
    monkeypatch.setattr("malles.stages.rehearse.open_market", lambda root, run, tell: opened)
    monkeypatch.setattr("malles.store.find_run", lambda root, run: tmp_path)
    path = tmp_path / "my.toml"
    path.write_text(
        '[plan]\nname = "My plan"\ngoal = "revenue"\nweeks = [8, 9]\nseed = 5\n'
        '[[lever]]\nproduct = "1"\nprices = [1.4, 3.0]\nstep = 0.2\n[constraints]\nunits_at_least = 0.9\n'
    )

    def call(**options: Any) -> str:
        given = dict.fromkeys(("trials", "seed", "draws", "out", "plot"))
        given |= {"grid_points": 50, "level": 0.9, "resume": False, "dry_run": False, "json": False}
        command.plan_command(path, "run", **(given | {"root": tmp_path} | options))
        return capsys.readouterr().out

    text = call(trials=8, draws=20, out=tmp_path / "plan.csv", plot=tmp_path / "plan.svg")
    assert "My plan (weeks 8 to 9)" in text
    assert "planned price" in text
    assert "regret: 0.000% of base" in text or "regret: " in text
    rows = list(csv.DictReader((tmp_path / "plan.csv").open()))
    assert [row["week"] for row in rows] == ["8", "9"]
    assert (tmp_path / "plan.svg").stat().st_size > 1000
    assert (tmp_path / "plans" / "my.json").is_file()
    found = json.loads(call(trials=8, draws=20, resume=True, json=True, out=tmp_path / "best.toml"))
    assert found["seed"] == 5
    assert found["search"]["plan"] >= found["search"]["base"]
    assert "price today" in call(dry_run=True)
    assert (
        check_plan(planner_of(load_plan_file(path)))["points"] == 9
    )  # of nine on the ladder, 2.2 is today's
    with pytest.raises(UsageError, match="should end in"):
        call(out=tmp_path / "plan.txt")
