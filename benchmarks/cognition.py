"""The cognitive core beside the rules of thumb it must beat, Complete Journey, regime `full`.

    python benchmarks/cognition.py [--occasions 60000] [--seed 1] [--rank 300]

Fitted on weeks 9 to 40, scored on the 2,000 `lite` occasions of weeks 41 to 44; paired differences to
personal frequency with household-clustered intervals. With `--rank N` the embedded language model ranks the
core's candidate rules on N of these occasions; how much its ranking counts is fitted on N of weeks 33 to 40.
"""

from __future__ import annotations

import argparse
import json
import os
from time import process_time
from typing import Any

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
from malles.vocabulary import ChoiceData, Regime


def main() -> None:
    """Fit, score, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--occasions", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rank", type=int, default=0)
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
                **(
                    {"ranked": rank(core, train, valid, asked.rank, asked.seed, asked.draws)}
                    if asked.rank
                    else {}
                ),
            },
            indent=1,
        )
    )


def rank(
    core: FittedCognitiveCore, train: ChoiceData, valid: ChoiceData, count: int, seed: int, draws: int
) -> dict[str, Any]:
    """What the language model's ranking of the candidate rules adds to the core, on the same occasions."""
    from malles.discussion.candidate_rules import fit_ranking_weight, join_ranking, rank_rules
    from malles.llm.backends.local import LocalBackend

    rng = np.random.default_rng([seed, 5])
    late = np.flatnonzero(train.occasions.week >= 33)
    teach = train.take(np.sort(rng.choice(late, min(count, len(late)), replace=False)))
    held = valid.take(np.sort(rng.choice(len(valid), min(count, len(valid)), replace=False)))
    reader = LocalBackend.untuned("smollm2")
    (ranking, _), began = rank_rules(core, teach, reader), process_time()
    weight = fit_ranking_weight(core, teach, ranking)
    said, lost = rank_rules(core, held, reader)
    share, proposal = core.compete(held)
    answers = {"cognitive": core.predict(held)}
    for name, w in (("ranked, fitted weight", weight), ("ranked, weight 1", 1.0)):
        answers[name] = core.blend(held, join_ranking(share, said, w), proposal)
    answers["ranking alone"] = core.blend(held, said, proposal)
    made = compare_models(
        answers, held.occasions, "cognitive", np.random.default_rng(seed), draws=draws
    ).to_dict()
    return {
        "occasions": len(held), "weight": weight, "without_an_answer": lost,
        "processor_seconds_an_occasion": (process_time() - began) / len(held),
        "scores": [s for s in made["scores"] if s["metric"] == "log_loss"],
        "differences": [d for d in made["differences"] if d["metric"] == "log_loss"],
    }  # fmt: skip


if __name__ == "__main__":
    main()
