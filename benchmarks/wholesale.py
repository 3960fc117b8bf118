"""Wholesale: which products do resellers reorder, and how many units? Arithmetic, trees, memory, rules, talk.

    python benchmarks/wholesale.py --data FILE_OF_ONLINE_RETAIL [--cases 150] [--talk 150] [--minutes 8]

A case is a reseller on a day of the last 8 weeks on which it orders; everything is predicted from strictly
earlier days. Tabular methods are scored on all cases and on the fixed sample; the language model talks over
as many cases of the sample, in their order, as its processor-minutes allow (or until Ctrl-C). Blocks of cases
that are on the disk are read, not talked over again. Files in runs/wholesale:

    talks-KIND-BLOCK.jsonl      transcripts, which `malles.discussion.transcript.replay` repeats byte for byte
    report.json                 what is printed
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from malles.discussion.case import Case, Decision
from malles.discussion.roles import ALONE, ROLES, Role
from malles.discussion.rounds import DiscussionSettings, Exchange, discuss
from malles.discussion.transcript import Transcript, read_transcript, replay
from malles.wholesale.resellers.cases import ResellerCase, pick_cases
from malles.wholesale.resellers.evidence import Evidence
from malles.wholesale.resellers.methods import (
    SLOPES,
    CognitiveReorder,
    Ranked,
    apply_units_rule,
    find_units_rule,
    fit_boosted,
    rank_frequency,
    rank_last_order,
)
from malles.wholesale.resellers.records import ResellerRecords, load_reseller_records
from malles.wholesale.resellers.scores import Scored, case_terms, score_methods
from malles.wholesale.resellers.talk import LETTERS, apply_decisions

OUT = Path("runs/wholesale")
REFERENCE = "LightGBM"
CONTROLS = ("no talk", "single role, equal tokens")
"""Beginnings of the names of methods that the talks are compared with too."""
ROUNDS = 4
ALONE_ROUNDS = 9
"""Rounds of the single role: more would exceed the tokens of a discussion."""
RULE_ROUNDS = 2
"""Rounds of the discussion with rules."""


@dataclass
class Cost:
    """Tokens and processor-seconds of one kind of talk, by round."""

    tokens: dict[int, int] = field(default_factory=dict)
    turns: int = 0
    problems: dict[str, int] = field(default_factory=dict)
    repairs: int = 0
    seconds: float = 0.0

    def add(self, e: Exchange) -> None:
        """Count one exchange."""
        self.tokens[e.round] = self.tokens.get(e.round, 0) + e.prompt_tokens + e.reply_tokens
        self.turns += 1
        self.repairs += e.repair
        if e.problem:
            self.problems[e.problem[:40]] = self.problems.get(e.problem[:40], 0) + 1

    def until(self, r: int) -> int:
        """Tokens of the rounds up to r."""
        return sum(n for k, n in self.tokens.items() if k <= r)


def fit_slope(train: Evidence, cases: list[ResellerCase]) -> CognitiveReorder:
    """The slope of the cognitive core with the most hits on the training cases."""
    customer = np.array([c.customer for c in cases])
    everyone = np.ones(len(cases), bool)

    def hits(core: CognitiveReorder) -> float:
        return float(case_terms(train, core.rank(train, customer, everyone), len(cases))[:, 0].mean())

    return max((CognitiveReorder(s) for s in SLOPES), key=hits)


def hold_talks(
    kind: str, block: int, cases: list[Case], roles: list[Role], rounds: int, backend: object, cost: Cost
) -> list[list[Decision]]:
    """Decisions after every round of one block; a block that is on the disk is read."""
    how = DiscussionSettings(rounds=rounds, agree=False, recent=3)
    file = OUT / f"talks-{kind}-{block}.jsonl"
    clock = file.with_suffix(".seconds.json")
    if file.exists() and clock.exists():
        lines = read_transcript(file)
        fresh = Transcript(cases, roles, how)
        if lines[0] == json.loads(json.loads(fresh.bytes().decode().split("\n")[0])["line"]):
            for line in lines:
                if line["kind"] == "exchange":
                    cost.add(Exchange(**{k: v for k, v in line.items() if k != "kind"}))
            talks, _ = replay(file)
            cost.seconds += json.loads(clock.read_text(encoding="utf-8"))
            return [talk.decisions for talk in talks]
    transcript = Transcript(cases, roles, how)

    def listen(exchange: Exchange) -> None:
        transcript.listen(exchange)
        cost.add(exchange)

    began = time.process_time()
    talks = discuss(cases, roles, backend, how, listen=listen)  # type: ignore[arg-type]
    seconds = time.process_time() - began
    transcript.close(talks)
    transcript.write(file)
    clock.write_text(json.dumps(seconds), encoding="utf-8")
    cost.seconds += seconds
    return [talk.decisions for talk in talks]


def talk_over(
    kinds: dict[str, tuple[list[Case], list[Role], int]], minutes: float, batch: int
) -> tuple[dict[str, list[list[Decision]]], dict[str, Cost]]:
    """Blocks of cases, every kind of talk over each, until the minutes are used up or Ctrl-C is pressed."""
    from malles.llm.backends.local import LocalBackend

    backend = LocalBackend.untuned("smollm2")
    decisions: dict[str, list[list[Decision]]] = {kind: [] for kind in kinds}
    costs = {kind: Cost() for kind in kinds}
    began = time.process_time()
    total = len(next(iter(kinds.values()))[0])
    try:
        for block, begin in enumerate(range(0, total, batch)):
            for kind, (cases, roles, rounds) in kinds.items():
                spent = time.process_time() - began
                if spent > 60 * minutes:
                    return decisions, costs
                part = cases[begin : begin + batch]
                cost = replace(
                    costs[kind], tokens=dict(costs[kind].tokens), problems=dict(costs[kind].problems)
                )
                decisions[kind] += hold_talks(kind, block, part, roles, rounds, backend, cost)
                costs[kind] = cost  # only of whole blocks
                done, spent = len(decisions[kind]), time.process_time() - began
                print(f"{kind}: {done} cases, {spent:.0f} processor-seconds", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped: what is complete is scored", file=sys.stderr, flush=True)
    return decisions, costs


def equal_round(single: Cost, tokens: float, rounds: int) -> int:
    """The last round of the single role that takes no more tokens than the discussion."""
    return max([r for r in range(1, rounds + 1) if single.until(r) <= tokens], default=1)


def main() -> None:
    """Build, fit, talk, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cases", type=int, default=150, help="cases of the fixed sample")
    parser.add_argument("--talk", type=int, default=150, help="cases of the sample talked over, at most")
    parser.add_argument("--minutes", type=float, default=8.0, help="processor-minutes of talk, at most")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--earlier", type=int, default=0, help="weeks that everything is moved back, to develop on"
    )
    asked = parser.parse_args()
    if asked.data is None or not asked.data.exists():
        print("wholesale: give the Online Retail file with --data (skipped)", file=sys.stderr)
        return
    OUT.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    records = load_reseller_records(asked.data, earlier=asked.earlier)
    teaching, every, train, test = records.teaching, records.testing, records.train, records.test
    print(f"evidence: {time.process_time() - began:.0f} processor-seconds", file=sys.stderr, flush=True)

    picked = pick_cases(list(range(len(every))), asked.cases, np.random.default_rng(asked.seed))
    ranked, seconds, rule = tabular(train, test, teaching, every, asked.seed)
    print(f"rule for units: {rule}", file=sys.stderr, flush=True)
    customer = np.array([c.customer for c in every])
    terms = {name: case_terms(test, r, len(every)) for name, r in ranked.items()}
    inside = {c.customer for c in every}
    outside = sum(len(c.product) for c in every) - int(test.ordered.sum())
    report: dict[str, object] = {
        "seed": asked.seed, "cases": len(every), "resellers": len(inside), "training_cases": len(teaching),
        "products_ordered": int(test.ordered.sum()), "outside_the_pool": outside,
        "ordered_among_candidates": float((test.ordered & test.candidate).sum() / test.ordered.sum()),
        "rule": rule, "milliseconds_per_case": seconds,
    }  # fmt: skip
    tables = {"all cases": score_methods(terms, customer, REFERENCE, np.random.default_rng(asked.seed))}
    some = {name: value[picked] for name, value in terms.items()}
    tables["sample"] = score_methods(some, customer[picked], REFERENCE, np.random.default_rng(asked.seed))
    if asked.talk and asked.minutes > 0:
        spoken = picked[: asked.talk]
        extra, report["talk"] = talks(spoken, records, ranked, asked.minutes, asked.batch)
        done = spoken[: len(next(iter(extra.values()))[0])]
        both = {name: value[done] for name, value in terms.items()} | {
            name: case_terms(test, r, len(every))[done] for name, (_, r) in extra.items()
        }
        for other in (REFERENCE, *(n for n in extra if n.startswith(CONTROLS))) if done else ():
            tables[f"{len(done)} cases talked over, gap to {other}"] = score_methods(
                both, customer[done], other, np.random.default_rng(asked.seed)
            )
    report["tables"] = {
        name: {method: asdict(scored) for method, scored in table.items()} for name, table in tables.items()
    }
    (OUT / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(as_text(report, tables))


def tabular(
    train: Evidence, test: Evidence, teaching: list[ResellerCase], every: list[ResellerCase], seed: int
) -> tuple[dict[str, Ranked], dict[str, float], str]:
    """All methods without a language model, their milliseconds per case, and the rule."""
    boosted = fit_boosted(train, seed)
    core = fit_slope(train, teaching)
    rng = np.random.default_rng(seed)
    front = find_units_rule(train, test, np.array([c.customer for c in teaching]), rng)
    # the core learns through both windows: the cases of the training weeks stand before those of the test
    joined = join_evidence(train, test, len(teaching))
    customer = np.array([c.customer for c in [*teaching, *every]])
    counted = np.arange(len(customer)) < len(teaching)
    cut = len(train.case)

    def cognitive() -> Ranked:
        found = core.rank(joined, customer, counted)
        return Ranked(found.score[cut:], found.units[cut:])

    makers: dict[str, Callable[[], Ranked]] = {
        "last order": lambda: rank_last_order(test),
        "customer median": lambda: rank_frequency(test),
        "LightGBM": lambda: boosted.rank(test),
        "cognitive core": cognitive,
        "rule alone": lambda: Ranked(rank_frequency(test).score, apply_units_rule(front, test)),
    }
    ranked, seconds = {}, {}
    for name, make in makers.items():
        began = time.process_time()
        ranked[name] = make()
        seconds[name] = round(1000 * (time.process_time() - began) / len(every), 3)
    return ranked, seconds, f"{front.best} ({front.best.complexity} nodes), slope of the core {core.slope}"


def join_evidence(one: Evidence, two: Evidence, cases: int) -> Evidence:
    """Rows of both, the cases of the second after the `cases` of the first."""
    both = {k: np.concatenate([v, vars(two)[k]]) for k, v in vars(one).items()}
    both["case"] = np.concatenate([one.case, two.case + cases])
    return Evidence(**both)


def talks(
    spoken: list[int],
    records: ResellerRecords,
    ranked: dict[str, Ranked],
    minutes: float,
    batch: int,
) -> tuple[dict[str, tuple[list[Decision], Ranked]], dict[str, object]]:
    """Methods that talk, and what it cost."""
    base = ranked[REFERENCE]
    suggestions = {"numbers": ranked["customer median"].units, "rules": ranked["rule alone"].units}
    cases = {name: [records.talk_case(i, base, units) for i in spoken] for name, units in suggestions.items()}
    roles = list(ROLES.values())
    kinds = {
        "discussion": (cases["numbers"], roles, ROUNDS),
        "single": (cases["numbers"], [ALONE], ALONE_ROUNDS),
        "rules": (cases["rules"], roles, RULE_ROUNDS),
    }
    decisions, costs = talk_over(kinds, minutes, batch)
    count = {kind: len(made) for kind, made in decisions.items()}
    reached = min(count.values())  # all kinds are scored on the same cases
    shared = costs["discussion"].until(ROUNDS) / max(count["discussion"], 1)
    level = equal_round(costs["single"], shared * count["single"], ALONE_ROUNDS)
    read = [("discussion", "discussion", r) for r in range(1, ROUNDS + 1)]
    read += [("single role, one turn", "single", 1), ("single role, equal tokens", "single", level)]
    read += [("discussion with rules", "rules", r) for r in range(1, RULE_ROUNDS + 1)]
    out: dict[str, tuple[list[Decision], Ranked]] = {}
    how: dict[str, dict[str, object]] = {}
    for label, kind, r in read:
        name = f"{label}, {r} round" + "s" * (r > 1)
        source = "rules" if kind == "rules" else "numbers"
        made = [d[r - 1] for d in decisions[kind][:reached]]
        spoken_of = cases[source][: len(made)]
        out[name] = made, apply_decisions(base, suggestions[source], spoken_of, made)
        options = [(c.option(d.choice), d) for c, d in zip(spoken_of, made, strict=True) if d.choice]
        best = [c.option(LETTERS[c.about["row"].index(c.about["tenth"])]) for c in spoken_of]
        how[name] = {
            "cases": len(made), "tokens": costs[kind].until(r) / max(count[kind], 1),
            "nothing": sum(d.choice is None for d in made),
            "corrected": sum(bool(d.corrections) for d in made),
            "as_suggested": sum(o is not None and o.suggested == d.units for o, d in options),
            "as_ranked": sum(b is not None and d.choice == b.id for b, d in zip(best, made, strict=True)),
            "chosen": "".join(d.choice or "-" for d in made),
        }  # fmt: skip
    for source, units in suggestions.items():
        kind = "rules" if source == "rules" else "discussion"
        made = [d[-1] for d in decisions[kind][:reached]]
        out[f"no talk, suggestions of the {source}"] = made, Ranked(base.score, units)
    cost = {
        kind: {
            "turns": c.turns, "unreadable": sum(c.problems.values()), "problems": c.problems,
            "repairs": c.repairs,
            "processor_seconds_per_case": c.seconds / max(count[kind], 1),
        }
        for kind, c in costs.items()
    }  # fmt: skip
    return out, {"cases": count, "decisions": how, "cost": cost}


def as_text(report: dict[str, object], tables: dict[str, dict[str, Scored]]) -> str:
    """Tables in Markdown."""
    out = [json.dumps({k: v for k, v in report.items() if k != "tables"}, indent=1)]
    for title, table in tables.items():
        metrics = list(next(iter(table.values())).value)
        for what in ("gap",) if "gap to" in title and REFERENCE not in title else ("value", "gap"):
            out += [
                "",
                f"| {title}, {what} | " + " | ".join(metrics) + " |",
                "|---" * (len(metrics) + 1) + "|",
            ]
            for name, scored in table.items():
                i = [getattr(scored, what)[m] for m in metrics]
                out.append(
                    f"| {name} | "
                    + " | ".join(f"{x.value:.3f} [{x.low:.3f}, {x.high:.3f}]" for x in i)
                    + " |"
                )
    return "\n".join(out)


if __name__ == "__main__":
    main()
