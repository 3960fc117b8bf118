"""Named products (Online Retail, first year): what the names of products say about what is bought next.

    python benchmarks/named_products.py --data FILE [--split valid] [--tune] [--json]

20 candidates of equal popularity; new products (B) and unseen groups (C) are cold starts. Heads are
fitted on March to July, the epoch is picked on August, and September to November is scored. Intervals are
95 %, 1,000 draws of customers and of target products, the wider shown. Writes into runs/named-products:

    log_probabilities-SPLIT.npz  "context/model/cell" [occasion, 20]; "cell/rows": their rows of all occasions
    utilities.npz                "context/numeric|head/warm|cold" [occasion, 20] of all occasions; those of
                                 training days by a head fitted on the other half of the customers, so that a
                                 reader can be stacked on them honestly
    report-SPLIT.json            what is printed
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.named_lines import NamedLines, load_named_lines
from malles.evaluation.bootstrap import Interval, mean_interval
from malles.head.similarity import FittedSimilarityHead, SimilarityData, SimilaritySettings
from malles.occasions.named_products import NamedRules, build_named_occasions
from malles.occasions.named_table import NamedOccasions
from malles.profiles.copurchase import build_copurchase
from malles.profiles.named_products import (
    NamedFeatures,
    build_copurchase_features,
    build_number_features,
    build_text_features,
    join_features,
)
from malles.profiles.text import cosine_matrix, ngram_vectors
from malles.profiles.text_encoder import centred, encode_names
from malles.profiles.text_metric import learnt_similarity, ngram_components
from malles.profiles.text_tuning import tuned_similarity

CELLS = {
    "A": ("A", False), "A0": ("A0", False), "A0 cold": ("A0", True),
    "B": ("B", True), "C": ("C", False), "C cold": ("C", True),
}  # fmt: skip
CONTEXTS = ("history", "basket")
BEST = ("num", "cf", "tfidf", "minilm", "metric", "carried")
MODELS: dict[str, tuple[tuple[str, ...], int]] = {
    "num": (("num",), 0),
    "num+tfidf": (("num", "tfidf"), 0),
    "num+minilm": (("num", "minilm"), 0),
    "num+tfidf+minilm": (("num", "tfidf", "minilm"), 0),
    "num+tfidf+minilm+metric": (("num", "tfidf", "minilm", "metric"), 0),
    "num+tfidf+minilm+metric+carried": (("num", "tfidf", "minilm", "metric", "carried"), 0),
    "num+cf, net": (("num", "cf"), 32),
    "num+cf+tfidf, net": (("num", "cf", "tfidf"), 32),
    "num+cf+tfidf+minilm, net": (("num", "cf", "tfidf", "minilm"), 32),
    "best, net": (BEST, 32),
}
TUNED = {
    "num+tuned": (("num", "tuned"), 0),
    "num+tfidf+tuned": (("num", "tfidf", "tuned"), 0),
    "num+tfidf+minilm+tuned": (("num", "tfidf", "minilm", "tuned"), 0),
    "num+tfidf+minilm+metric+tuned": (("num", "tfidf", "minilm", "metric", "tuned"), 0),
}
QUESTIONS = (
    ("does text help at all?", "num+tfidf", "num"),
    ("does text help beside sales and co-purchase?", "num+cf+tfidf, net", "num+cf, net"),
    ("does a sentence encoder beat n-grams?", "num+minilm", "num+tfidf"),
    ("does it add to n-grams?", "num+tfidf+minilm", "num+tfidf"),
    ("does a learnt metric add?", "num+tfidf+minilm+metric", "num+tfidf+minilm"),
    ("does borrowed co-purchase add?", "num+tfidf+minilm+metric+carried", "num+tfidf+minilm+metric"),
    ("do both add to the network?", "best, net", "num+cf+tfidf+minilm, net"),
    ("does a tuned encoder beat the encoder?", "num+tuned", "num+minilm"),
    ("does it add to n-grams and encoder?", "num+tfidf+minilm+tuned", "num+tfidf+minilm"),
    ("does it add to the learnt metric?", "num+tfidf+minilm+metric+tuned", "num+tfidf+minilm+metric"),
)
OUT = Path("runs/named-products")
DRAWS = 1000


@dataclass
class Clock:
    """Processor-seconds by step."""

    seconds: dict[str, float]
    begin: float

    def lap(self, step: str) -> None:
        """Add the time since the last lap to a step."""
        now = time.process_time()
        self.seconds[step] = round(self.seconds.get(step, 0.0) + now - self.begin, 1)
        self.begin = now
        print(f"{step}: {self.seconds[step]} processor-seconds", file=sys.stderr, flush=True)


def build_features(
    lines: NamedLines, o: NamedOccasions, cut: int, clock: Clock, *, tune: bool
) -> NamedFeatures:
    """Every group of features; names are fitted on products first sold before `cut`."""
    known = o.first_day < cut
    taught = known & ~o.held_out
    ngrams = ngram_vectors(o.names, known)
    likeness = {"tfidf": cosine_matrix(ngrams)}
    clock.lap("n-grams")
    encoded = centred(encode_names(o.names, cache_folder=OUT), known)
    likeness["minilm"] = cosine_matrix(encoded)
    clock.lap("encoder")
    together = build_copurchase(lines, cut).invoices
    components = ngram_components(ngrams, known)
    likeness["metric"] = learnt_similarity(encoded, components, o.group, together, taught, cache_folder=OUT)
    clock.lap("learnt metric")
    if tune:
        likeness["tuned"] = tuned_similarity(o.names, o.group, together, taught, cache_folder=OUT)
        clock.lap("tuned encoder")
    found = join_features(
        build_number_features(lines, o),
        build_copurchase_features(lines, o, (likeness["tfidf"] + likeness["minilm"]) / 2),
        build_text_features(likeness, o),
    )
    clock.lap("features")
    return found


class Views:
    """Occasions of the cells as the head sees them, with some groups of features."""

    def __init__(self, o: NamedOccasions, features: NamedFeatures) -> None:
        self.o, self.values = o, (features.values, features.cold().values)

    def rows(self, rows: np.ndarray, *, cold: bool) -> SimilarityData:
        """Some occasions, with sales or without."""
        return SimilarityData(self.values[cold][rows], np.full(len(rows), cold), self.o.chosen[rows])

    def cell(self, split: str, cell: str) -> SimilarityData:
        """All occasions of a cell."""
        regime, cold = CELLS[cell]
        return self.rows(np.flatnonzero(self.o.of(split, regime)), cold=cold)

    def train(self, among: np.ndarray) -> SimilarityData:
        """A, A0, A0 with sales hidden, and B twice."""
        parts = [
            self.rows(np.flatnonzero(self.o.of("train", regime) & among), cold=cold)
            for regime, cold in (("A", False), ("A0", False), ("A0", True), ("B", True), ("B", True))
        ]
        return parts[0].joined(*parts[1:])

    def fit(self, hidden: int, seed: int, among: np.ndarray) -> FittedSimilarityHead:
        """A head fitted on training days, its epoch picked on August."""
        valid = [self.cell("valid", cell) for cell in CELLS]
        return SimilaritySettings(hidden=hidden, seed=seed).fit(self.train(among), valid)


def log_softmax(value: np.ndarray) -> np.ndarray:
    """Log-probabilities of utilities."""
    shifted = value - value.max(axis=1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def wider(value: np.ndarray, part: NamedOccasions, seed: int) -> Interval:
    """The wider of the intervals over customers and over target products."""
    both = [
        mean_interval(value, c, np.random.default_rng([seed, 7]), draws=DRAWS)
        for c in (part.customer, part.bought())
    ]
    return max(both, key=lambda i: i.high - i.low)


def rules(features: NamedFeatures, rows: np.ndarray, context: str) -> dict[str, np.ndarray]:
    """Rules that nothing is fitted for, by name: they have a first choice only."""
    part = features.take(rows)
    noise = np.random.default_rng(0).random(part.values.shape[:2]) * 1e-6  # ties at random
    found = {
        f"largest likeness, {g}": part.column(f"{g}/{context}_max") for g in ("tfidf", "minilm", "metric")
    }
    found |= {
        "popularity": part.column("num/sales_56"),
        "most bought by the customer": part.column("num/own_count"),
    }
    return {name: value + noise for name, value in found.items()}


def main() -> None:
    """Build, fit, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    home = os.environ.get("MALLES_DATA", "")
    parser.add_argument("--data", type=Path, default=Path(home) / "online_retail" if home else None)
    parser.add_argument("--split", choices=["valid", "test"], default="test")
    parser.add_argument("--tune", action="store_true", help="tune the encoder too (12 processor-minutes)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    file = find_file(asked.data)
    if file is None:
        print("named products: give the Online Retail file with --data (skipped)", file=sys.stderr)
        return
    torch.set_num_threads(1)
    clock = Clock({}, time.process_time())
    lines = load_named_lines(file)
    how = NamedRules(seed=asked.seed)
    o = build_named_occasions(lines, how)
    clock.lap("occasions")
    features = build_features(lines, o, how.days()[1][0], clock, tune=asked.tune)
    cells = {c: np.flatnonzero(o.of(asked.split, r)) for c, (r, _) in CELLS.items()}
    everyone = np.ones(len(o), bool)
    log_p: dict[str, np.ndarray] = {f"{cell}/rows": rows for cell, rows in cells.items()}
    utilities: dict[str, np.ndarray] = {}
    scores: list[dict[str, object]] = []
    models = MODELS | (TUNED if asked.tune else {})
    for context in CONTEXTS:
        for cell, rows in cells.items():
            part = o.take(rows)
            for name, value in rules(features, rows, context).items():
                hit = wider((value.argmax(1) == part.chosen).astype(float), part, asked.seed)
                scores.append(
                    {"context": context, "model": name, "cell": cell, "hit": vars(hit), "n": len(rows)}
                )
        for name, (groups, hidden) in models.items():
            views = Views(o, features.select(groups, basket=context == "basket"))
            head = views.fit(hidden, asked.seed, everyone)
            for cell, rows in cells.items():
                part, found = o.take(rows), head.log_probability(views.cell(asked.split, cell))
                log_p[f"{context}/{name}/{cell}"] = found
                own = found[np.arange(len(part)), part.chosen]
                hit = wider((found.argmax(1) == part.chosen).astype(float), part, asked.seed)
                loss = wider(-own.astype(float), part, asked.seed)
                scores.append(
                    {
                        "context": context,
                        "model": name,
                        "cell": cell,
                        "hit": vars(hit),
                        "loss": vars(loss),
                        "n": len(rows),
                    }
                )
            if (kept := {"num": "numeric", "best, net": "head"}.get(name)) is not None:
                for mode, table in crossed(views, head, hidden, asked.seed).items():
                    utilities[f"{context}/{kept}/{mode}"] = table
            clock.lap(f"fit and score, {context}, {name}")
    gaps = differences(o, cells, log_p, models, asked.seed)
    OUT.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT / "utilities.npz", **utilities)
    np.savez_compressed(OUT / f"log_probabilities-{asked.split}.npz", **log_p)
    counts = {
        c: {
            "occasions": len(r),
            "customers": len(np.unique(o.customer[r])),
            "products": len(np.unique(o.take(r).bought())),
        }
        for c, r in cells.items()
    }
    report = {
        "split": asked.split,
        "seed": asked.seed,
        "counts": counts,
        "scores": scores,
        "differences": gaps,
    }
    report |= {"processor_seconds": clock.seconds, "dropped": lines.dropped, "skipped": o.skipped}
    (OUT / f"report-{asked.split}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1) if asked.json else as_text(report, scores, gaps))


def find_file(given: Path | None) -> Path | None:
    """The file itself, or the only table in a folder."""
    if given is None or given.is_file():
        return given
    found = [p for ending in ("parquet", "csv", "xlsx") for p in sorted(given.glob(f"*.{ending}"))]
    return found[0] if found else None


def crossed(views: Views, head: FittedSimilarityHead, hidden: int, seed: int) -> dict[str, np.ndarray]:
    """Utilities of all occasions, with sales (warm) and without (cold); training days cross-fitted."""
    o = views.o
    half = o.customer % 2 == 0
    heads = [(views.fit(hidden, seed, half), ~half), (views.fit(hidden, seed, ~half), half)]
    out = {}
    for mode, cold in (("warm", False), ("cold", True)):
        table = head.utility(views.rows(np.arange(len(o)), cold=cold))
        for other, mine in heads:
            rows = np.flatnonzero(o.of("train") & mine)
            table[rows] = other.utility(views.rows(rows, cold=cold))
        out[mode] = table
    return out


def differences(
    o: NamedOccasions, cells: dict[str, np.ndarray], log_p: dict[str, np.ndarray], models: dict, seed: int
) -> list[dict[str, object]]:
    """The questions, paired by occasion."""
    out: list[dict[str, object]] = []
    for question, model, reference in QUESTIONS:
        if model not in models:
            continue
        for context in CONTEXTS:
            for cell, rows in cells.items():
                part = o.take(rows)
                one, two = (log_p[f"{context}/{m}/{cell}"] for m in (model, reference))
                at = (np.arange(len(part)), part.chosen)
                hit = (one.argmax(1) == part.chosen).astype(float) - (two.argmax(1) == part.chosen)
                gap = {
                    "hit": vars(wider(hit, part, seed)),
                    "loss": vars(wider((two[at] - one[at]).astype(float), part, seed)),
                }
                out.append(
                    {
                        "question": question,
                        "model": model,
                        "reference": reference,
                        "context": context,
                        "cell": cell,
                    }
                    | gap
                )
    return out


def as_text(report: dict, scores: list[dict], gaps: list[dict]) -> str:
    """Tables in Markdown."""

    def short(i: dict, d: int) -> str:
        return f"{i['value']:.{d}f} [{i['low']:.{d}f}, {i['high']:.{d}f}]"

    lines = [f"{c}: {n}" for c, n in report["counts"].items()]
    for context in CONTEXTS:
        lines += ["", f"| {context} | " + " | ".join(CELLS) + " |", "|---" * (len(CELLS) + 1) + "|"]
        for name in dict.fromkeys(s["model"] for s in scores):
            row = [s for s in scores if s["model"] == name and s["context"] == context]
            cells = [short(s["hit"], 3) + (" / " + short(s["loss"], 3) if "loss" in s else "") for s in row]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| question | context | cell | hit@1 | NLL |", "|---|---|---|---|---|"]
    for g in gaps:
        lines.append(
            f"| {g['question']} {g['model']} - {g['reference']} | {g['context']} | {g['cell']} | "
            f"{short(g['hit'], 3)} | {short(g['loss'], 3)} |"
        )
    return "\n".join([*lines, "", f"processor-seconds: {report['processor_seconds']}"])


if __name__ == "__main__":
    main()
