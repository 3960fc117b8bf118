"""Archetypes: what they cost, the model calls they save, and the differences between customers they lose.

    python benchmarks/archetypes.py [--parts round head hf] [--categories 6] [--counts 8 24 72]

round   one draw for each of 1,000,000 customers of 72 archetypes and 20 alternatives, plain and with six
        tastes of their own, beside the same in numpy; medians of processor-seconds
head    Complete Journey, weeks 41-44, largest categories: archetypes from probes in week 41, judged on
        probes in week 43 and on the choices of weeks 43-44; the tilt is a conditional logit whose strength
        comes from weeks 41-42
hf      the same with the shipped text-only language model as the evaluator, asked a few occasions; archetypes
        and tilt from `head`, strength 1

Calls saved on real occasions are few, because few customers meet the same shelf at the same prices;
`calls_per_shelf` says what a market of a million pays.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from malles.choice.model import ChoiceModel
from malles.data.loading import load_dataset
from malles.engines import find_engine, load_engine
from malles.evaluation.comparison import compare_models
from malles.llm.aligning import SHIPPED, fixed_sample
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.population.archetype_chooser import LEAST, ArchetypeChooser, fit_tilt
from malles.population.archetype_kernels import (
    draw_by_archetype,
    draw_by_archetype_twin,
    draw_by_taste,
    draw_by_taste_twin,
)
from malles.population.archetypes import build_archetypes, kept_variance, tilt_probabilities
from malles.population.probes import ask_everyone, build_probes, probe_responses
from malles.population.world import Choose
from malles.profiles.features import FeatureStore
from malles.vocabulary import Lines, Occasions, Regime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts", nargs="+", default=["round", "head", "hf"], choices=["round", "head", "hf"]
    )
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--archetypes", type=int, default=72)
    parser.add_argument("--alternatives", type=int, default=20)
    parser.add_argument("--categories", type=int, default=6)
    parser.add_argument("--counts", type=int, nargs="+", default=[8, 24, 72])
    parser.add_argument(
        "--asked", type=int, default=120, help="occasions and customers that `hf` is asked about"
    )
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    out: dict[str, Any] = {"seed": asked.seed}
    if "round" in asked.parts:
        out["round"] = time_round(asked.customers, asked.archetypes, asked.alternatives, asked.seed)
    if {"head", "hf"} & set(asked.parts):
        import torch

        torch.set_num_threads(1)
        desk = Desk(asked.categories, asked.seed)
        if "head" in asked.parts:
            out["head"] = {str(k): judge(desk, k, asked.draws, asked.seed) for k in asked.counts}
        if "hf" in asked.parts:
            out["hf"] = judge_language(desk, asked.counts[-1], asked.asked, asked.draws, asked.seed)
    print(json.dumps(out, indent=1))


def say(text: str) -> None:
    """Progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def time_round(customers: int, archetypes: int, alternatives: int, seed: int) -> dict[str, Any]:
    """Processor-seconds of one round, median of several, with the range."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(alternatives), archetypes)
    code = rng.integers(0, archetypes, customers).astype(np.int16)
    taste = rng.normal(0, 0.3, (customers, 6)).astype(np.float32)
    x = rng.normal(size=(alternatives, 6))
    key = {"seed": seed, "period": 1}
    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "kernel": (lambda: draw_by_archetype(p, code, **key), 9),
        "numpy": (lambda: draw_by_archetype_twin(p, code, **key), 3),
        "kernel, own tastes": (lambda: draw_by_taste(p, x, code, taste, **key), 9),
        "numpy, own tastes": (lambda: draw_by_taste_twin(p, x, code, taste, **key), 3),
    }
    found: dict[str, Any] = {"customers": customers, "archetypes": archetypes, "alternatives": alternatives}
    picks = {}
    for name, (way, times) in ways.items():
        picks[name] = way()[0]  # compile, or read compiled
        seconds = []
        for _ in range(times):
            began = process_time()
            way()
            seconds.append(process_time() - began)
        found[name] = {"processor_seconds": round(float(np.median(seconds)), 4),
                       "range": [round(min(seconds), 4), round(max(seconds), 4)]}  # fmt: skip
    found["same_picks"] = [
        bool((picks["kernel" + end] == picks["numpy" + end]).all()) for end in ("", ", own tastes")
    ]
    return found


class Desk:
    """Complete Journey, the largest categories of weeks 41 to 44, and everybody's answers to their probes."""

    def __init__(self, categories: int, seed: int) -> None:
        self.catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
        cold = build_split(self.catalogue)
        warm = (~cold.cold_customer, ~cold.cold_category)
        later = build_occasions(self.catalogue, None, (41, 44), *warm).occasions
        train = build_occasions(self.catalogue, None, (37, 40), *warm).occasions
        self.store = FeatureStore(self.catalogue)
        rows = fixed_sample(len(train), 20_000)
        sample = self.store.build(train.take(rows), Regime.FULL)
        group = category_groups(self.catalogue)[sample.occasions.category]
        logit = find_engine("conditional_logit").fit(sample, sample, group, seed=seed)
        load = partial(load_engine, name="head", regime=Regime.FULL)
        self.head = self.chooser(load(SHIPPED / "complete_journey" / "skip"))
        self.cheap = self.chooser(logit)
        size = np.bincount(later.category)
        self.categories = np.argsort(-size, kind="stable")[:categories]
        self.later = later.take(np.isin(later.category, self.categories))
        self.customers = np.arange(len(self.catalogue.customer_key))
        self.probes: dict[int, tuple[Occasions, Occasions]] = {}
        self.answers: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for c in self.categories:
            first, second = (self.template(int(c), week) for week in (41, 43))
            self.probes[int(c)] = (first, second)
            everyone = [ask_everyone(p, self.customers) for p in (first, second)]
            self.answers[int(c)] = (
                self.head(everyone[0], self.catalogue.lines),
                self.head(everyone[1], self.catalogue.lines),
                self.cheap(everyone[1], self.catalogue.lines),
            )
            say(f"probes of {self.catalogue.category_name[c]}: {process_time():.0f} processor-seconds so far")

    def chooser(self, model: ChoiceModel) -> Choose:
        """A model as a function of occasions."""

        def choose(occasions: Occasions, lines: Lines) -> np.ndarray:
            return np.asarray(model.predict(self.store.build(occasions, Regime.FULL)), np.float64)

        return choose

    def template(self, category: int, week: int) -> Occasions:
        """Probes on the shelf of the busiest store, at the week's first such occasion."""
        o = self.later
        rows = np.flatnonzero((o.category == category) & (o.week == week))
        busiest = np.bincount(o.store[rows]).argmax()
        rows = rows[o.store[rows] == busiest]
        return build_probes(o, int(rows[o.timestamp[rows].argmin()]))[0]


