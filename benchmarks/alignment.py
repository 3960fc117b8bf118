"""Aligned language models on the frozen valid split of choice benchmark v1 (2,000 `lite` occasions), regime
`full`.

    python benchmarks/alignment.py [--models NAME ...] [--untuned 300] [--reworded 300]

Beside the shipped adapters stand the conditional logit and LightGBM, fitted here on all 208,250 training
occasions, the set model that the adapters carry, and the untuned language model asked for a letter.
Prints likelihood, hit rate and paired differences; the stability under reordered shelves and rewordings;
the attention of the decision rows on price and discount before and after alignment; processor-seconds.

`--models` takes names of shipped adapters or folders; `malles fit configs/align.toml` makes one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.loading import load_dataset
from malles.engines import find_engine, load_engine
from malles.evaluation.comparison import compare_models
from malles.llm.aligning import SHIPPED
from malles.llm.backends.local import LocalBackend
from malles.llm.choice_examples import by_column
from malles.llm.choice_model import FittedAligned, log_of, softmax
from malles.llm.encoding import collate
from malles.llm.prompt import Field
from malles.llm.reader import Reader
from malles.llm.training.batches import watch_lines
from malles.llm.wording import CANONICAL, REWORDINGS, ChoicePrompts
from malles.occasions.benchmark import select_scored
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.profiles.features import FeatureStore
from malles.vocabulary import ChoiceData, Regime


def main() -> None:
    """Score everything on the same occasions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=["complete_journey", "complete_journey_text"])
    parser.add_argument("--classical", nargs="*", default=["conditional_logit", "lightgbm"])
    parser.add_argument("--untuned", type=int, default=300, help="occasions that the untuned model answers")
    parser.add_argument("--reworded", type=int, default=300, help="occasions of the stability check")
    parser.add_argument("--limit", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=500)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    train, valid, group = read_data(asked.limit, fitted=bool(asked.classical))
    answers: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    for name in asked.classical:
        began = process_time()
        assert train is not None
        answers[name] = find_engine(name).fit(train, valid, group, seed=asked.seed).predict(valid)
        seconds[f"fit {name}"] = process_time() - began
        say(f"{name}: {seconds[f'fit {name}']:.0f} processor-seconds")
    load = partial(load_engine, name="head", regime=Regime.FULL)
    models = {}
    for name in asked.models:
        folder = SHIPPED / name if (SHIPPED / name).is_dir() else Path(name)
        models[folder.name if folder.parent == SHIPPED else folder.parts[-3]] = FittedAligned.load(
            folder, load
        )
    answers["head"] = np.asarray(load(SHIPPED / "complete_journey" / "skip").predict(valid))
    for name, model in models.items():
        began = process_time()
        answers[f"hf {name}"] = model.predict(valid)
        seconds[f"score hf {name}, per occasion"] = (process_time() - began) / len(valid)
        say(f"hf {name}: scored")
    out: dict[str, object] = {"occasions": len(valid)}
    for reference in [r for r in ("head", "conditional_logit") if r in answers]:
        table = compare_models(
            answers, valid.occasions, reference, np.random.default_rng(asked.seed), draws=asked.draws
        ).to_dict()
        out[f"differences to {reference}"] = [
            d for d in table["differences"] if d["metric"] in ("log_loss", "hit_rate_score")
        ]
        out["scores"] = [
            s
            for s in table["scores"]
            if s["metric"] in ("log_loss", "hit_rate_score", "top_calibration_error")
        ]
    if asked.untuned:
        out["untuned"] = untuned(valid, asked.untuned, asked.seed, answers, asked.draws)
    out["stability"] = {
        name: stability(model, valid.take(np.arange(min(asked.reworded, len(valid)))), asked.seed)
        for name, model in models.items()
    }
    out["attention"] = {
        "untuned": attention_mass(Reader(next(iter(models.values())).reader.settings), valid),
        **{name: attention_mass(model.reader, valid) for name, model in models.items()},
    }
    out["training"] = {
        name: {k: model.facts.get(k) for k in ("processor_seconds", "occasions_read", "seed", "losses")}
        for name, model in models.items()
    }
    out["processor_seconds"] = {k: round(v, 3) for k, v in seconds.items()}
    print(json.dumps(out, indent=1))


