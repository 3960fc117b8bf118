"""Long shelves: one reader of the whole shelf against specialists and a decider, at equal tokens.

    python benchmarks/long_shelves.py [--sizes 20 100 300] [--occasions 200] [--long 200] [--minutes 60]

Complete Journey, weeks 41 to 44, warm households and groups. The choice category of an occasion is widened
to its group of products (`malles.occasions.wide_slates`); groups count where 300 products are live, so every
size is a slate of the same shelves. Slates come from past weeks only; an occasion whose choice is not on the
slate is left out for every method, and counted. Occasions come in one fixed order; `--minutes` or a SIGTERM
may end it early, and the context of 8,192 tokens is read on the first `--long` of them.

The language model is the shipped text-only adapter. What a method does not read keeps a mass, fitted with
all temperatures on `--training` occasions of weeks 33 to 40; the baselines are fitted on 3,000 of them.
Answers lie in runs/long_shelves; `--begin` and `--join` share one order between processes.
Processor-seconds hold planning, tokens and scoring; writing the prompts is the same for all, and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.loading import load_dataset
from malles.discussion.shelf_belief import ShelfBelief, fit_belief, tiers_of
from malles.discussion.shelf_reader import PointerShelfReader
from malles.discussion.shelf_turns import shelf_case, turns_of
from malles.discussion.shelves import ShelfSettings, ShelfTalk, read_alone, talk_over_shelves
from malles.discussion.specialists import Specialist
from malles.engines import find_engine
from malles.evaluation.comparison import compare_choices
from malles.llm.aligning import SHIPPED
from malles.llm.choice_model import FittedAligned
from malles.llm.prompt import Field, ShelfPrompt
from malles.llm.wording import ChoicePrompts
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.rules import OccasionRules
from malles.occasions.splits import build_split
from malles.occasions.wide_slates import narrow_slates, widen_to_groups
from malles.profiles.features import FeatureStore
from malles.vocabulary import Catalogue, ChoiceData, Occasions, Regime

OUT = Path("runs/long_shelves")
SHORT, LONG = 2048, 8192
"""Contexts: the setting that the adapter ships with, and what its base model was made for."""
WIDEST = 300
"""Products that must be live in a group."""
WHOLE = (Specialist("part", "Name the best of a part of the shelf.", frozenset(Field) - {Field.SOFT}),)
METRICS = ("log_loss", "hit_rate_score")
SLICE = 10
"""Occasions between two looks at the clock."""


@dataclass
class Answers:
    """What one method said of the occasions so far."""

    talks: list[ShelfTalk] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Shelf:
    """Some occasions in words."""

    prompts: list[ShelfPrompt]
    popular: list[list[int]]
    """Alternatives by the slate's rank, the most popular first."""
    usual: list[list[int]]
    """The same, but what the customer bought most stands first."""
    chosen: list[int]
    """Place of the choice among the alternatives."""


