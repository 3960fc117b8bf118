"""How fast a language model scores shelves, against this machine's own best matrix product.

    python benchmarks/throughput.py [--repeats 5]

Prints, for bfloat16 and float32 on one thread: operations of the linear layers and of attention per
processor-second as a part of the best square matrix product (n = 1,024, 2,048, 4,096) of the same number
format, measured in turns in one run, as prompts are scored (packed) and as they are read under a gradient
(masked); where the time of scoring goes; what a shared shelf saves when 16 customers stand before it; and
what a second process adds, beside what a second process adds to a plain matrix product. There is no
adapter; one that is merged costs the same.

Operations are those that the answer needs, the same for both ways: pairs of tokens that see each other, not
all pairs; in the last layer keys and values of every token, and the rest only of tokens that are read.
Padding counts for nothing. `part_of_best_product` is the median over turns of a turn's rate by the same
turn's product; `part_of_best_product_ever` divides the median rate by the best product of any turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter, process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.llm import packed
from malles.llm.backends.local import LocalBackend
from malles.llm.encoding import Encoded, collate
from malles.llm.packing import pack
from malles.llm.prompt import Field, ShelfPrompt
from malles.llm.reader import Reader, ReaderSettings

SIZES = (1024, 2048, 4096)


def shelf(seed: int, customer: int, alternatives: int = 20) -> ShelfPrompt:
    """A shelf of one store, as one customer sees it: about 500 tokens, as on Complete Journey."""
    rng, own = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1, customer])
    lines, said = [], []
    for _ in range(alternatives):
        full, cut = rng.uniform(1, 9), rng.choice([0, 0, 0.2, 0.33])
        line = [
            (Field.FRAME, "-"),
            (Field.NAME, f" {rng.integers(6, 64)} oz"),
            (Field.PRICE, f" {full * (1 - cut):.2f}"),
        ]
        if cut:
            line += [(Field.LIST_PRICE, f" was {full:.2f}"), (Field.DISCOUNT, f" -{cut:.0%}")]
        lines.append((*line, (Field.CROWD, f" crowd {rng.integers(5, 20)}%")))
        known = own.random() < 0.3
        said.append(
            (
                (Field.FRAME, "-"),
                (Field.HISTORY, f" habit {own.integers(1, 60)}% last trip" if known else " habit 2%"),
            )
        )
    profile = (
        (Field.FRAME, "Customer:"),
        (Field.CUSTOMER, f" bought {own.integers(2, 30)} here, last 2 weeks ago, 44% on discount"),
    )
    return ShelfPrompt(
        ((Field.FRAME, "Shelf:"), (Field.NAME, " soft drinks, cans")), tuple(lines), profile, tuple(said)
    )


def operations(reader: Reader, encoded: list[Encoded]) -> float:
    """Multiply-adds times two of the linear layers and of attention, as far as the answer needs them."""
    prompts = pack(collate(encoded), reader.settings.attention)
    read = np.zeros(len(prompts.token), bool)
    read[prompts.rows] = True
    linear = 0.0
    for name, p in reader.trunk.named_parameters():
        if name.startswith("layers.") and p.ndim == 2:
            last = (
                name.startswith(f"layers.{reader.depth - 1}.")
                and "k_proj" not in name
                and "v_proj" not in name
            )
            linear += 2.0 * p.numel() * (read.sum() if last else len(read))
    pairs = (reader.depth - 1) * prompts.pairs() + prompts.pairs(read)
    return linear + 4.0 * reader.hidden * pairs


def product_rate(dtype: torch.dtype, seconds: float = 0.1) -> float:
    """Operations per processor-second of the best square matrix product; each size for about so long."""
    best = 0.0
    for n in SIZES:
        a, out = torch.ones(n, n, dtype=dtype), torch.empty(n, n, dtype=dtype)
        began, count = process_time(), 0
        while process_time() - began < seconds:
            torch.mm(a, a, out=out)
            count += 1
        best = max(best, 2.0 * count * n**3 / (process_time() - began))
    return best


class Masked(Reader):
    """Reads by transformers' own layers with all pairs of tokens and a mask."""

    def packs(self) -> bool:
        """Never."""
        return False


def part_of_peak(dtype: str, repeats: int) -> dict[str, float]:
    """Scoring, packed and masked, against the matrix product, in turns."""
    settings = ReaderSettings(tuned_layers=0, dtype=dtype)
    backends = {kind.__name__: LocalBackend(kind(settings)) for kind in (Reader, Masked)}
    reader = backends["Reader"].reader
    encoded = [reader.encoder.encode(shelf(s, 0)) for s in range(8)]
    work = operations(reader, encoded)
    number = getattr(torch, dtype)
    product_rate(number)
    for backend in backends.values():
        backend.utilities(encoded, share=False)
    peaks: list[float] = []
    rates: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(repeats):
        peaks.append(product_rate(number))
        for name, backend in backends.items():
            began = process_time()
            backend.utilities(encoded, share=False)
            rates[name].append(work / (process_time() - began))
    parts = {name: [r / p for r, p in zip(rates[name], peaks, strict=True)] for name in backends}
    rate = statistics.median(rates["Reader"])
    return {
        "tokens_per_prompt": round(float(np.mean([len(e) for e in encoded])), 1),
        "gigaoperations_per_prompt": round(work / len(encoded) / 1e9, 2),
        "best_product_gflops": round(statistics.median(peaks) / 1e9, 1),
        "scoring_gflops": round(rate / 1e9, 1),
        "part_of_best_product": round(statistics.median(parts["Reader"]), 3),
        "least": round(min(parts["Reader"]), 3),
        "most": round(max(parts["Reader"]), 3),
        "part_of_best_product_ever": round(rate / max(peaks), 3),
        "masked_part_of_best_product": round(statistics.median(parts["Masked"]), 3),
        "decisions_per_processor_second": round(len(encoded) * rate / work, 2),
    }


