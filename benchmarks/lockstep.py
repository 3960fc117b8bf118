"""Discussions in lock step: what speaking together saves, and whether it changes what is decided.

    python benchmarks/lockstep.py [--cases 32] [--batch 16] [--minutes 20]

Every case is one product of a generated order, discussed by the three roles of wholesale with the settings of
`malles negotiate`, one case at a time and `--batch` at once, in turns, block after block of `--batch` cases,
until the processor-minutes are used up (whole blocks only; the first is always held). Prompts are read one by
one both ways; reading is timed apart from writing. Files in runs/lockstep:

    BLOCK-alone.jsonl, BLOCK-together.jsonl    transcripts, replayed without a model, compared byte for byte
    report.json                                what is printed
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from malles.discussion.case import Case
from malles.discussion.roles import ROLES
from malles.discussion.rounds import Discussion, DiscussionSettings, Exchange, discuss
from malles.discussion.transcript import Transcript, replay
from malles.llm.beginnings import Beginnings
from malles.wholesale.order import OrderFile
from malles.wholesale.talk import build_cases, plan_file

if TYPE_CHECKING:
    from malles.llm.backends.local import LocalBackend

OUT = Path("runs/lockstep")
GOODS = ("jam", "tea", "candle holder", "mug", "biscuit tin", "lantern", "notebook", "soap")
KINDS = ("plum", "mint", "glass", "blue", "oat", "garden", "paper", "rose")


def generated_order(products: int, rng: np.random.Generator) -> OrderFile:
    """An order of so many products, all with the same kinds of facts, so that all share one grammar."""
    rows = []
    for k in range(products):
        cost, weekly = round(float(rng.uniform(1, 6)), 2), float(rng.uniform(2, 20))
        back, stars = int(rng.integers(0, 6)), float(rng.uniform(2.5, 4.9))
        rows.append(
            {
                "name": f"{KINDS[k % 8]} {GOODS[(k + k // 8) % 8]} {k + 1}",
                "price": round(cost * float(rng.uniform(1.3, 2.2)), 2),
                "cost": [[0, cost], [24, round(0.9 * cost, 2)]],
                "stock": int(rng.integers(0, 20)),
                "sold": [int(u) for u in rng.poisson(weekly, 6)],
                "pack": int(rng.choice([1, 6, 12])),
                "salvage": round(0.3 * cost, 2),
                "returns": f"{back} of 40 come back",
                "reviews": f"{stars:.1f} of 5 from {rng.integers(5, 60)} customers",
                "stock_outs": f"empty shelf in {rng.integers(0, 4)} of the last 8 weeks",
                "promotion": str(rng.choice(["advertised next week", "none planned"])),
            }
        )
    return OrderFile.model_validate({"order": {"name": "generated", "weeks": 4.0}, "product": rows})


@dataclass
class Way:
    """Tokens, processor-seconds and unreadable replies of one way of speaking."""

    read_tokens: int = 0
    read_seconds: float = 0.0
    written_tokens: int = 0
    write_seconds: float = 0.0
    seconds: float = 0.0
    exchanges: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    lost_turns: int = 0
    """Unreadable after the repair too."""
    replays: int = 0
    """Transcripts whose replay came to the same bytes."""

    def summary(self) -> dict[str, object]:
        """Rates; a turn counts as unreadable when its first reply is."""
        return {
            "turns": self.exchanges,
            "unreadable": round(sum(self.problems.values()) / self.exchanges, 4),
            "problems": dict(self.problems),
            "turns_lost_after_repair": self.lost_turns,
            "tokens_read": self.read_tokens,
            "tokens_written": self.written_tokens,
            "read_tokens_per_processor_second": round(self.read_tokens / self.read_seconds, 1),
            "written_tokens_per_processor_second": round(self.written_tokens / self.write_seconds, 2),
            "read_seconds": round(self.read_seconds, 1),
            "write_seconds": round(self.write_seconds, 1),
            "all_seconds": round(self.seconds, 1),
            "replays_equal": self.replays,
        }


def hold(cases: list[Case], backend: LocalBackend, batch: int, way: Way, path: Path) -> list[Discussion]:
    """One block one way; its transcript is written and replayed."""
    settings = DiscussionSettings(seed=1, batch=batch)
    roles, pace = list(ROLES.values()), backend.pace
    backend.beginnings = Beginnings()  # neither way finds what the other has read
    transcript = Transcript(cases, roles, settings)
    before = vars(pace).copy()

    def listen(exchange: Exchange) -> None:
        transcript.listen(exchange)
        way.exchanges += not exchange.repair
        if exchange.problem and not exchange.repair:
            way.problems[exchange.problem[:50]] += 1

    began = time.process_time()
    talks = discuss(cases, roles, backend, settings, listen=listen)
    way.seconds += time.process_time() - began
    for name, value in before.items():
        setattr(way, name, getattr(way, name) + getattr(pace, name) - value)
    way.lost_turns += sum(talk.unreadable for talk in talks)
    transcript.close(talks)
    transcript.write(path)
    again, content = replay(path)
    way.replays += content == path.read_bytes() and [t.decisions for t in again] == [
        t.decisions for t in talks
    ]
    return talks


def main() -> None:
    """Speak both ways, block by block; compare; print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=20.0, help="processor-minutes, at most")
    asked = parser.parse_args()
    import torch

    from malles.llm.backends.local import LocalBackend

    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    order = generated_order(asked.cases, np.random.default_rng(1))
    cases = build_cases(order, *plan_file(order))
    backend = LocalBackend.untuned("smollm2")
    discuss(cases[:1], list(ROLES.values()), backend, DiscussionSettings(rounds=1))  # loads, builds grammars
    ways, same, blocks = {"alone": Way(), "together": Way()}, Counter[str](), []
    began = time.process_time()
    for block, begin in enumerate(range(0, len(cases), asked.batch)):
        spent = time.process_time() - began
        if block and spent * (block + 1) / block > 60 * asked.minutes:
            break
        part = cases[begin : begin + asked.batch]
        turns = [("alone", 1), ("together", asked.batch)]
        talks = {
            name: hold(part, backend, size, ways[name], OUT / f"{block}-{name}.jsonl")
            for name, size in (turns if block % 2 == 0 else turns[::-1])
        }
        for one, many in zip(talks["alone"], talks["together"], strict=True):
            same["cases"] += 1
            same["same_decision"] += one.decision == many.decision
            same["same_in_every_round"] += one.decisions == many.decisions and one.end == many.end
            same["same_in_every_word"] += one.said == many.said
        blocks.append(_ratio(ways))
        print(f"{same['cases']} cases, {time.process_time() - began:.0f} processor-seconds", flush=True)
    report = {
        "dtype": str(next(backend.writer[0].parameters()).dtype),
        "cases": asked.cases, "batch": asked.batch, **same,
        "written_tokens_per_second_ratio": _ratio(ways), "ratio_until_block": blocks,
        **{name: way.summary() for name, way in ways.items()},
    }  # fmt: skip
    (OUT / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def _ratio(ways: dict[str, Way]) -> float:
    alone, together = (ways[w].written_tokens / ways[w].write_seconds for w in ("alone", "together"))
    return round(together / alone, 2)


if __name__ == "__main__":
    main()
