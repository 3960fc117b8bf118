"""Do the intervals of what-ifs cover the truth? Made-up markets, models fitted anew in each, five scenarios.

    python benchmarks/what_if_coverage.py                     seeds 0 to 39: the reported run
    python benchmarks/what_if_coverage.py --first 1000        other markets, to try things out on
    python benchmarks/what_if_coverage.py --refits 20         beside it, models fitted on resampled households

In every market 500 households shop for 32 weeks on which a conditional logit and a logit of purchases (on a
household covariate and the inclusive value) are fitted, and for 8 more on which the response parameters are
estimated. Week 41 is then rehearsed: 20 % off one product, 15 % more, its display, its delisting, and all
prices up by 10 %. Two targets, for the change of the product's units and of the category's:

    seen        the same trips lived twice in the true market, against `drawn` without resampled households
    expected    the mean of 40,000 other households, against `expected` with resampled households

Prints the part of 90 % intervals that hold the truth (Wilson's 95 % interval, then one that takes markets as
clusters), mean width, and mean miss; with and without parameters that are drawn; and how far category
expansion is off by three models of purchases: the fitted one, one that sees no offers, and one that follows
the whole inclusive value.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
from numpy import ndarray
from what_if_world import (
    HOUSEHOLDS,
    PRODUCTS,
    People,
    Truth,
    draw_luck,
    draw_people,
    draw_shelves,
    draw_truth,
    expected_units,
    live,
    trips_of,
)

from malles.baselines.logit import ConditionalLogit, FittedConditionalLogit
from malles.scenarios.category_market import CategoryMarket
from malles.scenarios.changes import Delist, Display, PriceChange, Scenario
from malles.scenarios.counterfactual import Demand
from malles.scenarios.rehearsal import Desk
from malles.scenarios.responses import (
    Responses,
    certain,
    fit_choice_response,
    fit_incidence_response,
    join_responses,
    response_attributes,
)
from malles.vocabulary import ChoiceData, Occasions, Regime

TRAIN, VALID = 32, 8
"""Weeks on which models are fitted, and after them weeks for their response parameters."""
OTHERS = 40_000
LEVEL = 0.9
NAMES = ("log_price", "display", "mailer")
PARTS = ("product", "category")


def describe(o: Occasions) -> ChoiceData:
    """Log price, display and mailer of every alternative."""
    context = np.zeros((len(o), 1), np.float32)
    return ChoiceData(o, response_attributes(o).astype(np.float32), NAMES, context, ("none",), Regime.FULL)


@dataclass(frozen=True)
class Models:
    """What an analyst fits: choice, purchases, and units of a purchase."""

    choice: FittedConditionalLogit
    purchase: ndarray
    """Coefficients of (1, household covariate, inclusive value)."""
    units: float

    def inclusive_value(self, o: Occasions) -> ndarray:
        """Log sum of exp V over the shelf."""
        V = self.choice.utility(describe(o))
        return np.log(np.where(o.available, np.exp(V), 0).sum(1))

    def score(self, o: Occasions, seen: ndarray, follows: float) -> ndarray:
        """Log-odds of a purchase, given the coefficient of the inclusive value."""
        return self.purchase[0] + self.purchase[1] * seen[o.customer] + follows * self.inclusive_value(o)

    def ask(self, seen: ndarray, usual: ndarray, follows: float) -> Callable[[Occasions], Demand]:
        """The demand of any shelf; the base world's mean is kept whatever part of the value is followed."""

        def answer(o: Occasions) -> Demand:
            score = self.score(o, seen, follows) + (self.purchase[2] - follows) * usual
            n, shape = len(o), o.product.shape
            return Demand(
                1 / (1 + np.exp(-score)), np.zeros(n), self.choice.predict(describe(o)),
                np.full(shape, self.units), np.ones(n),
            )  # fmt: skip

        return answer


def fit_logit(x: ndarray, y: ndarray) -> ndarray:
    """A logit by Newton's method."""
    b = np.zeros(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-x @ b))
        b = b + np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (y - p))
    return b


def fit_models(o: Occasions, seen: ndarray) -> Models:
    """Choice on purchases, then purchases on the inclusive value, in turn as in a nested logit."""
    bought = o.chosen > 0
    choice = ConditionalLogit(NAMES, constants=True).fit(describe(o.take(bought)))
    units = float(o.units[bought].mean())
    models = Models(choice, np.zeros(3), units)
    x = np.column_stack([np.ones(len(o)), seen[o.customer], models.inclusive_value(o)])
    return replace(models, purchase=fit_logit(x, bought.astype(float)))


