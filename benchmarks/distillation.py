"""A discussion put into one call: how often the taught model decides as the roles would, and what that saves.

    python benchmarks/distillation.py --data FILE_OF_ONLINE_RETAIL [--teach 240] [--orders 96] [--held 60]

The teacher is the discussion of `malles negotiate` (three roles, up to four rounds, over when all agree). It
talks over `--teach` reseller cases of the 16 training weeks and `--orders` products of generated orders; what
it decided is what the model learns to say at once. Asked about are `--held` reseller cases of the test weeks
and a third as many products of other orders: the untuned model alone, in one call; the taught model; and the
first option at its proposal, without a model. `--real N` also teaches a model what was really ordered, on at
most N reseller cases of the training weeks, and asks it about `--asked` cases. Files in runs/distillation:

    talks-SET-BLOCK.jsonl   transcripts of the teacher, kept between calls
    taught/, real/          the adapters; every decision of the first
    report.json             what is printed
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from lockstep import generated_order

from malles.discussion.case import Case, Decision, enforce_limits
from malles.discussion.lessons import Lesson, agrees, write_example
from malles.discussion.roles import ROLES
from malles.discussion.rounds import DiscussionSettings, discuss
from malles.discussion.transcript import Transcript
from malles.evaluation.bootstrap import mean_interval
from malles.llm.backends.local import LocalBackend
from malles.llm.taught import save_taught
from malles.llm.training.replies import ReplySettings, teach_replies
from malles.stages.distil import ask, distil, proposals
from malles.wholesale.resellers.cases import pick_cases
from malles.wholesale.resellers.evidence import Evidence
from malles.wholesale.resellers.methods import Ranked, fit_boosted, rank_frequency
from malles.wholesale.resellers.records import ResellerRecords, load_reseller_records
from malles.wholesale.resellers.scores import case_terms, score_methods
from malles.wholesale.resellers.talk import apply_decisions
from malles.wholesale.talk import build_cases, plan_file

OUT = Path("runs/distillation")
BLOCK = 16
HELD = ("held", "held-orders")


def crossed_ranking(train: Evidence, seed: int) -> Ranked:
    """Chances of the training cases, each half of the cases from trees that were fitted on the other."""
    score = np.zeros(len(train.case))
    for half in (0, 1):
        mine = train.case % 2 == half
        other = Evidence(**{name: value[~mine] for name, value in vars(train).items()})
        score[mine] = fit_boosted(other, seed).rank(train).score[mine]
    return Ranked(score, rank_frequency(train).units)


def reseller_cases(records: ResellerRecords, count: int, seed: int, *, teaching: bool) -> list[Case]:
    """Discussions of a sample of the cases of the training or of the test weeks."""
    cases = records.teaching if teaching else records.testing
    picked = pick_cases(list(range(len(cases))), count, np.random.default_rng(seed))
    if teaching:
        ranked = crossed_ranking(records.train, seed)
    else:
        ranked = fit_boosted(records.train, seed).rank(records.test)
    usual = rank_frequency(records.train if teaching else records.test).units
    return [records.talk_case(i, ranked, usual, teaching=teaching) for i in picked]


def order_cases(count: int, seed: int) -> list[Case]:
    """Products of generated orders, eight to an order."""
    rng, found = np.random.default_rng([seed, 7]), []
    for number in range(-(-count // 8)):
        order = generated_order(8, rng)
        items, plan = plan_file(order)
        for case in build_cases(order, items, plan):
            found.append(
                Case(f"order {seed}.{number}/{case.id}", case.question, case.facts, case.options, case.budget)
            )
    return found[:count]


def hold(name: str, cases: list[Case], backend: LocalBackend) -> list[Path]:
    """Transcripts of the teacher, block by block; those on the disk stay."""
    roles, settings, files = list(ROLES.values()), DiscussionSettings(), []
    for block, begin in enumerate(range(0, len(cases), BLOCK)):
        part, file = cases[begin : begin + BLOCK], OUT / f"talks-{name}-{block}.jsonl"
        files.append(file)
        if file.exists():
            continue
        kept, began = Transcript(part, roles, settings), time.process_time()
        kept.close(discuss(part, roles, backend, settings, listen=kept.listen))
        kept.write(file)
        seconds = time.process_time() - began
        file.with_suffix(".seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
        print(
            f"{name}: {begin + len(part)} cases, {seconds:.0f} processor-seconds", file=sys.stderr, flush=True
        )
    return files


def main() -> None:
    """Talk, teach, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--teach", type=int, default=240)
    parser.add_argument("--orders", type=int, default=96)
    parser.add_argument("--held", type=int, default=60)
    parser.add_argument("--real", type=int, default=320)
    parser.add_argument("--asked", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=25.0, help="processor-minutes of teaching at most")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.data is None or not asked.data.exists():
        print("distillation: give the Online Retail file with --data (skipped)", file=sys.stderr)
        return
    OUT.mkdir(parents=True, exist_ok=True)
    records = load_reseller_records(asked.data)
    backend = LocalBackend.untuned("smollm2")
    sets = {
        "held": reseller_cases(records, asked.held, asked.seed, teaching=False),
        "held-orders": order_cases(-(-asked.held // 3), asked.seed + 1000),
        "orders": order_cases(asked.orders, asked.seed),
        "teach": reseller_cases(records, asked.teach, asked.seed, teaching=True),
    }
    files = {name: hold(name, cases, backend) for name, cases in sets.items()}
    settings = ReplySettings(epochs=asked.epochs, minutes=asked.minutes, seed=asked.seed)
    shutil.rmtree(OUT / "taught", ignore_errors=True)
    found = distil(
        [*files["teach"], *files["orders"]], OUT / "taught", settings,
        held=[*files["held"], *files["held-orders"]], tell=tell,
    )  # fmt: skip
    seconds = [json.loads(f.with_suffix(".seconds.json").read_text()) for n in HELD for f in files[n]]
    found["discussion"]["processor_seconds"] = sum(seconds) / sum(len(sets[n]) for n in HELD)
    found["sets"] = {n: by_set(found["cases"], sets[n], asked.seed) for n in HELD}
    found["worth"] = worth(found["cases"], sets["held"], records.test, asked.seed)
    if asked.real:
        found["real"] = learn_orders(records, asked.real, asked.asked, settings)
    (OUT / "report.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in found.items() if k != "cases"}, indent=1))


def ordered_lessons(records: ResellerRecords, count: int, seed: int) -> list[Lesson]:
    """Training cases of which an option was ordered: one of those, and its units within the limits."""
    lessons, rng = [], np.random.default_rng([seed, 41])
    for case in reseller_cases(records, len(records.teaching), seed, teaching=True):
        rows = np.array(case.about["row"])
        bought = np.flatnonzero(records.train.ordered[rows])
        if len(bought) and len(lessons) < count:
            at = int(rng.choice(bought))
            units = int(records.train.units[rows[at]])
            decision = enforce_limits(case, case.options[at].id, units)
            lessons.append(Lesson(case, decision, True, 0, 0, case.id.partition("/")[0]))
    return lessons


def learn_orders(
    records: ResellerRecords, count: int, held: int, settings: ReplySettings
) -> dict[str, object]:
    """A model that is taught what was ordered, beside the ranking and the shop's median on the same cases."""
    lessons = ordered_lessons(records, count, settings.seed)
    taught = teach_replies([write_example(lesson) for lesson in lessons], settings, tell_steps)
    shutil.rmtree(OUT / "real", ignore_errors=True)
    save_taught(taught, OUT / "real", {"taught_on": len(lessons)})
    cases = reseller_cases(records, held, settings.seed, teaching=False)
    made = ask(cases, LocalBackend.taught(OUT / "real"), "taught by orders", tell)
    ranked = Ranked(
        fit_boosted(records.train, settings.seed).rank(records.test).score, rank_frequency(records.test).units
    )
    spoken = apply_decisions(ranked, ranked.units, cases, made.decisions)
    numbers = [int(records.test.case[case.about["row"][0]]) for case in cases]
    terms = {
        name: case_terms(records.test, r, len(records.testing))[numbers]
        for name, r in (("no talk", ranked), ("taught by orders", spoken))
    }
    customer = np.array([records.testing[i].customer for i in numbers])
    scored = score_methods(terms, customer, "no talk", np.random.default_rng(settings.seed))
    return {
        "taught_on": len(lessons), "asked": len(cases), "seconds": taught.seconds,
        "chosen": "".join(d.choice or "-" for d in made.decisions), "unreadable": made.unreadable,
        "tokens": made.tokens / len(cases), "processor_seconds": made.seconds / len(cases),
        "scores": {name: asdict(s) for name, s in scored.items()},
    }  # fmt: skip


def tell_steps(done: int, total: int, loss: float) -> None:
    """How far teaching is."""
    tell(f"teaching what was ordered, loss {loss:.2f}", done, total)


def tell(title: str, done: float | None = None, total: float | None = None) -> None:
    """How far it is, now and then."""
    if done is None or total is None or done == total or int(done) % 16 == 0:
        print(title, done or "", total or "", file=sys.stderr, flush=True)


def decisions(cases: list[dict[str, Any]], who: str) -> dict[str, Decision]:
    """Decisions of one way by case."""
    return {row["case"]: Decision(row[who]["choice"], row[who]["units"]) for row in cases}


def share_of(true: list[bool], cases: list[Case], seed: int) -> list[float]:
    """Share of cases of which something is true, and its interval, which draws resellers or orders."""
    group = np.unique([case.id.partition("/")[0] for case in cases], return_inverse=True)[1]
    interval = mean_interval(np.array(true, float), group, np.random.default_rng(seed))
    return [interval.value, interval.low, interval.high]


def by_set(answers: list[dict[str, Any]], cases: list[Case], seed: int) -> dict[str, object]:
    """Agreement with the discussion on the cases of one set; intervals draw resellers or orders."""
    teacher = decisions(answers, "discussion")
    known = [case for case in cases if case.id in teacher]
    out: dict[str, object] = {"cases": len(known)}
    ways = {who: decisions(answers, who) for who in ("before", "after")}
    ways["proposal"] = dict(zip([c.id for c in known], proposals(known).decisions, strict=True))
    for who, made in ways.items():
        same = [agrees(teacher[c.id], made[c.id]) for c in known]
        option = np.array([teacher[c.id].choice == made[c.id].choice for c in known], float)
        out[who] = {
            "same_decision": share_of(same, known, seed),
            "same_option": float(option.mean()),
        }
    return out


def worth(
    answers: list[dict[str, Any]], cases: list[Case], test: Evidence, seed: int
) -> dict[str, list[float]]:
    """Part of the reseller cases whose chosen option was ordered; `ranking`: the option ranked first."""
    teacher = decisions(answers, "discussion")
    known = [case for case in cases if case.id in teacher]

    def hit(case: Case, choice: str | None) -> bool:
        at = [o.id for o in case.options].index(choice) if choice is not None else -1
        return choice is not None and bool(test.ordered[case.about["row"][at]])

    found = {"ranking": [bool(test.ordered[case.about["tenth"]]) for case in known]}
    for who in ("discussion", "before", "after"):
        made = decisions(answers, who)
        found[who] = [hit(case, made[case.id].choice) for case in known]
    return {who: share_of(hits, known, seed) for who, hits in found.items()}


if __name__ == "__main__":
    main()