def say(text: str) -> None:
    """Progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def read_data(limit: int, *, fitted: bool) -> tuple[ChoiceData | None, ChoiceData, np.ndarray]:
    """Training occasions (if classical models are fitted) and the first `limit` lite occasions."""
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold = build_split(catalogue)
    warm = (~cold.cold_customer, ~cold.cold_category)
    store = FeatureStore(catalogue)
    train, group = None, np.zeros(0, int)
    if fitted:
        occasions = build_occasions(catalogue, None, (9, 40), *warm).occasions
        train = store.build(occasions, Regime.FULL)
        group = category_groups(catalogue)[occasions.category]
    later = build_occasions(catalogue, None, (41, 44), *warm).occasions
    scored = select_scored(later)
    return train, store.build(later.take(scored.rows[scored.lite][:limit]), Regime.FULL), group


def untuned(
    valid: ChoiceData, count: int, seed: int, answers: dict[str, np.ndarray], draws: int
) -> dict[str, object]:
    """The model as it is, asked for a letter; two rotations averaged; paired with every other model."""
    rows = np.sort(np.random.default_rng([seed, 5]).choice(len(valid), min(count, len(valid)), replace=False))
    part = valid.take(rows)
    prompts = ChoicePrompts(part)
    scored = LocalBackend.untuned().score_letters([prompts.prompt(i) for i in range(len(part))], rotations=2)
    table = np.zeros((len(part), max(len(s.log_probability) for s in scored)))  # type: ignore[arg-type]
    for i, s in enumerate(scored):
        assert s.log_probability is not None
        table[i, : len(s.log_probability)] = np.exp(s.log_probability)
    answer = by_column(table, part.occasions.available)
    made = compare_models(
        {"untuned letters": answer, **{n: a[rows] for n, a in answers.items()}},
        part.occasions,
        "untuned letters",
        np.random.default_rng(seed),
        draws=draws,
    ).to_dict()
    return {k: [r for r in made[k] if r["metric"] == "log_loss"] for k in ("scores", "differences")}


def stability(model: FittedAligned, part: ChoiceData, seed: int) -> dict[str, object]:
    """Same first choice and total variation against the canonical reading: shelf reordered, and reworded."""
    backend, prompts = LocalBackend(model.reader), ChoicePrompts(part)
    available = part.occasions.available
    skip = log_of(model.skip.predict(part)) if model.skip is not None else 0.0
    rng = np.random.default_rng([seed, 6])

    def answer(wordings: list, orders: list) -> np.ndarray:  # type: ignore[type-arg]
        encoded = [
            model.reader.encoder.encode(prompts.prompt(i, w).reorder(list(o)))
            for i, (w, o) in enumerate(zip(wordings, orders, strict=True))
        ]
        table = np.zeros(available.shape)
        for i, (v, o) in enumerate(zip(backend.utilities(encoded), orders, strict=True)):
            table[i, o] = v
        return softmax((by_column(table, available) + skip) / model.temperature, available)

    n = len(part)
    plain = [np.arange(int(k)) for k in available.sum(axis=1)]
    base = answer([CANONICAL] * n, plain)
    found = {}
    for name, wordings, orders in (
        ("reordered", [CANONICAL] * n, [rng.permutation(len(o)) for o in plain]),
        ("reworded", [REWORDINGS[1 + rng.integers(len(REWORDINGS) - 1)] for _ in range(n)], plain),
    ):
        other = answer(wordings, orders)
        found[name] = {
            "same_first_choice": round(float((base.argmax(axis=1) == other.argmax(axis=1)).mean()), 4),
            "total_variation": round(float(0.5 * np.abs(base - other).sum(axis=1).mean()), 5),
        }
    return {"occasions": n, **found}


def attention_mass(reader: Reader, valid: ChoiceData, count: int = 60) -> dict[str, float]:
    """Mean attention of the decision rows by field, in the upper half of the layers."""
    prompts = ChoicePrompts(valid)
    total, seen = np.zeros(len(Field)), 0
    with torch.inference_mode():
        for i in range(min(count, len(valid))):
            batch = collate([reader.encoder.encode(prompts.prompt(i))])
            watch = watch_lines(reader, batch)
            reader.utilities(batch, watch)
            total += np.mean([m[0].mean(dim=0).numpy() for m in watch.mass], axis=0)
            seen += 1
    return {f.name.lower(): round(float(total[f] / seen), 4) for f in Field}


if __name__ == "__main__":
    main()
