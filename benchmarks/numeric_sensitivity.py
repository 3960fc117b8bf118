"""Does a language model that reads prices react to them as buyers do? Known answers, text only.

    python benchmarks/numeric_sensitivity.py [--tasks cheapest favourite market] [--minutes 3]

cheapest    six prices, the cheapest is bought
favourite   six prices and a favourite, bought unless another is cheaper by more than 0.60
market      a synthetic market of known tastes; own-price elasticities of the aligned model against the
            true ones, from choices alone, with a fitted logit as teacher, with an attention prior; untuned

Trained on drawn occasions, judged on others; processor-seconds are those of the training loop.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.synthetic import MarketSettings, Truth, generate_market
from malles.llm.backends.local import LocalBackend
from malles.llm.encoding import collate
from malles.llm.prompt import ECONOMIC, Field, Line, ShelfPrompt
from malles.llm.reader import Reader, ReaderSettings
from malles.llm.training.batches import watch_lines
from malles.llm.training.examples import Examples
from malles.llm.training.loop import History, TrainingSettings, train
from malles.llm.training.losses import LossWeights
from malles.llm.wording import CANONICAL, Wording

GAP = 0.60
SHALLOW = ReaderSettings(layers=8, tuned_layers=8)


def price_line(name: str, price: float, full: float | None, display: bool, wording: Wording) -> Line:
    """One alternative with its price."""
    sign = "$" if wording.money == 1 else ""
    unit = " USD" if wording.money == 2 else ""
    pieces: list[tuple[Field, str]] = [(Field.FRAME, "-"), (Field.NAME, f" {name}")]
    pieces.append((Field.PRICE, f" {sign}{price:.2f}{unit}"))
    if full is not None and price < full - 0.004:
        word = "regular" if wording.synonyms else "was"
        pieces.append((Field.LIST_PRICE, f" {word} {sign}{full:.2f}{unit}"))
        pieces.append((Field.DISCOUNT, f" -{1 - price / full:.0%}"))
    if display:
        pieces.append((Field.PROMOTION, " on display" if wording.synonyms else " display"))
    return tuple(pieces)


DASH: Line = ((Field.FRAME, "-"),)


def game(kind: str, n: int, rng: np.random.Generator) -> Examples:
    """Occasions of 'cheapest' or 'favourite' with the right answer."""
    price = np.round(rng.uniform(1, 5, (n, 6)), 2)
    names = np.argsort(rng.random((n, 6)), axis=1)
    cheapest = price.argmin(axis=1)
    favourite = rng.integers(0, 6, n)
    gap = price[np.arange(n), favourite] - price.min(axis=1)
    chosen = cheapest if kind == "cheapest" else np.where(gap > GAP, cheapest, favourite)

    def render(row: int, wording: Wording = CANONICAL) -> ShelfPrompt:
        said = tuple(
            (*DASH, (Field.HISTORY, " favourite")) if kind == "favourite" and j == favourite[row] else DASH
            for j in range(6)
        )
        shelf = tuple(
            price_line(f"brand {names[row, j] + 1}", price[row, j], None, False, wording) for j in range(6)
        )
        return ShelfPrompt(((Field.FRAME, "Shelf: drinks"),), shelf, ((Field.FRAME, "Customer:"),), said)

    zero = np.zeros((n, 6), np.float32)
    return Examples(render, chosen.astype(np.int32), zero, np.zeros(n, np.int32))


def hit_rate(backend: LocalBackend, examples: Examples, *, letters: bool = False) -> float:
    """Part of the examples whose right answer is ranked first."""
    prompts = [examples.render(i, CANONICAL) for i in range(len(examples))]
    scored = backend.score_letters(prompts, rotations=2) if letters else backend.score(prompts)
    right = [int(np.argmax(s.log_probability)) == c for s, c in zip(scored, examples.chosen, strict=True)]
    return float(np.mean(right))


# ---- a market of known elasticities ----


class Market:
    """Purchases of a synthetic market as prompts, at the prices of the moment or at others."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        J = truth.settings.products
        parts = [truth.choice_arrays(c) for c in range(truth.settings.categories)]
        self.category = np.concatenate([np.full(len(p["chosen"]), c) for c, p in enumerate(parts)])
        self.price = np.concatenate([p["price"] for p in parts])
        self.display = np.concatenate([p["display"] for p in parts]) > 0
        self.chosen = np.concatenate([p["chosen"] for p in parts])
        self.list_price = truth.list_price.reshape(-1, J)

    def line(self, category: int, j: int, price: float, display: bool, wording: Wording) -> Line:
        """One product."""
        return price_line(f"product {j + 1}", price, float(self.list_price[category, j]), display, wording)

    def render_at(
        self, category: int, price: np.ndarray, display: np.ndarray, wording: Wording
    ) -> ShelfPrompt:
        """A shelf at given prices."""
        J = len(price)
        return ShelfPrompt(
            ((Field.FRAME, "Shelf:"), (Field.NAME, f" category {category + 1}")),
            tuple(self.line(category, j, float(price[j]), bool(display[j]), wording) for j in range(J)),
            ((Field.FRAME, "Customer:"),),
            (DASH,) * J,
        )

    def examples(self, rows: np.ndarray, rng: np.random.Generator) -> Examples:
        """Purchases with a logit's soft targets, at the prices of the moment and at changed ones."""
        price, display, category = self.price[rows], self.display[rows], self.category[rows]
        teacher = Logit(self, rows)
        changed = price.copy()
        j = rng.integers(0, price.shape[1], len(rows))
        changed[np.arange(len(rows)), j] *= rng.choice(
            [0.6, 0.75, 0.85, 0.9, 0.95, 1.05, 1.1, 1.2, 1.35], len(rows)
        )
        changed = np.round(changed, 2)

        def table(p: np.ndarray) -> np.ndarray:
            return teacher.log_probability(category, p, display).astype(np.float32)

        def renderer(p: np.ndarray):  # type: ignore[no-untyped-def]
            return lambda row, wording=CANONICAL: self.render_at(category[row], p[row], display[row], wording)

        group = category.astype(np.int32)
        zero = np.zeros(price.shape, np.float32)
        other = Examples(renderer(changed), np.full(len(rows), -1, np.int32), zero, group, table(changed))
        return Examples(
            renderer(price), self.chosen[rows].astype(np.int32), zero, group, table(price), changed=other
        )


