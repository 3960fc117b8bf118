"""START HERE: rows in, an error-complexity front of short rules out.

    target without zeros:  k x^e, c + k x^e  →  genetic search  →  conditions  →  front
    target with zeros:     max(0, c + k x^e);  chance of not zero, 1 / (1 + k x^e), times a law of the rest

A fifth of the groups chooses among the rules; the reported error is on held-out rows that decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from malles.errors import DataError
from malles.rules.algebra import tidy
from malles.rules.conditions import Condition, breaks
from malles.rules.expression import Call, Expression, Number, Variable, complexity, nodes
from malles.rules.front import Rows, RuleFront, build_front
from malles.rules.genetic import evolve_rules, is_installed
from malles.rules.laws import find_law, find_threshold_law, grow_laws
from malles.rules.logistic import find_chance
from malles.rules.power_law import Loss, PowerLaw
from malles.rules.printing import format_rule
from malles.rules.refinement import refine

GENETIC_ROWS = 3_000
GENETIC_INPUTS = 6
SMALLEST_INPUT = 1e-6


@dataclass(frozen=True)
class RuleSearch:
    """How rules are looked for."""

    loss: Loss = Loss.SQUARED
    most_nodes: int = 15
    most_inputs: int = 4
    """Powers in one law."""
    first: tuple[str, ...] = ()
    """Inputs that stand in every law."""
    genetic: bool = True
    """Search beyond products of powers, where pyoperon is installed."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """One genetic search each."""
    evaluations: int = 60_000
    """Formulas tried by one genetic search."""
    allowance: float = 0.0
    """The simplest rule is taken whose error exceeds the least by at most this share; 0: the best of all."""
    floor: float | None = None
    """Forecasts below this are raised to it, for example 1 unit where a purchase is given."""
    most_rows: int = 60_000
    """Rows that laws are fitted on."""

    def find(
        self,
        train: Rows,
        held: Rows,
        rng: np.random.Generator,
        *,
        conditions: Sequence[Condition] = (),
        proposals: Sequence[Expression] = (),
    ) -> RuleFront:
        """Search for rules.

        Args:
            train: rows to fit on; a fifth of their groups is kept back for choosing.
            held: rows for the reported error.
            rng: draws the fifth and the rows.
            conditions: what a rule must not break.
            proposals: trees that theory suggests; their constants are fitted.

        Raises:
            DataError: there are too few rows, targets are not finite and >= 0, or no input is positive.
        """
        _check(train)
        fitting, choosing = split_groups(train, rng)
        if len(fitting) > self.most_rows:
            fitting = fitting.take(np.sort(rng.choice(len(fitting), self.most_rows, replace=False)))
        powers = [n for n, v in train.inputs.items() if v.min() > SMALLEST_INPUT and held.inputs[n].min() > 0]
        if not powers:
            raise DataError("A rule needs at least one input that is positive in every row, got none.")
        with_zeros = bool((train.target == 0).mean() > 0.01)
        candidates = self._hurdle(fitting, powers) if with_zeros else self._laws(fitting, powers)
        candidates += [(refine(e, fitting, self.loss, steps=30), "proposal") for e in proposals]
        notes = []
        if self.genetic and is_installed():
            candidates += self._evolved(fitting, powers, candidates, rng, with_zeros=with_zeros)
        elif self.genetic:
            notes.append(
                "The genetic search was left out: pyoperon is not installed; pip install 'malles[rules]'."
            )
        kept, refused = [], []
        for expression, source in candidates:
            if complexity(expression) > self.most_nodes:
                continue
            broken = breaks(expression, conditions)
            if broken is None:
                kept.append((expression, source))
            else:
                refused.append((format_rule(expression, 4), broken))
        kept.append((Number(float(np.mean(fitting.target))), "mean"))
        return build_front(
            kept, choosing, held, self.loss, most_nodes=self.most_nodes, allowance=self.allowance,
            refused=refused, notes=notes, floor=self.floor,
        )  # fmt: skip

    def _laws(self, rows: Rows, powers: list[str]) -> list[tuple[Expression, str]]:
        logs = _logs(rows, powers)
        laws = grow_laws(logs, rows.target, powers, self.loss, most=self.most_inputs, first=self.first)
        if self.loss is not Loss.POISSON and rows.target.min() > 0 and len(powers) <= 8:
            laws.append(find_law(logs, rows.target, powers))
        return [(law.expression(), "power law") for law in laws]

    def _hurdle(self, rows: Rows, powers: list[str]) -> list[tuple[Expression, str]]:
        """Rules of a target with zeros."""
        bought = rows.target > 0
        logs = _logs(rows, powers)
        found: list[tuple[Expression, str]] = []
        laws = grow_laws(logs[bought], rows.target[bought], powers, self.loss, most=self.most_inputs)
        entered = list(dict.fromkeys(n for law in laws for n in law.names))
        few = powers if len(powers) <= 8 else entered
        threshold = find_threshold_law(logs[:, [powers.index(n) for n in few]], rows.target, few)
        found.append((Call("max", (Number(0.0), threshold.expression())), "threshold law"))
        for inputs in range(1, 3):
            chance = find_chance(logs, bought, powers, most=inputs)
            for law in laws:
                found.append((tidy(Call("*", (law.expression(), chance))), "logistic times power law"))
                found.append((tidy(Call("*", (Number(law.factor), chance))), "logistic"))
        return [(refine(e, rows, self.loss, steps=4) if s != "threshold law" else e, s) for e, s in found]

    def _evolved(
        self,
        rows: Rows,
        powers: list[str],
        before: list[tuple[Expression, str]],
        rng: np.random.Generator,
        *,
        with_zeros: bool,
    ) -> list[tuple[Expression, str]]:
        """What the genetic search adds, on the inputs that laws found useful, constants fitted anew."""
        use = rows.take(np.flatnonzero(rows.target > 0)) if with_zeros else rows
        order = _entered(before, powers)[:GENETIC_INPUTS]
        some = use.take(np.sort(rng.choice(len(use), min(len(use), GENETIC_ROWS), replace=False)))
        part = use.take(np.sort(rng.choice(len(use), min(len(use), 5 * GENETIC_ROWS), replace=False)))
        found: dict[str, tuple[Expression, str]] = {}
        for seed in self.seeds:
            evolved = evolve_rules(
                {n: some.inputs[n] for n in order}, some.target, seed,
                most_nodes=self.most_nodes, evaluations=self.evaluations,
            )  # fmt: skip
            for e in evolved[:8]:  # by description length
                if complexity(e) <= self.most_nodes:
                    better = refine(e, part, self.loss)
                    rule = Call("max", (Number(0.0), better)) if with_zeros else better
                    found.setdefault(format_rule(rule, 3), (rule, f"genetic, seed {seed}"))
        return list(found.values())


def split_groups(rows: Rows, rng: np.random.Generator, share: float = 0.2) -> tuple[Rows, Rows]:
    """Rows of most groups, and of a drawn share of them."""
    code = np.arange(len(rows)) if rows.group is None else np.unique(rows.group, return_inverse=True)[1]
    drawn = rng.permutation(int(code.max()) + 1) < max(1, round(share * (int(code.max()) + 1)))
    return rows.take(np.flatnonzero(~drawn[code])), rows.take(np.flatnonzero(drawn[code]))


def exact_law(rows: Rows) -> PowerLaw:
    """The law behind rows with noise: `find_law`, or `find_threshold_law` where zeros occur."""
    _check(rows)
    names = list(rows.inputs)
    finder = find_threshold_law if (rows.target == 0).any() else find_law
    return finder(_logs(rows, names), rows.target, names)


def _entered(candidates: list[tuple[Expression, str]], powers: list[str]) -> list[str]:
    seen = dict.fromkeys(n.name for e, _ in candidates for n in nodes(e) if isinstance(n, Variable))
    return list(seen) or powers


def _logs(rows: Rows, names: Sequence[str]) -> np.ndarray:
    return np.column_stack([np.log(np.maximum(rows.inputs[n].astype(np.float64), 1e-12)) for n in names])


def _check(rows: Rows) -> None:
    if len(rows) < 30:
        raise DataError(f"A rule needs at least 30 rows, got {len(rows)}.")
    if not (np.isfinite(rows.target).all() and rows.target.min() >= 0):
        raise DataError("The target of a rule is finite and at least 0 in every row; leave other rows out.")