def judge(desk: Desk, count: int, draws: int, seed: int) -> dict[str, Any]:
    """Variance kept on later probes, and likelihood of later choices, at `count` archetypes a category."""
    made, kept, told = {}, {"no tilt": [], "tilt": [], "mean of members": []}, []
    for c, (early, late, cheap) in desk.answers.items():
        n = len(desk.probes[c][0])
        kind = made[c] = build_archetypes(probe_responses(early, n), count)
        p = probe_responses(late, n)
        rep = kind.representative[kind.code]
        kept["no tilt"].append(kept_variance(p, p[rep]))
        means = np.stack([p[kind.code == a].mean(0) for a in range(len(kind))])
        kept["mean of members"].append(kept_variance(p, means[kind.code]))
        told.append((p, rep, probe_responses(cheap, n)))
    o, lines = desk.later, desk.catalogue.lines
    plain = ArchetypeChooser(desk.head, made, cheap=desk.cheap)
    asked, answer = plain.group(o)
    q = desk.head(asked, lines)[answer]
    score = plain.scores(o, asked, answer, lines)
    fit = o.week <= 42
    strength = fit_tilt(q[fit], score[fit], o.available[fit], o.chosen[fit].astype(int))
    for c, (p, rep, cheap) in zip(desk.answers, told, strict=True):
        log = np.log(np.maximum(cheap, LEAST))
        wide = (-1, desk.probes[c][0].shape[1])
        there = np.tile(desk.probes[c][1].available, (len(p), 1))
        own = tilt_probabilities(p[rep].reshape(wide), strength * (log - log[rep]).reshape(wide), there)
        kept["tilt"].append(kept_variance(p, own.reshape(p.shape)))
    late = np.flatnonzero(~fit)
    answers = {
        "every customer asked": desk.head(o.take(late), lines),
        "archetypes": q[late],
        "archetypes, tilted": tilt_probabilities(q, strength * score, o.available)[late],
        "tilt alone": desk.cheap(o.take(late), lines),
    }
    say(f"{count} archetypes: {process_time():.0f} processor-seconds so far")
    return {
        "categories": len(made),
        "occasions": len(late),
        "archetypes": [len(k) for k in made.values()],
        "customers": len(desk.customers),
        "calls_per_shelf": {"panel": count / len(desk.customers), "a million customers": count / 1e6},
        "calls_saved_on_real_occasions": round(1 - len(asked) / len(o), 4),
        "tilt_strength": round(strength, 3),
        "variance_kept": {k: round(float(np.mean(v)), 3) for k, v in kept.items()},
        "variance_kept_range": {k: [round(min(v), 3), round(max(v), 3)] for k, v in kept.items()},
        **losses(answers, o.take(late), "every customer asked", draws, seed),
    }


