"""Real brand names: leave a brand out of four scanner panels. What is an unseen one worth to a reader?

    python benchmarks/brand_reader.py --data FOLDER [--folds 4] [--minutes 2]

Fold k leaves alternative k of every panel (catsup, ketchup, tuna, margarine) out of fitting: its occasions
and its line. Three quarters of the households fit, one quarter is scored with all alternatives on the shelf.
`numeric` is a logit per panel on price, display, feature, last purchase and a constant per known brand (an
unseen brand has the mean constant); `hf + numeric` adds a text reader of brand names on top, `hf` reads the
words alone. Pooled over panels and folds; intervals by household.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import torch
from scipy.optimize import minimize

from malles.llm.backends.local import LocalBackend
from malles.llm.prompt import Field, Line, ShelfPrompt
from malles.llm.reader import Reader, ReaderSettings, pad
from malles.llm.training.examples import Examples
from malles.llm.training.loop import TrainingSettings, train
from malles.llm.wording import CANONICAL, Wording

PANELS = ("catsup", "ketchup", "tuna", "margarine")
FULL = {
    "heinz28": "heinz 28 oz", "heinz32": "heinz 32 oz", "heinz41": "heinz 41 oz", "hunts32": "hunts 32 oz",
    "delmonte": "del monte", "stb": "store brand", "heinz": "heinz", "hunts": "hunts",
    "skw": "starkist in water", "cosw": "chicken of the sea in water", "pw": "store brand in water",
    "sko": "starkist in oil", "coso": "chicken of the sea in oil",
    "Pk_Stk": "parkay stick", "BB_Stk": "blue bonnet stick", "Fl_Stk": "fleischmann's stick",
    "Hse_Stk": "house brand stick", "Gen_Stk": "generic stick", "Imp_Stk": "imperial stick",
    "SS_Tub": "shedd's spread tub", "Pk_Tub": "parkay tub", "Fl_Tub": "fleischmann's tub",
    "Hse_Tub": "house brand tub",
}  # fmt: skip
"""The abbreviations of the panels, written out."""


class Panel:
    """One panel as arrays [occasion, alternative]."""

    def __init__(self, name: str, folder: Path) -> None:
        table = pl.read_parquet(folder / f"{name}.parquet")
        self.name = name
        self.alternatives = table["alternative"].unique(maintain_order=True).sort().to_list()
        wide = table.sort("household", "occasion", "alternative")
        J = len(self.alternatives)

        def column(key: str) -> np.ndarray:
            if key not in wide.columns:
                return np.zeros((len(wide) // J, J))
            return wide[key].cast(pl.Float64).to_numpy().reshape(-1, J)

        self.household = wide["household"].to_numpy().reshape(-1, J)[:, 0]
        self.price, self.display, self.feature = column("price"), column("display"), column("feature")
        self.chosen = column("chosen").argmax(axis=1)
        self.last = np.full(len(self.chosen), -1)
        same = self.household[1:] == self.household[:-1]
        self.last[1:][same] = self.chosen[:-1][same]

    def inputs(self) -> np.ndarray:
        """Price, display, feature, last purchase [occasion, alternative, 4]."""
        last = self.last[:, None] == np.arange(len(self.alternatives))
        return np.stack([self.price, self.display, self.feature, last], axis=2)

    def logit(self, rows: np.ndarray, held: int) -> np.ndarray:
        """Utilities of every occasion by a logit fitted on `rows` without the alternative `held`."""
        x, J = self.inputs(), len(self.alternatives)
        seen = np.arange(J) != held
        part, chosen = x[rows][:, seen], np.cumsum(seen)[self.chosen[rows]] - 1

        def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
            v = part @ b[:4] + b[4:]
            v = v - v.max(axis=1, keepdims=True)
            p = np.exp(v) / np.exp(v).sum(axis=1, keepdims=True)
            gap = p.copy()
            gap[np.arange(len(p)), chosen] -= 1
            slope = np.concatenate([(gap[:, :, None] * part).sum((0, 1)), gap.sum(0)]) / len(p)
            return float(-np.log(p[np.arange(len(p)), chosen]).mean() + 1e-4 * b @ b), slope + 2e-4 * b

        b = minimize(loss, np.zeros(4 + J - 1), jac=True, method="L-BFGS-B").x
        constant = np.full(J, b[4:].mean())
        constant[seen] = b[4:]
        return x @ b[:4] + constant

    def prompt(self, row: int, held: int | None) -> ShelfPrompt:
        """One occasion in words, without the held-out alternative if one is named."""
        shelf: list[Line] = []
        said: list[Line] = []
        for j, name in enumerate(self.alternatives):
            if j == held:
                continue
            line = [
                (Field.FRAME, "-"),
                (Field.NAME, f" {FULL[name]}"),
                (Field.PRICE, f" {self.price[row, j]:.2f}"),
            ]
            words = " display" * bool(self.display[row, j]) + " ad" * bool(self.feature[row, j])
            shelf.append((*line, (Field.PROMOTION, words)) if words else tuple(line))
            dash = ((Field.FRAME, "-"),)
            said.append((*dash, (Field.HISTORY, " last time")) if self.last[row] == j else dash)
        opening = ((Field.FRAME, "Shelf:"), (Field.NAME, f" {self.name}"))
        return ShelfPrompt(opening, tuple(shelf), ((Field.FRAME, "Customer:"),), tuple(said))


def examples_of(panels: list[Panel], skips: list[np.ndarray], rows: list[np.ndarray], fold: int) -> Examples:
    """Pooled training examples without the fold's brands."""
    place = [(p, int(r)) for p, part in enumerate(rows) for r in part]
    held = [fold % len(panel.alternatives) for panel in panels]
    J = max(len(panel.alternatives) for panel in panels)

    def render(row: int, wording: Wording = CANONICAL) -> ShelfPrompt:
        p, r = place[row]
        return panels[p].prompt(r, held[p])

    seen = [np.arange(len(panel.alternatives)) != h for panel, h in zip(panels, held, strict=True)]
    chosen = np.array([int(np.cumsum(seen[p])[panels[p].chosen[r]] - 1) for p, r in place], np.int32)
    skip = pad([skips[p][r][seen[p]] for p, r in place], J)
    return Examples(render, chosen, skip, np.array([p for p, _ in place], np.int32))


