"""Do vectors of products help where nothing else can: products that were not on the shelf in training?

A synthetic market whose tastes live in the products' vectors, V[i, j] = b[i] · v[j] + price + display,
without constants of products. In every category a new product comes to the shelf every four weeks, so that
training sees how new products begin; the last two come in the weeks that are scored.

    head    the set model on economic features, without and with the vectors; the customer's past is known
    hf      a text-only reader of shelves without any history, without and with soft tokens

    python benchmarks/embeddings.py --parts head hf --seeds 1 2 3
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from time import process_time

import numpy as np

from malles.data.synthetic import MarketSettings, Truth, first_weeks, generate_market
from malles.occasions.catalogue import build_catalogue
from malles.profiles.features import build_features
from malles.vocabulary import OUTSIDE, PADDING, Catalogue, DataSet, Occasions

MARKET = MarketSettings(
    customers=300, weeks=52, stores=2, categories=4, products=16, taste_spread=0.0, constant_spread=0.0,
    price_coefficient=-0.8, price_spread=0.2, vector_size=12, vector_taste=(1.0, 1.5),
    new_products=9, new_week=12, new_every=4,
)  # fmt: skip
TEST = 40
"""First week of the test (from 0)."""
WARM = 8
"""Weeks that only serve as history."""
VALID = 4
"""Weeks before the test that the temperature is fitted on."""


def occasions_of(data: DataSet, truth: Truth, catalogue: Catalogue) -> Occasions:
    """Every purchase before the whole shelf of its category."""
    s, n = truth.settings, len(truth.product)
    lines = data.transactions
    order = truth.week.astype(np.int64) * s.customers + truth.customer + 1
    when = dict(
        zip(
            zip(lines["order"].to_list(), lines["product"].to_list(), strict=True),
            lines["timestamp"].dt.epoch("s").to_list(),
            strict=True,
        )
    )
    code = {key: k for k, key in enumerate(catalogue.products.key.to_list())}
    code_of = np.array([code.get(j + 1, PADDING) for j in range(len(truth.category))], np.int32)
    person = {key: k for k, key in enumerate(catalogue.customer_key.to_list())}
    inside = truth.category[truth.product][:, None] * s.products + np.arange(s.products)
    on_shelf = np.take_along_axis(truth.offered(truth.week), inside, axis=1) & (code_of[inside] >= 0)

    def table(values: np.ndarray, first: float, kind: type) -> np.ndarray:
        out = np.full((n, s.products + 1), first, kind)
        out[:, 1:] = values
        return out

    def shown(values: np.ndarray) -> np.ndarray:
        return np.where(on_shelf, np.take_along_axis(values[truth.week, truth.store], inside, axis=1), 0)

    product = table(np.where(on_shelf, code_of[inside], PADDING), OUTSIDE, np.int32)
    return Occasions(
        customer=np.array([person[i + 1] for i in truth.customer], np.int32),
        store=truth.store.astype(np.int32),
        basket=order,
        week=(truth.week + 1).astype(np.int16),
        timestamp=np.array([when[o, p + 1] for o, p in zip(order, truth.product, strict=True)], np.int64),
        category=catalogue.products.category[code_of[truth.product]],
        product=product,
        price=table(shown(truth.price), 0, np.float32),
        list_price=table(np.where(on_shelf, truth.list_price[inside], 0), 0, np.float32),
        promotion=table(shown(truth.display.astype(float)), 0, np.uint8),
        available=table(on_shelf, True, bool),
        rank=table(np.where(on_shelf, np.arange(s.products), -1), -1, np.int16),
        chosen=(truth.product % s.products + 1).astype(np.int16),
        units=truth.units.astype(np.int32),
    )


def true_log_loss(truth: Truth, o: Occasions, rows: np.ndarray, *, known: bool) -> np.ndarray:
    """−log P(chosen) of somebody who knows the laws, and the customer's tastes or only their distribution."""
    s, out = truth.settings, []
    for r in rows:
        t, store = truth.week[r], truth.store[r]
        inside = truth.products_of(int(truth.category[truth.product[r]]))
        who = slice(truth.customer[r], truth.customer[r] + 1) if known else slice(None)
        v = truth.taste[who][:, inside] + truth.price_coefficient[who, None] * truth.price[t, store, inside]
        v = v + s.display_effect * truth.display[t, store, inside]
        v = np.where(o.available[r, 1:], v, -np.inf)
        p = np.exp(v - v.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        out.append(-np.log(p.mean(axis=0)[o.chosen[r] - 1]))
    return np.array(out)


def without_vectors(catalogue: Catalogue) -> Catalogue:
    """The same catalogue, its embedding columns left out."""
    return replace(catalogue, products=replace(catalogue.products, embeddings=()))


def head_losses(seed: int) -> dict[str, np.ndarray]:
    """−log P(chosen) of the test occasions by arm, and their clusters."""
    from malles.head.model import HeadSettings

    data, truth = generate_market(MARKET, seed=seed)
    catalogue = build_catalogue(data)
    o = occasions_of(data, truth, catalogue)
    parts = [
        np.flatnonzero((truth.week >= a) & (truth.week < b))
        for a, b in (
            (WARM, TEST - VALID),
            (TEST - VALID, TEST),
            (TEST, 99),
        )
    ]
    test = parts[2]
    out = {
        "customer": truth.customer[test] + 1000 * seed,
        "new": first_weeks(MARKET)[truth.product[test]] >= TEST,
    }
    for name, known in (("without vectors", without_vectors(catalogue)), ("with vectors", catalogue)):
        began = process_time()
        train, valid, later = (build_features(known, o.take(rows)) for rows in parts)
        p = HeadSettings(seed=seed).fit(train, valid).predict(later)
        out[name] = -np.log(p[np.arange(len(later)), later.occasions.chosen])
        print("head", seed, name, round(out[name].mean(), 4), len(train), round(process_time() - began), "s",
              file=sys.stderr, flush=True)  # fmt: skip
    out["logit of the true form"] = logit_losses(truth, o, parts[0], test)
    out["truth"] = true_log_loss(truth, o, test, known=True)
    return out


def logit_losses(truth: Truth, o: Occasions, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """−log P(chosen) of a logit that is told the form of utility and learns it from the same purchases.

    V[i, j] = b · v[j] + c · v[j] · s[i] / (n[i] + 5) + price + display; s[i] sums v - (mean of the shelf)
    over i's n[i] earlier purchases: about what a past of this length can tell of a customer's taste.
    """
    from scipy.optimize import minimize

    assert truth.vector is not None
    d, n = truth.vector.shape[1], len(truth.product)
    x = np.zeros((n, truth.settings.products, d + 3))
    open_ = o.available[:, 1:]
    past, count = np.zeros((truth.settings.customers, d)), np.zeros(truth.settings.customers)
    for r in np.argsort(o.timestamp, kind="stable"):
        i, v = truth.customer[r], truth.vector[truth.products_of(int(truth.category[truth.product[r]]))]
        x[r, :, :d], x[r, :, d] = v, v @ past[i] / (count[i] + 5)
        past[i] += truth.vector[truth.product[r]] - v[open_[r]].mean(axis=0)
        count[i] += 1
    x[:, :, d + 1], x[:, :, d + 2] = o.price[:, 1:], o.promotion[:, 1:]
    rows = {"train": train, "test": test}

    def log_p(b: np.ndarray, part: str) -> np.ndarray:
        v = np.where(open_[rows[part]], x[rows[part]] @ b, -np.inf)
        v = v - v.max(axis=1, keepdims=True)
        found: np.ndarray = v - np.log(np.exp(v).sum(axis=1, keepdims=True))
        return found

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        found, taken = log_p(b, "train"), o.chosen[train] - 1
        gap = np.exp(found)
        gap[np.arange(len(train)), taken] -= 1
        return -float(found[np.arange(len(train)), taken].mean()), np.einsum(
            "nj,njk->k", gap, x[train]
        ) / len(train)

    best = minimize(loss, np.zeros(d + 3), jac=True, method="BFGS").x
    return -log_p(best, "test")[np.arange(len(test)), o.chosen[test] - 1]


def hf_losses(seed: int, minutes: float, layers: int, count: int) -> dict[str, np.ndarray]:
    """The same for a reader of shelves that knows neither the customer nor the past."""
    import torch

    from malles.llm.backends.local import LocalBackend
    from malles.llm.prompt import Field, Line, ShelfPrompt, soft_piece
    from malles.llm.reader import Reader, ReaderSettings
    from malles.llm.training.examples import Examples
    from malles.llm.training.loop import TrainingSettings, train
    from malles.llm.wording import CANONICAL, Wording

    torch.set_num_threads(1)
    data, truth = generate_market(MARKET, seed=seed)
    catalogue = build_catalogue(data)
    o = occasions_of(data, truth, catalogue)

    def examples(rows: np.ndarray, *, soft: bool) -> Examples:
        part = o.take(rows)

        def render(row: int, wording: Wording = CANONICAL) -> ShelfPrompt:
            lines: list[Line] = []
            for j in np.flatnonzero(part.available[row, 1:]) + 1:
                code, price, full = int(part.product[row, j]), part.price[row, j], part.list_price[row, j]
                line: Line = ((Field.FRAME, "-"), (Field.NAME, f" item {j}"))
                line += (soft_piece(code),) if soft else ()
                line += ((Field.PRICE, f" {price:.2f}"),)
                line += ((Field.DISCOUNT, f" -{1 - price / full:.0%}"),) if price < full else ()
                line += ((Field.PROMOTION, " display"),) if part.promotion[row, j] else ()
                lines.append(line)
            opening = ((Field.FRAME, "Shelf:"), (Field.NAME, f" category {part.category[row] + 1}"))
            dash = ((Field.FRAME, "-"),)
            return ShelfPrompt(opening, tuple(lines), ((Field.FRAME, "Customer:"),), (dash,) * len(lines))

        open_ = part.available[:, 1:]
        line_of = np.cumsum(open_, axis=1) - 1
        chosen = line_of[np.arange(len(rows)), part.chosen - 1]
        zero = np.zeros((len(rows), open_.shape[1]), np.float32)
        return Examples(render, chosen.astype(np.int32), zero, part.category.astype(np.int32))

    before = np.flatnonzero(truth.week < TEST)
    after = np.flatnonzero(truth.week >= TEST)
    test = np.sort(np.random.default_rng([seed, 1]).choice(after, min(count, len(after)), replace=False))
    out = {
        "customer": truth.customer[test] + 1000 * seed,
        "new": first_weeks(MARKET)[truth.product[test]] >= TEST,
    }
    for name, soft in (("without soft tokens", False), ("with soft tokens", True)):
        reader = Reader(ReaderSettings(layers=layers, tuned_layers=layers), seed=seed)
        if soft:
            reader.add_soft(catalogue.products.embeddings, seed=seed)
        settings = TrainingSettings(
            steps=100_000,
            batch=8,
            alternatives=6,
            minutes=minutes,
            rewording=0.0,
            look=0,
            seed=seed,
            balance=1.0,
        )
        history = train(reader, examples(before, soft=soft), settings)
        judged = examples(test, soft=soft)
        scored = LocalBackend(reader).score([judged.render(i, CANONICAL) for i in range(len(test))])
        out[name] = np.array(
            [
                -s.log_probability[c]
                for s, c in zip(scored, judged.chosen, strict=True)
                if s.log_probability is not None
            ]
        )
        about = (len(history.loss), "steps", round(history.seconds), "s")
        print("hf", seed, name, round(out[name].mean(), 4), *about, file=sys.stderr, flush=True)
    out["truth"] = true_log_loss(truth, o, test, known=False)
    return out


def judge(losses: list[dict[str, np.ndarray]], off: str, on: str, rows: str = "") -> dict[str, object]:
    """Mean losses, the gain with a 95 % interval (customers resampled), and the part of the truth's gain."""
    pooled = {k: np.concatenate([part[k] for part in losses]) for k in losses[0]}
    kept = pooled[rows].astype(bool) if rows else np.ones(len(pooled[off]), bool)
    pooled = {k: v[kept] for k, v in pooled.items()}
    gain, most = pooled[off] - pooled[on], pooled[off] - pooled["truth"]
    reference = [name for name in ("logit of the true form", "truth") if name in pooled]
    _, who = np.unique(pooled["customer"], return_inverse=True)
    sums = np.stack([np.bincount(who, v) for v in (gain, most, np.ones(len(gain)))])
    rng = np.random.default_rng(0)
    draws = sums[:, rng.integers(0, sums.shape[1], (2000, sums.shape[1]))].sum(axis=2)
    low, high = np.percentile(draws[0] / draws[2], [2.5, 97.5])
    part = np.percentile(draws[0] / draws[1], [2.5, 97.5])
    return {
        "occasions": len(gain),
        **{name: round(float(pooled[name].mean()), 4) for name in (off, on, *reference)},
        "gain": [round(float(v), 4) for v in (gain.mean(), low, high)],
        "part_of_the_truth": [round(float(v), 3) for v in (gain.sum() / most.sum(), *part)],
        "by_seed": [
            round(float((p[off] - p[on])[p[rows].astype(bool) if rows else slice(None)].mean()), 4)
            for p in losses
        ],
    }


def main() -> None:
    """Fit, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["head", "hf"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=2.0, help="processor-minutes per reader")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--test", type=int, default=500, help="test occasions per seed of hf")
    asked = parser.parse_args()
    found: dict[str, object] = {"market": str(MARKET)}
    if "head" in asked.parts:
        losses = [head_losses(seed) for seed in asked.seeds]
        for rows in ("", "new"):
            found["head, " + (rows or "all")] = judge(losses, "without vectors", "with vectors", rows)
    if "hf" in asked.parts:
        losses = [hf_losses(seed, asked.minutes, asked.layers, asked.test) for seed in asked.seeds]
        for rows in ("", "new"):
            found["hf, " + (rows or "all")] = judge(losses, "without soft tokens", "with soft tokens", rows)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
