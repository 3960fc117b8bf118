"""A plan on the market of a finished run: searched, asked again with fresh luck, and compared with a grid.

plan file → levers and constraints → search, always the same luck → best plan
                                   → grid, the same luck          → regret
                                     best plan, fresh luck        → what it is worth
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from malles.scenarios.outcomes import estimate
from malles.scenarios.plan_goal import TOLERANCE, judge, measure
from malles.scenarios.plan_space import Grid, Plan, build_grid
from malles.scenarios.products import name_of, observed_prices
from malles.scenarios.rehearsal import Rehearsal
from malles.stages.plan_search import Answers, Say, Search, search_plan
from malles.stages.planner import Planner, describe_plan

FRESH = 5
"""The best plan is asked again with so many times the draws of the search, and another seed."""
FRESH_SEED = 1_000_003
"""Added to the seed for fresh luck."""


def answer_plan(
    planner: Planner,
    *,
    trials: int,
    grid_points: int,
    run: str = "",
    journal: Path | None = None,
    resume: bool = False,
    level: float = 0.9,
    say: Say = lambda number, best: None,
    tell: Callable[[str, int, int], None] = lambda title, done, total: None,
) -> dict[str, Any]:
    """The best plan, what it is worth, its constraints and its regret, as plain data.

    Args:
        planner: the plan on its market.
        trials: questions of the search.
        grid_points: largest grid; 0 = no grid, and no regret.
        run: name of the run, for the journal.
        journal: file in which answers are kept; None = nowhere.
        resume: go on from the journal.
        level: of the intervals.
        say: told of every question of the search.
        tell: how far search and grid are.

    Raises:
        MissingExtra: optuna is not installed.
        ConfigError: no plan keeps the constraints.
    """
    answers = Answers(planner.ask, planner.key(run), journal)
    if resume:
        answers.resume()

    tell("search", 0, trials)
    found = search_plan(
        planner.space, answers, trials=trials, seed=planner.seed, say=say,
        tell=lambda done: tell("search", done, trials),
    )  # fmt: skip
    regret, stopped = None, found.stopped
    if grid_points and not stopped:
        grid = build_grid(planner.space, grid_points)
        try:
            regret = _find_regret(planner, answers, grid, found, tell)
        except KeyboardInterrupt:
            stopped = True
    fresh = planner.rehearse(found.best, draws=FRESH * planner.draws, seed=planner.seed + FRESH_SEED)
    return _answer(planner, found, regret, fresh, level, stopped)


def _find_regret(
    planner: Planner, answers: Answers, grid: Grid, found: Search, tell: Callable[[str, int, int], None]
) -> dict[str, Any] | None:
    """(best of the grid - plan) / |base|, the same luck; of |best of the grid| where base is 0."""
    held, plans = [], grid.plans
    for done, plan in enumerate(plans):
        worth = answers(plan)
        if not worth.violation:
            held.append((worth.value, plan))
        tell("grid", done + 1, len(plans))
    if not held:
        return None
    value, plan = max(held, key=lambda pair: pair[0])
    mine = found.asked[found.best]
    scale, part_of = (
        (abs(mine.base), "base") if abs(mine.base) > TOLERANCE else (abs(value), "best of the grid")
    )
    return {
        "regret": (value - mine.value) / scale if scale > TOLERANCE else 0.0, "part_of": part_of,
        "grid_best": value, "plan": mine.value, "base": mine.base, "grid": grid.words, "whole": grid.whole,
        "grid_questions": len(plans), "search_questions": len(found.asked),
        "grid_plan": _rows(planner, plan),
    }  # fmt: skip


def _answer(
    planner: Planner, found: Search, regret: dict[str, Any] | None, fresh: Rehearsal, level: float,
    stopped: bool,
) -> dict[str, Any]:  # fmt: skip
    target, mine, scenario = planner.target, found.asked[found.best], planner.scenario(found.best)
    lucky = measure(fresh, target.goal, target.cost, target.own)
    expected = measure(fresh, target.goal, target.cost, target.own, lucky=False)
    again = judge(fresh, target)
    slack = planner.space.slack(found.best) | again.slack
    base, value = lucky.mean(0)
    gain = lucky[:, 1] - lucky[:, 0]
    out: dict[str, Any] = {
        **describe_plan(planner),
        "level": level, "stopped": stopped,
        "plan": _rows(planner, found.best),
        "scenario": None if scenario is None else scenario.model_dump(mode="json", exclude_none=True),
        "goal": {
            "base": float(base), "plan": float(value),
            "change": asdict(estimate(float(gain.mean()), gain, level)),
            "expected_change": asdict(estimate(float(gain.mean()), expected[:, 1] - expected[:, 0], level)),
            "error": float(gain.std() / np.sqrt(len(gain))), "draws": len(gain),
            "loss_probability": float((gain < 0).mean()),
        },
        "search": {
            "base": mine.base, "plan": mine.value, "change": mine.value - mine.base, "draws": planner.draws,
            "optimism": mine.value - mine.base - float(gain.mean()), "questions": len(found.asked),
        },
        "constraints": [
            {"constraint": name, "limit": _limit(planner, name), "slack": mine.slack[name],
             "fresh_slack": slack[name]}
            for name in mine.slack
        ],
        "regret": regret,
        "questions": [
            {"question": i + 1, "value": worth.value, "holds": not worth.violation}
            for i, worth in enumerate(found.asked.values())
        ],
    }  # fmt: skip
    out["notes"] = _notes(planner, out)
    return out


def _limit(planner: Planner, name: str) -> float:
    return float(getattr(planner.file.constraints, name))


def _rows(planner: Planner, plan: Plan) -> list[dict[str, Any]]:
    called = name_of(planner.market.catalogue)
    return [{**asdict(row), "product": called[row.product]} for row in planner.space.rows(plan)]


def _notes(planner: Planner, answer: dict[str, Any]) -> list[str]:
    notes = [
        "Price effects are associational: past prices were not drawn at random, and rivals do not answer the "
        "plan."
    ]
    for row in answer["constraints"]:
        if row["fresh_slack"] < -TOLERANCE:
            notes.append(
                f"{row['constraint']} held in the search, but not with fresh luck (slack "
                f"{row['fresh_slack']:.3g})."
            )
    called, told = name_of(planner.market.catalogue), set()
    first = planner.asked.weeks[0]
    codes = {called[lever.product]: lever.product for lever in planner.space.levers}
    for row in answer["plan"]:
        low, high = observed_prices(planner.market.catalogue, codes[row["product"]], first)
        new = row["price"] != row["price_today"]
        if new and not low <= row["price"] <= high and row["product"] not in told:
            told.add(row["product"])
            notes.append(
                f"A price of {row['price']:.2f} is outside what was observed for {row['product']} "
                f"({low:.2f} to {high:.2f}): the plan extrapolates."
            )
    if answer["stopped"]:
        notes.append("Stopped early: this is the best plan so far; go on with --resume.")
    return notes