def losses(
    answers: dict[str, np.ndarray], occasions: Occasions, reference: str, draws: int, seed: int
) -> dict[str, Any]:
    """Log-loss of each, and differences to the reference with household intervals."""
    table = compare_models(answers, occasions, reference, np.random.default_rng(seed), draws=draws).to_dict()
    return {
        part: [
            {k: v for k, v in row.items() if k != "metric"}
            for row in table[part]
            if row["metric"] == "log_loss"
        ]
        for part in ("scores", "differences")
    }


def judge_language(desk: Desk, count: int, some: int, draws: int, seed: int) -> dict[str, Any]:
    """The same for the text-only language model on a few occasions, in its largest category and overall."""
    from malles.llm.choice_model import FittedAligned

    model = FittedAligned.load(SHIPPED / "complete_journey_text")
    language, lines = desk.chooser(model), desk.catalogue.lines
    made = {
        c: build_archetypes(probe_responses(a[0], len(desk.probes[c][0])), count)
        for c, a in desk.answers.items()
    }
    rows = np.flatnonzero(desk.later.week >= 43)
    o = desk.later.take(rows[fixed_sample(len(rows), some)])
    plain = ArchetypeChooser(language, made, cheap=desk.head)
    asked, answer = plain.group(o)
    q = language(asked, lines)[answer]
    own = language(o, lines)
    say(f"hf on {len(o)} occasions: {process_time():.0f} processor-seconds so far")
    score = plain.scores(o, asked, answer, lines)
    # between-customer variance: some customers before one shelf, their representatives before the same
    c = int(desk.categories[0])
    kind = made[c]
    some_customers = fixed_sample(len(desk.customers), some)
    shelf = desk.probes[c][1].take(np.zeros(1, int))
    rep = kind.representative[kind.code[some_customers]]
    who, place = np.unique(np.concatenate([some_customers, rep]), return_inverse=True)
    said = language(ask_everyone(shelf, who), lines)
    p, stand = said[place[: len(rep)]], said[place[len(rep) :]]
    head = np.log(np.maximum(desk.head(ask_everyone(shelf, who), lines), LEAST))
    gap = head[place[: len(rep)]] - head[place[len(rep) :]]
    there = np.repeat(shelf.available, len(rep), axis=0)
    say(f"hf on {len(who)} customers: {process_time():.0f} processor-seconds so far")
    answers = {
        "every customer asked": own,
        "archetypes": q,
        "archetypes, tilted by head": tilt_probabilities(q, score, o.available),
        "head alone": desk.head(o, lines),
    }
    return {
        "archetypes": count,
        "occasions": len(o),
        "calls_saved_on_real_occasions": round(1 - len(asked) / len(o), 4),
        "variance_kept": {
            "customers": len(rep),
            "no tilt": round(kept_variance(p, stand), 3),
            "tilt": round(kept_variance(p, tilt_probabilities(stand, gap, there)), 3),
        },
        **losses(answers, replace(o), "every customer asked", draws, seed),
    }


if __name__ == "__main__":
    main()
