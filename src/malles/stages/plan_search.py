"""The search for the best plan: a tree-structured Parzen estimator, and steps from the best plan so far.

    ask a plan → the market, or what is kept of it → tell → the next plan

Every answer is kept in one JSON file as soon as it is there. The search is a function of its seed and of the
answers, so a resumed one walks the same way, asks nothing twice, and ends where an uninterrupted one ends.
Source: Bergstra, Bardenet, Bengio and Kégl (2011); plans that break constraints rank below all others, by how
much they break (Optuna's `TPESampler`).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from malles.errors import ConfigError, MissingExtra, UsageError
from malles.scenarios.plan_goal import TOLERANCE, Worth
from malles.scenarios.plan_space import Plan, PlanSpace
from malles.store import write_json

STEPS = 3
"""Every third question is a step from the best plan, and so is every proposal that is known already."""
START = 10
"""Plans drawn at random before the sampler learns, today's among them."""
PROPOSALS = 10
"""Proposals per question, at most: a plan that is known already costs none."""

Ask = Callable[[Plan], Worth]
Say = Callable[[int, float], None]
"""Told after every question whose best keeps the constraints: its number, and the best value so far."""


@dataclass
class Answers:
    """What the market said of every plan, kept in a file."""

    ask: Ask
    key: str = ""
    """Of everything that the answers depend on."""
    path: Path | None = None
    known: dict[Plan, Worth] = field(default_factory=dict)
    reused: int = 0

    def resume(self) -> None:
        """Read what an earlier search kept.

        Raises:
            UsageError: nothing is kept, or it is about something else.
        """
        if self.path is None or not self.path.is_file():
            raise UsageError(f"No search of this plan is kept in {self.path}; leave --resume out.")
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            known = {
                tuple(row["plan"]): Worth(row["base"], row["value"], row["slack"]) for row in kept["asked"]
            }
            key = kept["key"]
        except (ValueError, KeyError, TypeError) as problem:
            raise UsageError(f"{self.path} cannot be read ({problem!r}); leave --resume out.") from problem
        if key != self.key:
            raise UsageError(
                f"{self.path} is about another plan, run, seed or number of draws; leave --resume out to "
                "begin anew."
            )
        self.known, self.reused = known, len(known)

    def __call__(self, plan: Plan) -> Worth:
        """What a plan is worth."""
        if plan not in self.known:
            self.known[plan] = self.ask(plan)
            if self.path is not None:
                rows = [{"plan": list(p), **asdict(worth)} for p, worth in self.known.items()]
                write_json(self.path, {"key": self.key, "asked": rows})
        return self.known[plan]


@dataclass
class Search:
    """What a search found."""

    asked: dict[Plan, Worth]
    """In the order of the questions; today's plan first."""
    best: Plan
    stopped: bool = False
    """Whether somebody stopped it early."""


def search_plan(
    space: PlanSpace, answers: Answers, *, trials: int, seed: int, say: Say = lambda number, best: None,
    tell: Callable[[int], None] = lambda done: None,
) -> Search:  # fmt: skip
    """The best plan among at most `trials` that the market is asked about.

    Args:
        space: what may be set.
        answers: of the market, slack of all constraints included.
        trials: questions.
        seed: of the sampler.
        say: told the best value so far.
        tell: told how many questions are answered.

    Raises:
        MissingExtra: optuna is not installed.
        ConfigError: no plan keeps the constraints; the sentence names those that were broken.
    """
    asked: dict[Plan, Worth] = {}
    nearest: list[Plan] = []

    def question(plan: Plan) -> Worth:
        asked[plan] = worth = answers(plan)
        if not nearest or _order(worth) > _order(asked[nearest[0]]):
            nearest[:] = [plan]
        tell(len(asked))
        if not asked[nearest[0]].violation:
            say(len(asked), asked[nearest[0]].value)
        return worth

    counted = space.slack(space.calm)
    if not space.holds(space.calm):
        which = " and ".join(name for name, slack in counted.items() if slack < 0)
        raise ConfigError(
            f"No plan at all keeps {which}, whatever the levers do; loosen it under [constraints], or give "
            "the levers display = true or higher prices."
        )
    stopped = False
    try:
        with _quiet_optuna() as optuna:
            _walk(optuna, space, question, asked, nearest, trials, seed)
    except KeyboardInterrupt:
        stopped = True
        if not nearest:
            raise
    best = nearest[0]
    if asked[best].violation:
        raise ConfigError(_infeasible(asked, stopped))
    return Search(asked, best, stopped)