def fit_responses(models: Models, o: Occasions, seen: ndarray) -> Responses:
    """Corrections and their covariance, from weeks that the models were not fitted on."""
    plain = replace(o, price=o.list_price, promotion=np.zeros_like(o.promotion))
    offered = models.purchase[2] * (models.inclusive_value(o) - models.inclusive_value(plain))
    choices = replace(o, chosen=np.where(o.chosen > 0, o.chosen, -1).astype(np.int16))
    score = models.score(o, seen, float(models.purchase[2]))
    return join_responses(
        fit_choice_response(models.choice.predict(describe(o)), choices),
        fit_incidence_response(score, offered, o.chosen > 0, o.customer),
    )


def scenarios(product: int) -> list[Scenario]:
    """Five questions about one product and its category."""
    return [
        Scenario("price -20 %", (PriceChange(product, relative=-0.2),)),
        Scenario("price +15 %", (PriceChange(product, relative=0.15),)),
        Scenario("display", (Display(product),)),
        Scenario("delisted", (Delist(product),)),
        Scenario("all prices +10 %", tuple(PriceChange(p, relative=0.1) for p in range(PRODUCTS))),
    ]


def changes_of(table: ndarray, product: int) -> ndarray:
    """Change of the product's and of the category's units, from [..., world, cell, product, quantity]."""
    units = table[..., 0].sum(-2)
    moved = units[..., 1, :] - units[..., 0, :]
    return np.stack([moved[..., product], moved.sum(-1)], axis=-1)


@dataclass(frozen=True)
class Case:
    """One interval and what it should hold, in units."""

    low: float
    high: float
    middle: float
    truth: float
    market: int

    @property
    def holds(self) -> bool:
        """Whether the truth lies inside."""
        return self.low - 1e-9 <= self.truth <= self.high + 1e-9


Cases = dict[tuple[str, ...], list[Case]]


