"""Every choice model on the frozen valid split of choice benchmark v1, fitted on all training occasions.

    python benchmarks/frozen_valid.py [--regime full|nohist] [--models lightgbm head] [--sample N]

Prints scores with household-bootstrap intervals, paired differences against LightGBM, promotion response
on the same occasions and on all 24,824 valid ones, processor-seconds of every step, and decisions per
processor-second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from malles.data.loading import load_dataset
from malles.engines import find_engine
from malles.evaluation.comparison import compare_models
from malles.evaluation.promotion import promotion_response
from malles.occasions.benchmark import select_scored
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.profiles.features import FeatureStore
from malles.vocabulary import ChoiceData, Regime

clock = time.process_time


def main() -> None:
    """Fit, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regime", default="full", choices=["full", "nohist"])
    parser.add_argument(
        "--models", nargs="+", default=["personal_frequency", "conditional_logit", "lightgbm", "head"]
    )
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=500)
    asked = parser.parse_args()
    if "head" in asked.models:
        import torch

        torch.set_num_threads(1)
    seconds: dict[str, float] = {}

    def lap(name: str, since: float) -> None:
        seconds[name] = round(clock() - since, 1)
        print(f"{name}: {seconds[name]} processor-seconds", file=sys.stderr, flush=True)

    t = clock()
    dataset = load_dataset("complete_journey")
    lap("load data", t)
    t = clock()
    catalogue = build_catalogue(dataset, fit_until_week=40)
    cold = build_split(catalogue)
    warm = (~cold.cold_customer, ~cold.cold_category)
    train_occasions = build_occasions(catalogue, None, (9, 40), *warm).occasions
    lap("catalogue and training occasions", t)
    valid_occasions = build_occasions(catalogue, None, (41, 44), *warm).occasions
    rows = select_scored(valid_occasions).rows
    if asked.sample:
        rng = np.random.default_rng(asked.seed)
        train_occasions = train_occasions.take(
            np.sort(rng.choice(len(train_occasions), asked.sample, replace=False))
        )
    regime = Regime(asked.regime)
    FeatureStore(catalogue).build(valid_occasions.take(np.arange(100)), regime)  # compile, or read compiled
    t = clock()
    store = FeatureStore(catalogue)
    train = store.build(train_occasions, regime)
    lap(f"features of {len(train):,} training occasions", t)
    whole = store.build(valid_occasions, regime)
    valid = whole.take(rows)
    group = category_groups(catalogue)[train_occasions.category]
    predictions, everywhere, rate = {}, {}, {}
    for name in asked.models:
        t = clock()
        model = find_engine(name, regime).fit(train, valid, group, seed=asked.seed)
        lap(f"fit {name}", t)
        model.predict(valid.take(np.arange(500)))
        t = clock()
        predictions[name] = np.asarray(model.predict(valid))
        alone = clock() - t
        t = clock()
        fresh = store.build(valid.occasions, regime)
        model.predict(fresh)
        rate[name] = {"features ready": len(valid) / alone, "with features": len(valid) / (clock() - t)}
        everywhere[name] = np.asarray(model.predict(whole))
    reference = "lightgbm" if "lightgbm" in asked.models else asked.models[0]
    table = compare_models(
        predictions, valid.occasions, reference, np.random.default_rng(asked.seed), draws=asked.draws
    )
    print(
        json.dumps(
            {
                "regime": asked.regime,
                "training_occasions": len(train),
                "scores": table.to_dict(),
                "promotion_frozen": {n: response(p, valid, asked.draws) for n, p in predictions.items()},
                "promotion_all_valid": {n: response(p, whole, asked.draws) for n, p in everywhere.items()},
                "processor_seconds": seconds,
                "decisions_per_processor_second": rate,
            },
            indent=1,
        )
    )


def response(probability: np.ndarray, data: ChoiceData, draws: int) -> dict[str, object]:
    """Promotion response with intervals."""
    o = data.occasions
    found = promotion_response(
        probability, o.available, o.chosen, o.product, o.price, o.list_price, o.customer,
        np.random.default_rng(1), draws=draws,
    )  # fmt: skip
    names = ("correlation_score", "slope", "response_error")
    return {
        "products": len(found.product),
        **{
            n: [round(float(getattr(getattr(found, n), k)), 4) for k in ("value", "low", "high")]
            for n in names
        },
    }


if __name__ == "__main__":
    main()