def _walk(
    optuna: Any, space: PlanSpace, question: Ask, asked: dict[Plan, Worth], nearest: list[Plan], trials: int,
    seed: int,
) -> None:  # fmt: skip
    names = [f"{i} {axis.field}" for i, axis in enumerate(space.axes)]
    ways = {
        name: optuna.distributions.IntDistribution(0, len(axis.options) - 1)
        if axis.field == "price"
        else optuna.distributions.CategoricalDistribution(list(range(len(axis.options))))
        for name, axis in zip(names, space.axes, strict=True)
    }
    sampler = optuna.samplers.TPESampler(
        seed=seed, multivariate=True, n_startup_trials=START,
        constraints_func=lambda trial: trial.user_attrs["broken"],
    )  # fmt: skip
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(dict(zip(names, space.base, strict=True)))
    rng = np.random.default_rng([seed, 73])

    def settle(trial: Any, plan: Plan) -> None:
        worth = question(plan)
        trial.set_user_attr("broken", [-slack for slack in worth.slack.values()])
        study.tell(trial, worth.value)

    def repaired(plan: Plan) -> Plan:
        return space.repair(plan, rng.permutation(len(space.levers)).tolist())

    for _ in range(PROPOSALS * trials):
        if len(asked) >= min(trials, space.size):
            return
        plan = None
        if len(asked) < START or len(asked) % STEPS:
            trial = study.ask(ways)
            proposed = tuple(int(trial.params[name]) for name in names)
            plan = repaired(proposed) if asked else proposed
            if plan == proposed and plan not in asked:
                settle(trial, plan)
                continue
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if plan is None or plan in asked:  # nothing to learn there: a step from the best, or one at random
            near = space.neighbours(nearest[0])
            plan = next((p for p in near if p not in asked and space.holds(p)), None)
            if plan is None:
                plan = repaired(tuple(int(rng.integers(0, len(axis.options))) for axis in space.axes))
        if plan not in asked:
            study.enqueue_trial(dict(zip(names, plan, strict=True)))
            settle(study.ask(ways), plan)


def _order(worth: Worth) -> tuple[float, float]:
    """Plans that keep everything first, by value; then those that break least."""
    broken = worth.violation
    return (-broken, worth.value if not broken else 0.0)


def _infeasible(asked: dict[Plan, Worth], stopped: bool) -> str:
    """Which constraints no plan kept, or which were never kept together."""
    never, ever = [], set()
    for name in next(iter(asked.values())).slack:
        highest = max(worth.slack[name] for worth in asked.values())
        if highest < -TOLERANCE:
            never.append(f"{name} (the nearest missed it by {-highest:.3g})")
        ever |= {name for worth in asked.values() if worth.slack[name] < -TOLERANCE}
    which = " and ".join(never) if never else " and ".join(sorted(ever)) + " together"
    early = "; it was stopped early" if stopped else ""
    return (
        f"None of the {len(asked)} plans asked keeps {which}{early}; loosen it under [constraints], or let "
        "the levers do more."
    )


def require_optuna() -> None:
    """Refuse in one sentence before the work begins.

    Raises:
        MissingExtra: optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise MissingExtra("searching a plan", "optuna", "plan")


@contextmanager
def _quiet_optuna() -> Iterator[Any]:
    """Optuna without its own lines on stderr; experimental there: constraints and joint sampling."""
    require_optuna()
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)
