"""A language model that reads product names, on the named-products occasions (Online Retail, year 1).

    python benchmarks/named_products.py --data FILE   first: the heads' utilities
    python benchmarks/named_reader.py --data FILE --skip numeric [--minutes 14]

The reader sees names of the basket, of the history and of the twenty offers; prices reach it through the
skip: `numeric` (prices and sales only), `head` (the best similarity head) or `none`. Scored on all test
occasions of the cells asked for; differences to the skip alone are paired, clustered by customer and by
product, the wider shown.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.named_lines import load_named_lines
from malles.llm.backends.local import LocalBackend
from malles.llm.prompt import Field, Line, ShelfPrompt
from malles.llm.reader import Reader, ReaderSettings, pad
from malles.llm.training.examples import Examples
from malles.llm.training.loop import TrainingSettings, train
from malles.llm.training.losses import LossWeights
from malles.llm.wording import CANONICAL, Wording, clean_name
from malles.occasions.named_products import build_named_occasions
from malles.occasions.named_table import NamedOccasions

MOST_BASKET, MOST_HISTORY = 14, 4


def renderer(occasions: NamedOccasions, *, basket: bool):  # type: ignore[no-untyped-def]
    """Row and wording to prompt: what the customer has stands first; offers are compared with it."""
    names = [clean_name(n, 34) for n in occasions.names]

    def some(codes: np.ndarray, most: int) -> str:
        return "; ".join(names[c] for c in codes[codes >= 0][:most])

    def render(row: int, wording: Wording = CANONICAL) -> ShelfPrompt:
        had = some(occasions.history[row], MOST_HISTORY if basket else MOST_HISTORY + MOST_BASKET)
        said: list[tuple[Field, str]] = [(Field.FRAME, "Bought before:"), (Field.HISTORY, f" {had}")]
        if basket:
            now = some(occasions.basket[row], MOST_BASKET)
            said += [(Field.FRAME, "\nIn the basket:"), (Field.HISTORY, f" {now}")]
        said.append((Field.FRAME, "\nOffers:"))
        shelf: tuple[Line, ...] = tuple(
            ((Field.FRAME, "-"), (Field.NAME, f" {names[c]}")) for c in occasions.product[row]
        )
        dash: Line = ((Field.FRAME, "-"),)
        return ShelfPrompt(tuple(said), shelf, ((Field.FRAME, "Next:"),), (dash,) * len(shelf))

    return render


def views(
    occasions: NamedOccasions, split: str, rng: np.random.Generator, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """(row, cold) of the occasions that the reader learns from: B and A0 with hidden sales most of all."""
    parts = []
    for regime, cold, share in (
        ("A", False, 0.10),
        ("A0", False, 0.15),
        ("A0", True, 0.40),
        ("B", True, 0.35),
    ):
        rows = np.flatnonzero(occasions.of(split, regime))
        parts.append((rng.choice(rows, int(count * share)), np.full(int(count * share), cold)))
    row, cold = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = rng.permutation(len(row))
    return row[order], cold[order]


def make_examples(
    occasions: NamedOccasions, rows: np.ndarray, skip: np.ndarray, group: np.ndarray, *, basket: bool
) -> Examples:
    """Examples of some rows, with the skip that belongs to each."""
    part = occasions.take(rows)
    return Examples(
        renderer(part, basket=basket),
        part.chosen.astype(np.int32),
        skip.astype(np.float32),
        group.astype(np.int32),
    )


def read_skips(path: Path, context: str, n: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Utilities (with sales, with hidden sales) of all occasions by name; `none` is zero everywhere."""
    if not path.is_file():
        raise SystemExit(f"There is no {path}; make it with: python benchmarks/named_products.py --data FILE")
    with np.load(path) as kept:
        found = {
            name: (kept[f"{context}/{name}/warm"], kept[f"{context}/{name}/cold"])
            for name in ("numeric", "head")
        }
    zero = np.zeros((n, 20), np.float32)
    return {**found, "none": (zero, zero)}


CELLS = (("B", "B", True), ("C cold", "C", True))
"""Title, regime, whether sales are hidden."""