KERNELS = ("attend", "gate", "normalise", "rotate_rows", "rotate_columns")
"""What a reading calls between its products, by its name in `malles.llm.packed`."""


def parts_of_time(dtype: str, repeats: int) -> dict[str, float]:
    """Parts of the processor-seconds of scoring that pass in each kernel; the rest is nearly all products."""
    reader = Reader(ReaderSettings(tuned_layers=0, dtype=dtype))
    backend = LocalBackend(reader)
    encoded = [reader.encoder.encode(shelf(s, 0)) for s in range(8)]
    spent = dict.fromkeys(KERNELS, 0.0)

    def timed(name: str, kernel: Callable[..., None]) -> Callable[..., None]:
        def run(*given: object) -> None:
            began = process_time()
            kernel(*given)
            spent[name] += process_time() - began

        return run

    plain = {name: getattr(packed, name) for name in KERNELS}
    backend.utilities(encoded, share=False)
    try:
        for name, kernel in plain.items():
            setattr(packed, name, timed(name, kernel))
        began = process_time()
        for _ in range(repeats):
            backend.utilities(encoded, share=False)
        total = process_time() - began
    finally:
        for name, kernel in plain.items():
            setattr(packed, name, kernel)
    found = {name: round(seconds / total, 3) for name, seconds in spent.items()}
    return {**found, "products_and_rest": round(1 - sum(spent.values()) / total, 3)}


def shared_shelf(repeats: int, customers: int = 16) -> dict[str, float]:
    """Sixteen customers before one shelf, read together and each on its own."""
    reader = Reader(ReaderSettings(tuned_layers=0))
    torch.nn.init.normal_(reader.pointer.read.weight, std=0.1)  # a fresh pointer says zero to everything
    encoded = [reader.encoder.encode(shelf(1, c)) for c in range(customers)]
    backend = LocalBackend(reader)
    times: dict[bool, list[float]] = {True: [], False: []}
    answers = {}
    for _ in range(repeats):
        for share in (False, True):
            began = process_time()
            answers[share] = backend.utilities(encoded, share=share)
            times[share].append(process_time() - began)
    alone, together = (statistics.median(times[s]) for s in (False, True))
    return {
        "ratio": round(alone / together, 2),
        "shared_tokens": int(encoded[0].shared),
        "tokens": len(encoded[0]),
        "largest_difference": round(
            float(max(np.abs(a - b).max() for a, b in zip(*answers.values(), strict=True))), 4
        ),
    }


WORK = "--work"


def work(kind: str, seconds: float) -> None:
    """Score, or multiply, for some seconds of wall time; prints how often. Run in a process of its own."""
    torch.set_num_threads(1)
    if kind == "score":
        reader = Reader(ReaderSettings(tuned_layers=0))
        batch = collate([reader.encoder.encode(shelf(s, 0)) for s in range(4)])
        run = lambda: reader.utilities(batch)  # noqa: E731
    else:
        a = torch.ones(1024, 1024, dtype=torch.bfloat16)
        run = lambda: a @ a  # noqa: E731
    with torch.inference_mode():
        run()
        print("ready", flush=True)
        sys.stdin.readline()
        began, count = perf_counter(), 0
        while perf_counter() - began < seconds:
            run()
            count += 1
    print(count / (perf_counter() - began), flush=True)


def rate_of(kind: str, processes: int, seconds: float = 5.0) -> float:
    """Calls per second of so many processes at once."""
    started = [
        subprocess.Popen(
            [sys.executable, __file__, WORK, kind, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for p in started:
        assert p.stdout is not None
        p.stdout.readline()
    total = 0.0
    for p in started:
        assert p.stdin is not None
        p.stdin.write("go\n")
        p.stdin.flush()
    for p in started:
        assert p.stdout is not None
        total += float(p.stdout.readline())
        p.wait()
    return total


def two_processes() -> dict[str, float | str]:
    """What a second process adds to scoring and to a plain product."""
    product = rate_of("product", 2) / rate_of("product", 1)
    score = rate_of("score", 2) / rate_of("score", 1)
    verdict = "measured" if product >= 1.9 else "not measurable: machine busy"
    return {"scoring": round(score, 2), "matrix_product": round(product, 2), "verdict": verdict}


def main() -> None:
    """Measure, print."""
    if len(sys.argv) > 1 and sys.argv[1] == WORK:
        work(sys.argv[2], float(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    out = {
        "bfloat16": part_of_peak("bfloat16", asked.repeats),
        "float32": part_of_peak("float32", asked.repeats),
        "parts_of_time": {d: parts_of_time(d, asked.repeats) for d in ("bfloat16", "float32")},
        "shared_shelf": shared_shelf(asked.repeats),
        "two_processes": two_processes(),
    }
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