def main() -> None:
    """Leave brands out, fit, score, pool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the scanner panels")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--test", type=int, default=250, help="occasions scored per panel and fold")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    panels = [Panel(name, asked.data) for name in PANELS]
    losses: dict[str, list[np.ndarray]] = {"numeric": [], "hf + numeric": [], "hf": []}
    cluster: list[np.ndarray] = []
    unseen: list[np.ndarray] = []
    seconds = 0.0
    for fold in range(asked.folds):
        rng = np.random.default_rng([asked.seed, fold])
        rows, tests, skips = [], [], []
        for panel in panels:
            homes = np.unique(panel.household)
            late = np.isin(panel.household, rng.permutation(homes)[: len(homes) // 4])
            held = fold % len(panel.alternatives)
            rows.append(np.flatnonzero(~late & (panel.chosen != held)))
            tests.append(np.sort(rng.permutation(np.flatnonzero(late))[: asked.test]))
            skips.append(panel.logit(rows[-1], held))
        answers = {}
        for name in ("hf + numeric", "hf"):
            given = skips if name == "hf + numeric" else [np.zeros_like(s) for s in skips]
            reader = Reader(
                ReaderSettings(layers=8, tuned_layers=8, targets=("q_proj", "v_proj")), seed=asked.seed
            )
            settings = TrainingSettings(
                steps=100_000, batch=8, alternatives=0, minutes=asked.minutes, rate=5e-4, pointer_rate=1e-3,
                balance=0.5, rewording=0.0, seed=asked.seed,
            )  # fmt: skip
            began = time.process_time()
            train(reader, examples_of(panels, given, rows, fold), settings)
            seconds += time.process_time() - began
            backend = LocalBackend(reader)
            for p, (panel, test) in enumerate(zip(panels, tests, strict=True)):
                encoded = [reader.encoder.encode(panel.prompt(int(r), None)) for r in test]
                answers[name, p] = np.stack(backend.utilities(encoded)) + given[p][test]
        for p, (panel, test) in enumerate(zip(panels, tests, strict=True)):
            for name, found in losses.items():
                v = skips[p][test] if name == "numeric" else answers[name, p]
                v = v - v.max(axis=1, keepdims=True)
                found.append(np.log(np.exp(v).sum(1)) - v[np.arange(len(test)), panel.chosen[test]])
            cluster.append(panel.household[test].astype(np.int64) * 10 + p)
            unseen.append(panel.chosen[test] == fold % len(panel.alternatives))
        print(
            f"fold {fold + 1}",
            {k: round(float(np.mean(v[-4:][0])), 3) for k, v in losses.items()},
            file=sys.stderr,
        )
    pooled = {k: np.concatenate(v) for k, v in losses.items()}
    home, new = np.concatenate(cluster), np.concatenate(unseen)
    out = {
        "occasions": len(new),
        "of which bought the unseen brand": int(new.sum()),
        "log_loss": {k: round(float(v.mean()), 4) for k, v in pooled.items()},
        "log_loss where the unseen brand was bought": {
            k: round(float(v[new].mean()), 4) for k, v in pooled.items()
        },
        "hf + numeric - numeric": interval(pooled["hf + numeric"] - pooled["numeric"], home, asked.seed),
        "hf - numeric": interval(pooled["hf"] - pooled["numeric"], home, asked.seed),
        "processor_seconds": round(seconds, 1),
    }
    print(json.dumps(out, indent=1))


def interval(gap: np.ndarray, cluster: np.ndarray, seed: int, draws: int = 1000) -> list[float]:
    """Mean with a 95 % interval, households resampled."""
    _, code = np.unique(cluster, return_inverse=True)
    total, count = np.bincount(code, gap), np.bincount(code)
    weight = np.random.default_rng([seed, 3]).multinomial(
        len(total), np.full(len(total), 1 / len(total)), draws
    )
    means = (weight @ total) / (weight @ count)
    return [round(float(x), 4) for x in (gap.mean(), *np.quantile(means, [0.025, 0.975]))]


if __name__ == "__main__":
    main()