def say(text: str) -> None:
    """Progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def read_occasions(size: int, weeks: tuple[int, int]) -> tuple[Catalogue, Occasions, dict[str, int]]:
    """Catalogue of groups, occasions with full shelves of `size`, and what was left out."""
    catalogue = widen_to_groups(build_catalogue(load_dataset("complete_journey"), fit_until_week=40))
    split = build_split(catalogue)
    rules = OccasionRules(alternatives=size, min_alternatives=size)
    built = build_occasions(catalogue, rules, weeks, ~split.cold_customer, ~split.cold_category)
    return catalogue, built.occasions, built.dropped


def shelf_of(data: ChoiceData, rows: np.ndarray) -> Shelf:
    """Prompts of some occasions, and two orders of their alternatives."""
    words, o = ChoicePrompts(data), data.occasions
    own = data.feature("own_lines")
    shelf = Shelf([], [], [], [])
    for i in rows:
        columns = np.array(words.columns(int(i)))
        shelf.prompts.append(words.prompt(int(i)))
        shelf.popular.append(np.argsort(o.rank[i, columns], kind="stable").tolist())
        shelf.usual.append(np.lexsort((o.rank[i, columns], -own[i, columns])).tolist())
        shelf.chosen.append(int(np.flatnonzero(columns == o.chosen[i])[0]))
    return shelf


def answer(
    shelf: Shelf, reader: PointerShelfReader, size: int, contexts: tuple[int, ...]
) -> dict[str, tuple[list[ShelfTalk], float]]:
    """Every method on some occasions: (talks, processor-seconds). Budgets are what one reader used."""
    made: dict[str, tuple[list[ShelfTalk], float]] = {}

    def timed(name: str, ask: Callable[[], list[ShelfTalk]]) -> list[ShelfTalk]:
        began = process_time()
        talks = ask()
        made[name] = (talks, process_time() - began)
        return talks

    words, popular = shelf.prompts, shelf.popular
    for context in contexts:
        alone = timed(f"one reader, {context}", lambda c=context: read_alone(words, popular, reader, c))
        budget = [talk.tokens for talk in alone]
        talks = timed(
            f"specialists, {context}", lambda b=budget: talk_over_shelves(words, popular, b, reader)
        )
        nobody = [replace(t, decider=np.full(len(t.decider), np.nan), deciding_tokens=0) for t in talks]
        made[f"no decider, {context}"] = (nobody, float("nan"))
        if context == LONG:
            how = ShelfSettings(best=50, reading=0.8)
            timed(
                f"parts of the shelf, {context}",
                lambda b=budget, h=how: talk_over_shelves(words, popular, b, reader, h, WHOLE),
            )
    if size > 20 and SHORT in contexts:
        timed("own purchases first", lambda: read_alone(words, shelf.usual, reader, SHORT))
        first = [order[:20] for order in shelf.usual]
        timed("20 by own purchases", lambda: read_alone(words, first, reader, SHORT))
    return made


@dataclass
class Run:
    """All methods on one size."""

    beliefs: dict[str, ShelfBelief] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)


def run_size(
    size: int, train: ChoiceData, held: ChoiceData, long: int, reader: PointerShelfReader, until: float
) -> Run:
    """Fit the masses on training occasions, then answer the held-out ones until the time is up."""
    run, began = Run(), process_time()

    def contexts(begin: int, most: int) -> tuple[int, ...]:
        return (SHORT, LONG) if size > 20 and begin < most else (SHORT,)

    fitting: dict[str, list[ShelfTalk]] = {}
    chosen: list[int] = []
    for begin in range(0, len(train), SLICE):
        shelf = shelf_of(train, np.arange(begin, min(begin + SLICE, len(train))))
        chosen += shelf.chosen
        for name, (talks, _) in answer(shelf, reader, size, contexts(0, long)).items():
            fitting.setdefault(name, []).extend(talks)
    for name, talks in fitting.items():
        run.beliefs[name] = fit_belief(talks, chosen)
    say(f"{size}: fitted on {len(chosen)}, {process_time() - began:.0f} processor-seconds")
    try:
        for begin in range(0, len(held), SLICE):
            if process_time() > until:
                break
            shelf = shelf_of(held, np.arange(begin, min(begin + SLICE, len(held))))
            for name, (talks, seconds) in answer(shelf, reader, size, contexts(begin, long)).items():
                kept = run.answers.setdefault(name, Answers())
                kept.talks += talks
                kept.seconds += seconds
            say(f"{size}: {begin + len(shelf.prompts)}, {process_time() - began:.0f} processor-seconds")
    except KeyboardInterrupt:
        say(f"{size}: ended early")
    return run


def cost_of(belief: ShelfBelief, kept: Answers, held: ChoiceData, n: int) -> dict[str, object]:
    """Tokens, seconds, and where the choice and the rest of the shelf were left."""
    talks, o = kept.talks[:n], held.occasions
    tier = [tier_of_choice(talk, o, i) for i, talk in enumerate(talks)]
    deciding = [(i, t) for i, t in enumerate(talks) if t.union and not np.isnan(t.decider).all()]
    overruled = sum(int(belief.probabilities(t).argmax()) != t.choice for _, t in deciding)
    return {
        "tokens": round(float(np.mean([t.tokens for t in talks])), 1),
        "processor_seconds": round(kept.seconds / len(kept.talks), 4),
        "read_by_decider": round(float(np.mean([(~np.isnan(t.decider)).sum() for t in talks])), 1),
        "dropped": round(float(np.mean([t.dropped for t in talks])), 1),
        "dropped_in_all": int(sum(t.dropped for t in talks)),
        "choices_read_by_decider": tier.count(0),
        "choices_read_by_specialists_alone": tier.count(1),
        "choices_dropped": tier.count(2),
        "overruled": overruled,
        "mass": belief.mass.round(4).tolist(),
        "temperature": round(belief.temperature, 3),
        "weights": None if belief.weight is None else belief.weight.round(3).tolist(),
    }


def tier_of_choice(talk: ShelfTalk, o: Occasions, i: int) -> int:
    """Who read the product that was bought."""
    return int(tiers_of(talk)[int(o.available[i, : o.chosen[i]].sum())])


def compare(
    predictions: dict[str, np.ndarray],
    available: np.ndarray,
    chosen: np.ndarray,
    customer: np.ndarray,
    seed: int,
    draws: int,
) -> tuple[list[dict], list[dict]]:
    """Scores with intervals, and paired differences to several references."""
    scores: list[dict] = []
    differences: list[dict] = []
    wanted = (f"one reader, {SHORT}", f"one reader, {LONG}", "20 by own purchases", "conditional_logit")
    for reference in [r for r in wanted if r in predictions]:
        rng = np.random.default_rng(seed)
        compared = compare_choices(predictions, available, chosen, customer, reference, rng, draws=draws)
        table = compared.to_dict()
        scores = [s for s in table["scores"] if s["metric"] in METRICS]
        differences += [d for d in table["differences"] if d["metric"] in METRICS]
    return scores, differences


def join(files: list[Path], seed: int, draws: int) -> dict[str, object]:
    """Runs that answered different parts of one order (`--begin`), scored together."""
    parts = [np.load(file) for file in files]
    shared = [k for k in parts[0].files if all(k in part.files for part in parts)]
    held = {k: np.concatenate([part[k] for part in parts]) for k in shared}
    predictions = {k[2:]: p.astype(float) for k, p in held.items() if k.startswith("p ")}
    scores, differences = compare(
        predictions, held["available"], held["chosen"], held["customer"], seed, draws
    )
    n, people = len(held["chosen"]), len(np.unique(held["customer"]))
    return {"occasions": n, "customers": people, "scores": scores, "differences": differences}


def report(
    run: Run, held: ChoiceData, n: int, classical: dict[str, np.ndarray], seed: int, draws: int, name: str
) -> dict[str, object]:
    """Scores, paired differences, tokens, seconds and what was dropped, over the first n occasions."""
    o = held.occasions
    answered = {m: kept for m, kept in run.answers.items() if len(kept.talks) >= n}
    predictions = {m: p[:n] for m, p in classical.items()}
    for m, kept in answered.items():
        table = np.zeros((n, o.shape[1]))
        for i, talk in enumerate(kept.talks[:n]):
            table[i, o.available[i]] = run.beliefs[m].probabilities(talk)
        predictions[m] = table
    scores, differences = compare(predictions, o.available[:n], o.chosen[:n], o.customer[:n], seed, draws)
    np.savez_compressed(
        OUT / f"{name}.npz", available=o.available[:n], chosen=o.chosen[:n], customer=o.customer[:n],
        rank=o.rank[:n], **{f"p {m}": p.astype(np.float32) for m, p in predictions.items()},
    )  # fmt: skip
    cost = {m: cost_of(run.beliefs[m], kept, held, n) for m, kept in answered.items()}
    people = len(np.unique(o.customer[:n]))
    return {"occasions": n, "customers": people, "cost": cost, "scores": scores, "differences": differences}


def main() -> None:
    """Every size in turn; prints JSON and keeps it in runs/long_shelves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", type=int, default=[20, 100, 300])
    parser.add_argument("--occasions", type=int, default=200)
    parser.add_argument(
        "--begin", type=int, default=0, help="occasions of the order that another run answers"
    )
    parser.add_argument("--long", type=int, default=200, help="occasions read with the long context, too")
    parser.add_argument("--training", type=int, default=50)
    parser.add_argument(
        "--classical", nargs="*", default=["popularity", "personal_frequency", "conditional_logit"]
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="processor-minutes, shared by the sizes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--join", nargs="*", type=Path, default=[], help="score saved .npz files together")
    asked = parser.parse_args()
    if asked.join:
        print(json.dumps(join(asked.join, asked.seed, asked.draws), indent=1))
        return
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    OUT.mkdir(parents=True, exist_ok=True)
    catalogue, all_of_them, dropped = read_occasions(WIDEST, (33, 44))
    store = FeatureStore(catalogue)
    order = np.random.default_rng(asked.seed).permutation(len(all_of_them))
    late = all_of_them.week[order] >= 41
    model = FittedAligned.load(SHIPPED / "complete_journey_text")
    model.reader.encoder.longest = LONG
    reader = PointerShelfReader(model.reader, SHORT)
    groups = np.unique(all_of_them.category[order[late]])
    out: dict[str, object] = {
        "left_out_weeks_33_to_44": dropped,
        "events_41_to_44": int(late.sum()),
        "groups": [catalogue.group_name[g] for g in groups],
    }
    began, sizes = process_time(), []
    for k, size in enumerate(asked.sizes):
        narrow = narrow_slates(all_of_them, size)
        known = narrow.chosen[order] >= 0
        train, held = (
            store.build(narrow.take(order[known & where][first:most]), Regime.FULL)
            for where, first, most in ((~late, 0, 3000), (late, asked.begin, asked.occasions))
        )
        classical = {}
        for name in asked.classical:
            at, engine, early = process_time(), find_engine(name), train.take(np.arange(min(300, len(train))))
            fitted = engine.fit(train, early, train.occasions.category, seed=asked.seed)
            classical[name] = fitted.predict(held)
            say(f"{size}: {name}, {process_time() - at:.0f} processor-seconds")
        left = asked.minutes * 60 - (process_time() - began)
        until = process_time() + left / (len(asked.sizes) - k)
        some = train.take(np.arange(min(asked.training, len(train))))
        run = run_size(size, some, held, asked.long, reader, until)
        lengths = sorted({len(kept.talks) for kept in run.answers.values()}, reverse=True)
        found = []
        for n in lengths:
            name = f"{size}-{asked.begin}-{asked.begin + n}"
            found.append(report(run, held, n, classical, asked.seed, asked.draws, name))
        sizes.append({"size": size, "choice_on_slate": int((known & late).sum()), "parts": found})
        out["sizes"] = sizes
        name = f"report-{'-'.join(map(str, asked.sizes))}-from-{asked.begin}.json"
        (OUT / name).write_text(json.dumps(out, indent=1), encoding="utf-8")
        if run.answers:
            shelf, talk = shelf_of(held, np.arange(1)), run.answers[f"specialists, {SHORT}"].talks[0]
            for who, turn in turns_of(talk, shelf_case(shelf.prompts[0]))[:6]:
                say(f"    {who}: {turn}")
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
