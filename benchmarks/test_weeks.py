"""The one look at weeks 45 to 53: every regime, every engine, every split of choice benchmark v1, and units.

    python benchmarks/test_weeks.py [--language 600] > runs/test_weeks.json

Everything is fitted on weeks 9 to 40. Run it once per closing note; each use is logged in
docs/results.md. Prints log-loss and hit rate with household intervals, and paired differences to the set
model. `--language` scores the shipped adapter on a fixed sample of that many occasions per split, beside
the others on the same ones.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.loading import load_dataset
from malles.engines import LAUNCH_HEAD, find_engine, load_engine
from malles.evaluation.comparison import compare_models, compare_units
from malles.head.quantity import QuantitySettings
from malles.llm.aligning import SHIPPED, fixed_sample
from malles.llm.choice_model import FittedAligned
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.profiles.features import FeatureStore
from malles.profiles.launch import build_launch_features
from malles.stages.units import bought
from malles.vocabulary import ChoiceData, Occasions, Regime

WEEKS = (45, 53)


def main() -> None:
    """Fit, look once, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--language", type=int, default=600)
    parser.add_argument("--draws", type=int, default=500)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold, group_of = build_split(catalogue), category_groups(catalogue)
    warm = (~cold.cold_customer, ~cold.cold_category)
    train = build_occasions(catalogue, None, (9, 40), *warm).occasions
    later = build_occasions(catalogue, None, (41, 44), *warm).occasions
    tests = {
        "temporal": build_occasions(catalogue, None, WEEKS, *warm).occasions,
        "cold category": build_occasions(catalogue, None, WEEKS, warm[0], cold.cold_category).occasions,
        "cold customer": build_occasions(catalogue, None, WEEKS, cold.cold_customer, warm[1]).occasions,
    }
    store = FeatureStore(catalogue)
    out: dict[str, object] = {}

    def look(
        regime: Regime, split: str, answers: dict[str, np.ndarray], o: Occasions, reference: str
    ) -> None:
        table = compare_models(
            answers, o, reference, np.random.default_rng(asked.seed), draws=asked.draws
        ).to_dict()
        out[f"{regime.value}, {split}"] = {
            "occasions": len(o),
            **{
                k: [r for r in table[k] if r["metric"] in ("log_loss", "hit_rate_score")]
                for k in ("scores", "differences")
            },
        }
        print(
            regime.value, split, round(time.process_time()), "processor-seconds", file=sys.stderr, flush=True
        )

    def fit(
        names: dict[str, Callable[[ChoiceData, ChoiceData], object]],
        build: Callable[[Occasions], ChoiceData],
        o: Occasions,
    ):  # type: ignore[no-untyped-def]
        data, valid = build(o), build(later)
        return {name: make(data, valid) for name, make in names.items()}

    def engine(name: str, regime: Regime, o: Occasions):  # type: ignore[no-untyped-def]
        group = group_of[o.category]
        found = LAUNCH_HEAD if regime is Regime.LAUNCH and name == "head" else find_engine(name, regime)
        return lambda data, valid: found.fit(data, valid, group, seed=asked.seed)

    full = partial(store.build, regime=Regime.FULL)
    models = fit(
        {n: engine(n, Regime.FULL, train) for n in ("conditional_logit", "lightgbm", "head")}, full, train
    )
    load = partial(load_engine, name="head", regime=Regime.FULL)
    aligned = {
        f"hf {name}": FittedAligned.load(SHIPPED / name, load)
        for name in ("complete_journey", "complete_journey_text")
        if (SHIPPED / name).is_dir()
    }
    for split, o in tests.items():
        data = full(o)
        answers = {n: np.asarray(m.predict(data)) for n, m in models.items()}
        look(Regime.FULL, split, answers, o, "head")
        if asked.language:
            rows = fixed_sample(len(o), asked.language)
            part = data.take(rows)
            answers = {n: a[rows] for n, a in answers.items()}
            answers |= {n: m.predict(part) for n, m in aligned.items()}
            look(Regime.FULL, f"{split}, sample of {len(rows)}", answers, part.occasions, "head")
        del data, answers
    rng = np.random.default_rng(asked.seed)
    some = train.take(np.sort(rng.choice(len(train), 73_000, replace=False)))
    launch = partial(build_launch_features, catalogue)
    models = fit({"head": engine("head", Regime.LAUNCH, some)}, launch, some)
    for split in ("cold category", "temporal"):
        o = tests[split].take(fixed_sample(len(tests[split]), 16_000))
        look(Regime.LAUNCH, split, {n: m.predict(launch(o)) for n, m in models.items()}, o, "head")
    nohist = partial(store.build, regime=Regime.NOHIST)
    models = fit(
        {n: engine(n, Regime.NOHIST, train) for n in ("popularity", "lightgbm", "head")}, nohist, train
    )
    data = nohist(tests["cold customer"])
    look(
        Regime.NOHIST,
        "cold customer",
        {n: np.asarray(m.predict(data)) for n, m in models.items()},
        tests["cold customer"],
        "head",
    )
    out["units, temporal"] = units(catalogue, train, tests["temporal"], asked.seed, asked.draws)
    print(json.dumps(out, indent=1))


def units(catalogue, train: Occasions, test: Occasions, seed: int, draws: int) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """The units head and LightGBM on bought products."""
    from malles.baselines.quantity import BoostedQuantity

    data, late = bought(catalogue, train), bought(catalogue, test)
    answers = {}
    for name, settings in (
        ("LightGBM Poisson", BoostedQuantity(seed=seed)),
        ("units head", QuantitySettings(seed=seed)),
    ):
        mean, point = settings.fit(data).predict(late)
        answers[name] = (np.asarray(mean)[:, 1], np.asarray(point)[:, 1])
    o = late.occasions
    table = compare_units(
        answers, o.units, o.customer, "LightGBM Poisson", np.random.default_rng(seed), draws=draws
    )
    return table.to_dict()


if __name__ == "__main__":
    main()