class Logit:
    """Conditional logit with product constants, one price and one display coefficient per category."""

    def __init__(self, market: Market, rows: np.ndarray) -> None:
        from scipy.optimize import minimize

        J = market.price.shape[1]
        self.parameters = {}
        for c in range(market.truth.settings.categories):
            inside = rows[market.category[rows] == c]
            price, display, chosen = market.price[inside], market.display[inside], market.chosen[inside]

            def loss(b: np.ndarray, price=price, display=display, chosen=chosen):  # type: ignore[no-untyped-def]
                v = np.append(0.0, b[: J - 1]) + b[J - 1] * price + b[J] * display
                v = v - v.max(axis=1, keepdims=True)
                p = np.exp(v)
                p /= p.sum(axis=1, keepdims=True)
                gap = p.copy()
                gap[np.arange(len(p)), chosen] -= 1
                slope = np.append(gap.sum(axis=0)[1:], [(gap * price).sum(), (gap * display).sum()])
                return -np.log(p[np.arange(len(p)), chosen]).mean(), slope / len(p)

            self.parameters[c] = minimize(loss, np.zeros(J + 1), jac=True, method="BFGS").x

    def log_probability(self, category: np.ndarray, price: np.ndarray, display: np.ndarray) -> np.ndarray:
        """Log P [occasion, alternative]."""
        J = price.shape[1]
        b = np.stack([self.parameters[int(c)] for c in category])
        v = np.concatenate([np.zeros((len(b), 1)), b[:, : J - 1]], axis=1)
        v = v + b[:, J - 1 : J] * price + b[:, J:] * display
        v = v - v.max(axis=1, keepdims=True)
        found: np.ndarray = v - np.log(np.exp(v).sum(axis=1, keepdims=True))
        return found