def log_loss(utility: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """−log P of the choice."""
    v = utility - utility.max(axis=1, keepdims=True)
    found: np.ndarray = np.log(np.exp(v).sum(axis=1)) - v[np.arange(len(v)), chosen]
    return found


def wider(
    gap: np.ndarray, customer: np.ndarray, product: np.ndarray, seed: int, draws: int = 1000
) -> list[float]:
    """Mean, and the wider of the two 95 % intervals: customers resampled, target products resampled."""
    intervals = []
    for cluster in (customer, product):
        _, code = np.unique(cluster, return_inverse=True)
        total, count = np.bincount(code, gap), np.bincount(code)
        weight = np.random.default_rng([seed, 8]).multinomial(
            len(total), np.full(len(total), 1 / len(total)), draws
        )
        means = (weight @ total) / (weight @ count)
        intervals.append(np.quantile(means, [0.025, 0.975]))
    low, high = max(intervals, key=lambda i: i[1] - i[0])
    return [round(float(x), 4) for x in (gap.mean(), low, high)]


def main() -> None:
    """Train on March to July, score on September to November."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the Online Retail file")
    parser.add_argument("--utilities", type=Path, default=Path("runs/named-products/utilities.npz"))
    parser.add_argument("--skip", choices=["numeric", "head", "none"], default="numeric")
    parser.add_argument("--context", choices=["basket", "history"], default="basket")
    parser.add_argument("--minutes", type=float, default=14.0)
    parser.add_argument("--limit", type=int, default=1600, help="test occasions per cell")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--tuned", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    basket = asked.context == "basket"
    occasions = build_named_occasions(load_named_lines(asked.data))
    skips = read_skips(asked.utilities, asked.context, len(occasions))
    rng = np.random.default_rng(asked.seed)
    rows, cold = views(occasions, "train", rng, 30_000)
    chosen_skip = skips[asked.skip]
    skip = np.where(cold[:, None], chosen_skip[1][rows], chosen_skip[0][rows])
    examples = make_examples(occasions, rows, skip, cold, basket=basket)
    reader = Reader(
        ReaderSettings(
            layers=asked.layers, tuned_layers=asked.tuned, targets=("q_proj", "v_proj", "o_proj", "down_proj")
        ),
        seed=asked.seed,
    )
    settings = TrainingSettings(
        steps=100_000, batch=4, alternatives=20, minutes=asked.minutes, rate=8e-4, pointer_rate=1.5e-3,
        balance=1.0, rewording=0.0, averaging=0.99, seed=asked.seed, loss=LossWeights(choice=1.0),
    )  # fmt: skip
    seen: list[float] = []

    def tell(step: int, steps: int, parts: dict[str, float]) -> None:
        seen.append(parts["choice"])
        if step % 50 == 0:
            print(step, round(float(np.mean(seen[-100:])), 4), file=sys.stderr, flush=True)

    history = train(reader, examples, settings, progress=tell)
    backend = LocalBackend(reader)
    out: dict[str, object] = {
        "skip": asked.skip, "context": asked.context, "seed": asked.seed,
        "processor_seconds": round(history.seconds, 1), "examples": len(history.loss) * settings.batch,
    }  # fmt: skip
    for title, regime, hidden in CELLS:
        test = np.flatnonzero(occasions.of("test", regime))
        test = np.sort(np.random.default_rng([asked.seed, 9]).permutation(test)[: asked.limit])
        part = occasions.take(test)
        render = renderer(part, basket=basket)
        words = pad(backend.utilities([reader.encoder.encode(render(i)) for i in range(len(part))]), 20)
        base = {name: table[int(hidden)][test] for name, table in skips.items()}
        chosen = part.chosen.astype(int)
        losses = {"hf": log_loss(words + base[asked.skip], chosen)}
        losses |= {f"{name} alone": log_loss(v, chosen) for name, v in base.items() if name != "none"}
        losses |= stacked(words + base[asked.skip], base["head"], chosen, part.customer)
        cell: dict[str, object] = {
            "occasions": len(part),
            "log_loss": {n: round(float(v.mean()), 4) for n, v in losses.items()},
        }
        cell["hit_rate_hf"] = round(float(((words + base[asked.skip]).argmax(axis=1) == chosen).mean()), 4)
        target = part.bought()
        cell["hf - numeric alone"] = wider(
            losses["hf"] - losses["numeric alone"], part.customer, target, asked.seed
        )
        cell["head with hf - head alone"] = wider(
            losses["head with hf"] - losses["head alone"], part.customer, target, asked.seed
        )
        out[title] = cell
        print(title, cell, file=sys.stderr, flush=True)
    print(json.dumps(out, indent=1))


def stacked(
    words: np.ndarray, head: np.ndarray, chosen: np.ndarray, customer: np.ndarray
) -> dict[str, np.ndarray]:
    """Head and reader with two weights, fitted on one half of the customers, scored on the other."""
    from scipy.optimize import minimize

    half = customer % 2 == 0
    out = {"head with hf": np.zeros(len(chosen)), "head rescaled": np.zeros(len(chosen))}
    for name, tables in (("head with hf", [head, words]), ("head rescaled", [head])):
        for inside in (half, ~half):
            fit = minimize(
                lambda w, rows=inside, tables=tables: float(
                    log_loss(sum(a * t[rows] for a, t in zip(w, tables, strict=True)), chosen[rows]).mean()
                ),
                [1.0, 0.0][: len(tables)],
                method="Nelder-Mead",
            ).x
            out[name][~inside] = log_loss(
                sum(a * t[~inside] for a, t in zip(fit, tables, strict=True)), chosen[~inside]
            )
    return out


if __name__ == "__main__":
    main()