def study(
    seed: int,
    draws: int,
    weeks: int,
    refits: int,
    cases: Cases,
    expansion: dict[tuple[str, str], list[tuple[float, float]]],
) -> None:
    """One market from its truth to the intervals of five scenarios."""
    rng = np.random.default_rng([seed, 9])
    truth, shelves = draw_truth(rng), draw_shelves(weeks + VALID + 1, rng)
    people, others = draw_people(truth, HOUSEHOLDS, rng), draw_people(truth, OTHERS, rng)

    def lived(weeks: range) -> Occasions:
        o = trips_of(people, shelves, weeks)
        column, units = live(truth, people, o, draw_luck(truth, len(o), rng))
        return replace(o, chosen=column.astype(np.int16), units=units.astype(np.int32))

    last = weeks + VALID
    future = range(last, last + 1)
    train, valid = lived(range(weeks)), lived(range(weeks, last))
    elsewhere, luck = trips_of(others, shelves, future), draw_luck(truth, HOUSEHOLDS, rng)
    models = fit_models(train, people.seen)
    responses = fit_responses(models, valid, people.seen)
    trips = trips_of(people, shelves, future)
    n = len(trips)
    market = CategoryMarket(
        0, trips, np.ones(n), np.zeros((n, 1), np.float32), np.zeros(n, np.int32), np.zeros((n, 3)), 0
    )
    usual = models.inclusive_value(trips)
    desks = {
        name: Desk.of(market, models.ask(people.seen, usual, follows))
        for name, follows in (("fitted", float(models.purchase[2])), ("no offers", 0.0), ("whole", 1.0))
    }
    again = []
    for k in range(refits):  # the same households with repetition, by a generator of its own
        picked = np.random.default_rng([seed, 10, k]).integers(0, HOUSEHOLDS, HOUSEHOLDS)
        some = fit_models(train.take((picked + HOUSEHOLDS * np.arange(weeks)[:, None]).ravel()), people.seen)
        desk = Desk.of(market, some.ask(people.seen, usual, float(some.purchase[2])))
        again.append((desk, fit_responses(some, valid, people.seen)))
    popular = np.argsort(-np.bincount(train.chosen, minlength=PRODUCTS + 1)[1:])
    product = int(popular[rng.integers(PRODUCTS // 2)])
    for scenario in scenarios(product):
        happened = realised_change(truth, people, trips, scenario, luck, product)
        mean = population_change(truth, others, elsewhere, scenario, product)
        middles: dict[str, ndarray] = {}
        for kind, known in (("drawn", responses), ("not drawn", certain())):
            here, wide = (
                desks["fitted"].rehearse(scenario, responses=known, draws=draws, seed=seed, households=h)
                for h in (False, True)
            )
            for target, found, table, goal in (
                ("seen", here, here.drawn, happened), ("expected", wide, wide.expected, mean)
            ):  # fmt: skip
                middles[kind] = changes_of(found.central, product)
                change = changes_of(table, product)
                add_cases(cases, (target, kind, scenario.name), change, middles[kind], goal, seed)
        for target, goal, h in (("seen", happened, False), ("expected", mean, True)) if refits else ():
            tables = []
            for k, (desk, known) in enumerate(again):
                found = desk.rehearse(
                    scenario, responses=known, draws=draws // refits, seed=1000 * seed + k, households=h
                )
                tables.append(changes_of(found.expected if h else found.drawn, product))
            key = (target, "refitted", scenario.name)
            add_cases(cases, key, np.concatenate(tables), middles["drawn"], goal, seed)
        for name, desk in desks.items():
            found = desk.rehearse(scenario, draws=1, seed=seed, households=False, luck=False)
            expansion[name, scenario.name].append((changes_of(found.central, product)[1], mean[1]))
    expansion["λ", ""].append((float(models.purchase[2]), truth.nest))


def add_cases(
    cases: Cases, key: tuple[str, ...], change: ndarray, middle: ndarray, goal: ndarray, seed: int
) -> None:
    """The intervals of the product's and of the category's change."""
    low, high = np.quantile(change, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    for k, part in enumerate(PARTS):
        cases[*key, part].append(Case(float(low[k]), float(high[k]), float(middle[k]), float(goal[k]), seed))


def realised_change(
    truth: Truth, people: People, o: Occasions, scenario: Scenario, luck: object, product: int
) -> ndarray:
    """What happens to the same trips with the same luck."""
    out = []
    for shelf in (o, scenario.apply(o)):
        column, units = live(truth, people, shelf, luck)  # type: ignore[arg-type]
        out.append((units[column == product + 1].sum(), units.sum()))
    return np.diff(np.array(out, float), axis=0)[0]


def population_change(
    truth: Truth, others: People, o: Occasions, scenario: Scenario, product: int
) -> ndarray:
    """Expected change among as many households as the panel has."""
    out = []
    for shelf in (o, scenario.apply(o)):
        units = expected_units(truth, others, shelf).sum(0) * HOUSEHOLDS / len(others)
        out.append((units[product], units.sum()))
    return np.diff(np.array(out), axis=0)[0]


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def show(name: str, cases: list[Case]) -> None:
    """One row of the table."""
    hits = sum(case.holds for case in cases)
    low, high = wilson(hits, len(cases))
    width = np.mean([case.high - case.low for case in cases])
    miss = np.mean([case.truth - case.middle for case in cases])
    _, market = np.unique([case.market for case in cases], return_inverse=True)
    held = np.bincount(market, [case.holds for case in cases]) / np.bincount(market)
    spread = 1.96 * held.std() / np.sqrt(len(held))
    error = np.std([case.truth - case.middle for case in cases]) / np.sqrt(len(cases))
    held_by = f"{100 * hits / len(cases):.1f} % [{100 * low:.1f}, {100 * high:.1f}] ± {100 * spread:.1f}"
    print(f"| {name} | {held_by} | {len(cases)} | {width:.2f} | {miss:+.2f} ± {1.96 * error:.2f} |")


def main() -> None:
    """Study, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--markets", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--weeks", type=int, default=TRAIN, help="weeks on which the models are fitted")
    parser.add_argument("--refits", type=int, default=0, help="also fit models on resampled households")
    parser.add_argument("--draws", type=int, default=200)
    asked = parser.parse_args()
    cases: Cases = defaultdict(list)
    expansion: dict = defaultdict(list)
    for seed in range(asked.first, asked.first + asked.markets):
        study(seed, asked.draws, asked.weeks, asked.refits, cases, expansion)
    print(f"markets {asked.first} to {asked.first + asked.markets - 1}, {asked.draws} draws, units a week")
    print("| target, parameters, scenario, part | 90 % intervals that hold | of | width | truth - middle |")
    print("|---|---|---|---|---|")
    for target in ("seen", "expected"):
        for kind in ("drawn", "refitted", "not drawn")[:: 1 if asked.refits else 2]:
            chosen = {k: v for k, v in cases.items() if k[:2] == (target, kind)}
            show(f"{target}, {kind}: all", [c for found in chosen.values() for c in found])
            for part in PARTS:
                show(f"{target}, {kind}: {part}", [c for k, v in chosen.items() if k[3] == part for c in v])
            for key, found in chosen.items():
                if kind != "not drawn":
                    show(f"{target}, {kind}: {key[2]}, {key[3]}", found)
    for (name, scenario), pairs in expansion.items():
        said, true = np.array(pairs).T
        slope = (said * true).sum() / (true * true).sum()
        print(
            f"expansion, {name} {scenario}: said {said.mean():.3f}, true {true.mean():.3f}, ratio {slope:.2f}"
        )


if __name__ == "__main__":
    main()