def elasticities(share_at, truth: Truth, step: float = 0.10) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """Own-price elasticities at list prices, of a model and true: log share over log price, ± `step`."""
    found, true = [], []
    for c in range(truth.settings.categories):
        base = truth.list_price[truth.products_of(c)]
        for j in range(len(base)):
            prices = []
            for sign in (1 - step, 1 + step):
                p = base.copy()
                p[j] = round(float(base[j] * sign), 2)
                prices.append(p)
            width = np.log(prices[1][j] / prices[0][j])
            shares = [truth.choice_probability(c, p).mean(axis=0)[j] for p in prices]
            true.append(np.log(shares[1] / shares[0]) / width)
            mine = [share_at(c, p)[j] for p in prices]
            found.append(np.log(mine[1] / mine[0]) / width)
    return np.array(found), np.array(true)


def judge(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Median relative error and part with the right sign, where the true |elasticity| >= 0.2."""
    clear = np.abs(true) >= 0.2
    error = np.abs(found - true)[clear] / np.abs(true[clear])
    return {
        "alternatives": int(clear.sum()),
        "median_relative_error": round(float(np.median(error)), 4),
        "right_sign_share": round(float((np.sign(found) == np.sign(true))[clear].mean()), 4),
    }


def backend_shares(backend: LocalBackend, market: Market, *, letters: bool = False):  # type: ignore[no-untyped-def]
    """Shares of a category at given prices, as the model reads them."""

    def share(category: int, price: np.ndarray) -> np.ndarray:
        full = market.list_price[category]
        prompt = market.render_at(category, price, np.zeros(len(full), bool), CANONICAL)
        scored = backend.score_letters([prompt], rotations=6) if letters else backend.score([prompt])
        assert scored[0].log_probability is not None
        return np.exp(scored[0].log_probability)

    return share


def fit(
    examples: Examples, settings: TrainingSettings, reader: ReaderSettings, title: str
) -> tuple[LocalBackend, History]:
    """A fresh reader, trained."""
    made = Reader(reader, seed=settings.seed)

    def tell(step: int, steps: int, parts: dict[str, float]) -> None:
        if step % 200 == 0:
            print(title, step, {k: round(v, 3) for k, v in parts.items()}, file=sys.stderr, flush=True)

    history = train(made, examples, settings, progress=tell)
    return LocalBackend(made), history


PLAIN, PRIOR, CHANGE = (
    "choices, teacher, response",
    "choices, teacher, response, attention prior",
    "choices, teacher, change",
)
VARIANTS = {
    "choices only": LossWeights(choice=1.0),
    CHANGE: LossWeights(choice=0.3, teacher=1.0, response=0.5, change=3.0),
    PLAIN: LossWeights(choice=0.3, teacher=1.0, response=1.0),
    PRIOR: LossWeights(choice=0.3, teacher=1.0, response=1.0, attention=0.1),
}


def judge_market(
    seed: int, minutes: float, shape: ReaderSettings, untuned: LocalBackend, names: list[str]
) -> dict[str, object]:
    """One synthetic market: elasticities and held-out likelihood of every variant."""
    _, truth = generate_market(MarketSettings(customers=400), seed=seed)
    market = Market(truth)
    order = np.random.default_rng([seed, 3]).permutation(len(market.chosen))
    late, early = np.sort(order[:600]), np.sort(order[600:])
    examples = market.examples(early, np.random.default_rng([seed, 4]))
    test = market.examples(late, np.random.default_rng([seed, 5]))
    teacher = Logit(market, early)

    def logit_share(category: int, price: np.ndarray) -> np.ndarray:
        none = np.zeros((1, len(price)))
        return np.exp(teacher.log_probability(np.array([category]), price[None], none)[0])

    rows: dict[str, object] = {"fitted logit": judge(*elasticities(logit_share, truth))}
    rows["untuned letters"] = judge(*elasticities(backend_shares(untuned, market, letters=True), truth))
    chosen = test.chosen
    losses = {
        "fitted logit": -teacher.log_probability(
            market.category[late], market.price[late], market.display[late]
        )[np.arange(len(late)), chosen]
    }
    errors: dict[str, np.ndarray] = {}
    for name, loss in ((n, VARIANTS[n]) for n in names):
        settings = TrainingSettings(
            steps=100_000, batch=8, alternatives=0, minutes=minutes * 0.97, rate=1.5e-3, seed=seed, loss=loss
        )
        backend, history = fit(examples, settings, shape, name)
        found, true = elasticities(backend_shares(backend, market), truth)
        scored = backend.score([test.render(i, CANONICAL) for i in range(len(test))])
        losses[name] = np.array(
            [-s.log_probability[c] for s, c in zip(scored, chosen, strict=True)]  # type: ignore[index]
        )
        errors[name] = np.abs(found - true) / np.abs(true)
        rows[name] = {
            **judge(found, true),
            "held_out_log_loss": round(float(losses[name].mean()), 4),
            "attention_on_price_and_discount": price_attention(backend.reader, test),
            "processor_seconds": round(history.seconds, 1),
            "examples": len(history.loss) * settings.batch,
        }
        print(name, rows[name], file=sys.stderr, flush=True)
    rows["untuned attention on price and discount"] = price_attention(Reader(shape, seed=seed), test)
    rows["held-out log-loss of the logit"] = round(float(losses["fitted logit"].mean()), 4)
    for title, on, off in (
        ("attention prior, on minus off", PRIOR, PLAIN),
        ("teacher and response, on minus off", PLAIN, "choices only"),
        ("change of log-probabilities, on minus off", CHANGE, PLAIN),
    ):
        if on in errors and off in errors:
            rows[title] = {
                "log_loss": interval(losses[on] - losses[off], seed),
                "relative_elasticity_error": interval(errors[on] - errors[off], seed),
            }
    return rows


def interval(gap: np.ndarray, seed: int, draws: int = 1000) -> list[float]:
    """Mean with a bootstrap interval (95 %)."""
    rng = np.random.default_rng([seed, 7])
    means = gap[rng.integers(0, len(gap), (draws, len(gap)))].mean(axis=1)
    return [round(float(x), 4) for x in (gap.mean(), *np.quantile(means, [0.025, 0.975]))]


def price_attention(reader: Reader, examples: Examples, count: int = 60) -> float:
    """Part of the decision rows' attention on price, list price and discount."""
    total = 0.0
    with torch.inference_mode():
        for i in range(count):
            batch = collate([reader.encoder.encode(examples.render(i, CANONICAL))])
            watch = watch_lines(reader, batch)
            reader.utilities(batch, watch)
            total += float(np.mean([m[0][:, list(ECONOMIC)].sum(dim=1).mean() for m in watch.mass]))
    return round(total / count, 4)


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["cheapest", "favourite", "market"])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--market-minutes", type=float, default=7.0)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--markets", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, default=SHALLOW.layers)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shape = replace(SHALLOW, layers=asked.layers, tuned_layers=asked.layers)
    untuned = LocalBackend.untuned()
    out: dict[str, object] = {"reader": asdict(shape)}
    for kind in [t for t in asked.tasks if t != "market"]:
        rng = np.random.default_rng([asked.seed, 1])
        examples, test = game(kind, 50_000, rng), game(kind, 1_000, np.random.default_rng([asked.seed, 2]))
        settings = TrainingSettings(
            steps=100_000, batch=8, alternatives=0, minutes=asked.minutes * 0.97, rate=1.5e-3, seed=asked.seed
        )
        backend, history = fit(examples, settings, shape, kind)
        out[kind] = {
            "hit_rate": hit_rate(backend, test),
            "untuned_letters": hit_rate(untuned, test.take(np.arange(150)), letters=True),
            "processor_seconds": round(history.seconds, 1),
            "examples": len(history.loss) * settings.batch,
            "test": len(test),
        }
        print(kind, out[kind], file=sys.stderr, flush=True)
    for k in range(asked.markets if "market" in asked.tasks else 0):
        out[f"market {asked.seed + k}"] = judge_market(
            asked.seed + k, asked.market_minutes, shape, untuned, asked.variants
        )
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
