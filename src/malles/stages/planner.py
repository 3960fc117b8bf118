"""A plan file on an open market: its names as codes, its levers as options, its plans as scenarios."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np

from malles.config.plan_file import PlanFile
from malles.config.scenario_file import ScenarioFile, build_scenario_file
from malles.errors import ConfigError
from malles.scenarios.naming import Resolved
from malles.scenarios.plan_goal import Floor, Target, Worth, judge
from malles.scenarios.plan_space import Lever, Limits, Plan, PlanSpace, build_lever
from malles.scenarios.products import name_of
from malles.scenarios.rehearsal import Rehearsal
from malles.scenarios.shelf_changes import PriceCap
from malles.stages.rehearse import OpenMarket
from malles.store import content_key

FLOORS = ("margin", "revenue", "units")


class Planner:
    """A plan file on an open market."""

    def __init__(self, market: OpenMarket, file: PlanFile, *, draws: int, seed: int) -> None:
        """Read the names of the file.

        Args:
            market: of a finished run.
            file: the plan.
            draws: behind every value.
            seed: of the search and the luck.

        Raises:
            ConfigError: a name that does not exist, or nothing to decide.
        """
        self.market, self.file, self.draws, self.seed = market, file, draws, seed
        self.asked, self.own, codes = _resolve(market, file)
        self.space = _build_space(market, file, self.asked, codes)
        self.keys = {code: lever.product for code, lever in zip(codes, file.lever, strict=True)}
        limits = file.constraints
        floors = tuple(
            Floor(name, part, limits.of == "own")
            for name in FLOORS
            if (part := getattr(limits, f"{name}_at_least")) is not None
        )
        self.target = Target(
            file.plan.goal, self.asked.cost, self.own, floors, limits.loss_probability_at_most
        )

    def scenario(self, plan: Plan) -> ScenarioFile | None:
        """A plan as a scenario file; None if everything stays as today."""
        changes: list[dict[str, Any]] = []
        for lever, price, display in self.space.decisions(plan):
            about = {"product": self.keys[lever.product], "weeks": [now.week for now in lever.today]}
            if price is not None:
                changes.append({"kind": "price", **about, "absolute": price})
            if display is not None:
                changes.append({"kind": "display", **about, "on": display})
        if not changes:
            return None
        return build_scenario_file({**_frame(self.file, self.asked), "change": changes}, origin="the plan")

    def rehearse(self, plan: Plan, *, draws: int, seed: int) -> Rehearsal:
        """Both worlds of a plan."""
        scenario = self.scenario(plan)
        asked = replace(self.asked, changes=()) if scenario is None else self.market.resolve(scenario)
        return self.market.rehearse(asked, draws=draws, seed=seed)

    def ask(self, plan: Plan) -> Worth:
        """What a plan is worth under the luck of the search."""
        worth = judge(self.rehearse(plan, draws=self.draws, seed=self.seed), self.target)
        slack = self.space.slack(plan) | worth.slack
        return replace(worth, slack=dict(sorted(slack.items())))  # the order in which answers are kept

    def key(self, run: str) -> str:
        """Of everything that an answer depends on."""
        plan = self.file.model_dump(mode="json", exclude={"plan": {"name", "trials", "seed", "draws"}})
        return content_key("plan", plan, run, self.draws, self.seed)


def check_plan(planner: Planner) -> dict[str, Any]:
    """What a plan may set, without asking any model."""
    called = name_of(planner.market.catalogue)
    return {
        **describe_plan(planner),
        "levers": [
            {
                "product": called[lever.product], "weeks": [now.week for now in lever.today],
                "price_today": float(np.median([now.price for now in lever.today])),
                "prices": [p for p in lever.prices if p is not None],
                "display": len(lever.displays) > 1,
            }
            for lever in planner.space.levers
        ],
        "points": int(np.prod([len(axis.options) for axis in planner.space.axes], dtype=object)),
    }  # fmt: skip


def describe_plan(planner: Planner) -> dict[str, Any]:
    """What is sought, where, and on how many trips."""
    catalogue, file, asked = planner.market.catalogue, planner.file, planner.asked
    o = planner.market.desk(asked).market.occasions
    return {
        "question": file.plan.name, "category": catalogue.category_name[asked.category],
        "weeks": list(asked.weeks), "currency": catalogue.currency, "quantity": file.plan.goal,
        "of": "category" if planner.own is None else f"{len(planner.own)} own products",
        "occasions": len(o), "households": len(np.unique(o.customer)), "draws": planner.draws,
        "seed": planner.seed,
    }  # fmt: skip


def _frame(file: PlanFile, asked: Resolved | None = None) -> dict[str, Any]:
    """What a plan and its scenarios share."""
    plan = file.plan
    weeks = plan.weeks if asked is None else (asked.weeks[0], asked.weeks[-1])
    table = {"name": plan.name, "category": plan.category, "weeks": weeks, "margin": plan.margin}
    return {"scenario": {k: v for k, v in table.items() if v is not None}, "costs": dict(file.costs)}


def _resolve(
    market: OpenMarket, file: PlanFile
) -> tuple[Resolved, np.ndarray | None, tuple[int, ...]]:  # fmt: skip
    """The frame of a plan in codes, its own products, and the product of every lever.

    The names are read as those of a scenario that displays every lever; a cap on own products that binds
    nothing reads theirs.
    """
    changes: list[dict[str, Any]] = [{"kind": "display", "product": lever.product} for lever in file.lever]
    named = file.plan.own or ((file.plan.manufacturer_of,) if file.plan.manufacturer_of else None)
    if named:
        changes.append({"kind": "cap", "products": list(named), "cap": 1e9})
    field = "own" if file.plan.own else "manufacturer_of"
    try:
        asked = market.resolve(build_scenario_file({**_frame(file), "change": changes}, origin="the plan"))
    except ConfigError as problem:
        words = re.sub(r"change \d+ \(cap\)", f"[plan] {field}", str(problem))
        words = re.sub(r"change (\d+) \(display\)", r"lever \1", words).replace("changes", "levers")
        words = words.replace("[scenario]", "[plan]").replace(" (Display, Display)", "")
        words = words.replace(' bring it in with kind = "enter", or name', " name")
        raise ConfigError(words.replace("one scenario speaks", "one plan speaks")) from problem
    codes = asked.products
    if len(codes) < len(file.lever):
        raise ConfigError("Two levers name the same product; write all about it in one [[lever]].")
    caps = [change for change in asked.changes if isinstance(change, PriceCap)]
    own = np.array(caps[0].products, int) if caps else None
    if file.plan.manufacturer_of is not None and own is not None:
        own = _of_the_same_house(market, asked.category, int(own[0]), file.plan.manufacturer_of)
    return replace(asked, changes=()), own, codes


def _of_the_same_house(market: OpenMarket, category: int, product: int, name: str) -> np.ndarray:
    products = market.catalogue.products
    house = products.manufacturer[product]
    if house < 0:
        raise ConfigError(
            f"[plan] manufacturer_of: the maker of {name!r} is not known; name the products with own = [...]."
        )
    return np.flatnonzero((products.manufacturer == house) & (products.category == category))


def _build_space(market: OpenMarket, file: PlanFile, asked: Resolved, codes: tuple[int, ...]) -> PlanSpace:
    base, levers = market.desk(asked).market.occasions, list[Lever]()
    limits = file.constraints
    for number, (code, lever) in enumerate(zip(codes, file.lever, strict=True), start=1):
        groups = [(week,) for week in asked.weeks] if lever.weeks == "each" else [asked.weeks]
        made = [
            build_lever(
                base, code, weeks, lever.points, display=lever.display,
                price_change_at_most=limits.price_change_at_most,
            )
            for weeks in groups
        ]  # fmt: skip
        there = [m for m in made if m is not None]
        if not there:
            raise ConfigError(
                f"lever {number}: product {lever.product!r} stands on no shelf of these trips; name "
                "another one."
            )
        if lever.points and all(m.prices == (None,) for m in there):
            near = f"{min(n.price for m in there for n in m.today):.2f}"
            raise ConfigError(
                f"lever {number}: no price point lies within price_change_at_most = "
                f"{limits.price_change_at_most} of today's price of {near}, or it costs that already; widen "
                "prices or the constraint."
            )
        levers += there
    counted = Limits(limits.most_displays, limits.promo_weeks_at_most, limits.price_change_at_most)
    return PlanSpace(tuple(levers), counted)


def write_scenario(scenario: dict[str, Any]) -> str:
    """A plan as the text of a scenario file."""
    lines = ["[scenario]", *(f"{name} = {_toml(value)}" for name, value in scenario["scenario"].items())]
    if scenario["costs"]:
        lines += ["", "[costs]", *(f"{_toml(key)} = {value}" for key, value in scenario["costs"].items())]
    for change in scenario["change"]:
        lines += ["", "[[change]]", *(f"{name} = {_toml(value)}" for name, value in change.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A number, a switch, a text or a list of numbers as TOML writes it; JSON is the same there."""
    return json.dumps(value, ensure_ascii=False)
