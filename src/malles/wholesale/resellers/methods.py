"""Who reorders what: last order, frequency, boosted trees, the cognitive core, and a rule for units.

Every method gives each row of an `Evidence` a score (higher is ranked first) and units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.cognition.productions import fire, learn_utilities
from malles.errors import MissingExtra
from malles.rules.expression import evaluate
from malles.rules.front import Rows, RuleFront
from malles.rules.power_law import Loss
from malles.rules.reorder import find_reorder_rule
from malles.rules.search import RuleSearch
from malles.wholesale.resellers.evidence import Evidence

TREES, RATE, LEAVES = 200, 0.05, 31
"""Of both boosted models; not tuned."""
LEARNING = 0.2
"""α of utilities: a reseller orders every few weeks, so about its last five orders count."""
SLOPES = (0.0, 5.0, 20.0)
"""How much learnt utilities count; the best on the training cases is taken."""


@dataclass(frozen=True)
class Ranked:
    """What a method says of every row of an `Evidence`."""

    score: Float[ndarray, " row"]
    units: Float[ndarray, " row"]


def rank_last_order(evidence: Evidence) -> Ranked:
    """The last order again, its products by usual sales of the crowd; units as they were then."""
    own = evidence.of("in_last_order") > 0
    units = np.where(own, evidence.of("last_units"), evidence.fallback)
    return Ranked(own * 1e6 + evidence.of("sold_4"), np.maximum(units, 1.0))


def rank_frequency(evidence: Evidence) -> Ranked:
    """The most often ordered first, ties by the more recent; units are the reseller's own median."""
    since = np.nan_to_num(evidence.of("weeks_since"), nan=200.0)
    score = evidence.of("own_orders") * 1e3 - since + evidence.of("sold_4") * 1e-4
    return Ranked(score, evidence.usual)


@dataclass(frozen=True)
class BoostedReorder:
    """Two boosted models: ordered or not among candidates, and Poisson units of what is ordered."""

    ranking: Any
    units: Any

    def rank(self, evidence: Evidence) -> Ranked:
        """Chance of an order, and expected units."""
        units = np.maximum(np.asarray(self.units.predict(evidence.value)), 1.0)
        return Ranked(np.asarray(self.ranking.predict(evidence.value)), units)


def fit_boosted(train: Evidence, seed: int) -> BoostedReorder:
    """Fit on the candidates of the training cases, units on what was ordered.

    Raises:
        MissingExtra: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as problem:
        raise MissingExtra("boosted reorders", "LightGBM", "models") from problem
    common = {
        "learning_rate": RATE, "num_leaves": LEAVES, "min_data_in_leaf": 50, "num_threads": 1, "verbose": -1,
        "seed": seed, "deterministic": True,
    }  # fmt: skip
    rows, bought = train.candidate, train.ordered
    ranking = lightgbm.train(
        {**common, "objective": "binary"}, lightgbm.Dataset(train.value[rows], train.ordered[rows]), TREES
    )
    units = lightgbm.train(
        {**common, "objective": "poisson"}, lightgbm.Dataset(train.value[bought], train.units[bought]), TREES
    )
    return BoostedReorder(ranking, units)


def propose_reorder(evidence: Evidence, cases: int) -> Float[ndarray, "production row"]:
    """What each production would take: recall by activation, repeat the last order, follow, associate.

    Weights of the candidates of a case add up to one, or are all 0 where a production cannot fire.
    """
    recalled = np.exp(np.nan_to_num(evidence.of("activation"), nan=-np.inf))
    weight = (
        np.stack([recalled, evidence.of("in_last_order"), evidence.of("sold_4"), evidence.of("associates")])
        * evidence.candidate
    )
    total = np.stack([np.bincount(evidence.case, w, cases) for w in weight])
    return np.asarray(weight / np.where(total > 0, total, 1.0)[:, evidence.case])


@dataclass(frozen=True)
class CognitiveReorder:
    """Memory proposes, productions compete by what they were worth to this reseller; the slope is fitted."""

    slope: float

    def rank(self, evidence: Evidence, customer: ndarray, counted: ndarray) -> Ranked:
        """Weights of the mixture of productions; units as usual.

        Args:
            evidence: rows of cases in order of time.
            customer: reseller of every case.
            counted: by case, whether it may teach (all may: a utility is read before its case is learnt).
        """
        cases = len(customer)
        proposal = propose_reorder(evidence, cases)
        reward = np.stack([np.bincount(evidence.case, p * evidence.ordered, cases) for p in proposal], axis=1)
        match = np.stack([np.bincount(evidence.case, p, cases) > 0 for p in proposal], axis=1).astype(float)
        code = np.unique(customer, return_inverse=True)[1]
        start = reward[counted].mean(axis=0)
        before, _ = learn_utilities(code, reward, start, LEARNING, int(code.max()) + 1)
        share = fire(match, before, np.zeros(len(proposal)), self.slope)
        return Ranked(np.einsum("rn,nr->n", proposal, share[evidence.case]), evidence.usual)


def find_units_rule(
    train: Evidence, held: Evidence, customer: ndarray, rng: np.random.Generator
) -> RuleFront:
    """A rule for the units of products that the reseller ordered before.

    Args:
        train: cases to search on.
        held: others, for the reported error.
        customer: reseller of every training case.
        rng: draws rows.
    """
    rows = _rule_rows(train, customer[train.case])
    few = rows.take(np.sort(rng.permutation(len(rows))[:20_000]))
    search = RuleSearch(loss=Loss.POISSON, genetic=False, floor=1.0)
    return find_reorder_rule(few, _rule_rows(held, held.case), rng, search)


def apply_units_rule(front: RuleFront, evidence: Evidence) -> Float[ndarray, " row"]:
    """Units of the rule where the reseller ordered the product before, else the fallback."""
    units = evidence.fallback.copy()
    own = evidence.of("own_orders") > 0
    units[own] = evaluate(front.best.expression, _rule_inputs(evidence, own), int(own.sum()))
    return np.asarray(np.maximum(units, 1.0))


def _rule_rows(evidence: Evidence, group: ndarray) -> Rows:
    taken = evidence.ordered & (evidence.of("own_orders") > 0)
    return Rows(_rule_inputs(evidence, taken), evidence.units[taken], group[taken])


def _rule_inputs(evidence: Evidence, rows: ndarray) -> dict[str, ndarray]:
    """Demand, stock, lead time and history as a supplier can guess them from orders alone.

    Demand is usual units over the usual interval; the stock is what is left of the last order at that pace.
    """
    interval = evidence.of("interval")[rows]
    order_interval = evidence.of("order_interval")[rows]
    pace = np.where(np.isnan(interval), np.maximum(evidence.of("weeks_since")[rows], 1.0), interval)
    pace = np.maximum(pace, 1 / 7)
    usual = evidence.of("usual_units")[rows]
    demand = usual / pace
    left = np.maximum(evidence.of("last_units")[rows] - demand * evidence.of("weeks_since")[rows], 0.0)
    lead = np.where(np.isnan(order_interval), pace, np.maximum(order_interval, 1 / 7))
    return {"demand": demand, "stock": left, "lead_time": lead, "history": np.maximum(usual, 1.0)}
