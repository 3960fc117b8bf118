"""The cognitive core beside the rules of thumb it must beat, Complete Journey, regime `full`.

    python benchmarks/cognition.py [--occasions 60000] [--seed 1]

Fitted on weeks 9 to 40, scored on the 2,000 `lite` occasions of weeks 41 to 44; paired differences to
personal frequency with household-clustered intervals.
"""

from __future__ import annotations

import argparse
import json
import os
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from malles.cognition.core import CognitiveCore, FittedCognitiveCore
from malles.cognition.productions import PRODUCTIONS
from malles.data.loading import load_dataset
from malles.engines import find_engine
from malles.evaluation.comparison import compare_models
from malles.occasions.benchmark import select_scored
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.profiles.features import FeatureStore
from malles.vocabulary import Regime


def main() -> None:
    """Fit, score, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--occasions", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=500)
    asked = parser.parse_args()
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold = build_split(catalogue)
    warm = (~cold.cold_customer, ~cold.cold_category)
    store = FeatureStore(catalogue)
    occasions = build_occasions(catalogue, None, (9, 40), *warm).occasions
    rng = np.random.default_rng(asked.seed)
    rows = np.sort(rng.choice(len(occasions), min(asked.occasions, len(occasions)), replace=False))
    train = store.build(occasions.take(rows), Regime.FULL)
    later = build_occasions(catalogue, None, (41, 44), *warm).occasions
    scored = select_scored(later)
    valid = store.build(later.take(scored.rows[scored.lite]), Regime.FULL)
    group = category_groups(catalogue)[train.occasions.category]
    answers, seconds = {}, {}
    for name in ("last_purchased", "personal_frequency", "conditional_logit"):
        began = process_time()
        answers[name] = np.asarray(find_engine(name).fit(train, valid, group, seed=asked.seed).predict(valid))
        seconds[name] = process_time() - began
    began = process_time()
    core: FittedCognitiveCore = CognitiveCore().fit(train)
    answers["cognitive"] = core.predict(valid)
    seconds["cognitive"] = process_time() - began
    made = compare_models(
        answers, valid.occasions, "personal_frequency", np.random.default_rng(asked.seed), draws=asked.draws
    ).to_dict()
    kept = ("log_loss", "hit_rate_score")
    print(
        json.dumps(
            {
                "scores": [s for s in made["scores"] if s["metric"] in kept],
                "differences": [d for d in made["differences"] if d["metric"] in kept],
                "shared numbers": vars(core.minds),
                "constants": dict(zip(PRODUCTIONS, core.constant.round(3).tolist(), strict=True)),
                "slope": round(core.slope, 3),
                "processor_seconds": {name: round(value, 1) for name, value in seconds.items()},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
