"""Periods of a crowd over shards: told out, added up, kept, and resumed where they stopped.

    with open_run(folder, manifest) as run:
        for period in roll_out(settings, laws, plan, Processes(), run):
            period.units            # [product], after the stock

Without a run nothing is written. With one, every period is a folder (`period=0007/`) with the totals, one
Parquet file of decisions per shard if asked, and now and then the state of every shard; one row of the
journal commits it. A killed roll-out goes on at the first period without a row: the crowd is built again,
put back into the last kept state, and lives through the periods since. So does one whose worker dies. All
give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy import ndarray

from malles.errors import RunError, UsageError
from malles.journal import Run
from malles.population import rationing
from malles.population.crowd import MEASURES, CrowdLaws
from malles.population.crowd_market import ShelfPlan, build_shelf
from malles.scale.crews import Crew, WorkerLostError
from malles.scale.memory import check_memory
from malles.scale.shards import split
from malles.store import content_key

MOST_LOSSES = 3
"""Workers that may be lost in one period before the roll-out gives up."""


@dataclass(frozen=True)
class RolloutSettings:
    """How many customers, how long, in which parts, and what is kept."""

    customers: int
    periods: int
    seed: int = 0
    shard_size: int = 250_000
    workers: int = 1
    decisions: bool = False
    """Whether every decision is kept, one Parquet file per shard and period."""
    state_every: int = 13
    """Periods between kept states, from which a killed roll-out resumes; 0: none, it begins again."""
    memory_limit: int | None = None
    """Bytes the roll-out may use; None: what the machine has free."""

    def __post_init__(self) -> None:
        if min(self.customers, self.periods, self.shard_size, self.workers) < 1:
            raise UsageError(
                f"customers, periods, shard_size and workers are {self.customers}, {self.periods}, "
                f"{self.shard_size} and {self.workers}; each must be at least 1."
            )


@dataclass(frozen=True)
class Totals:
    """What all customers did in one period."""

    period: int
    counts: ndarray
    """[archetype, product, MEASURES], integers; product 0 holds the trips."""

    @property
    def trips(self) -> int:
        """Customers who went shopping."""
        return int(self.counts[:, 0, 0].sum())

    @property
    def units(self) -> ndarray:
        """[product], units that were got."""
        return np.asarray(self.counts[:, 1:, MEASURES.index("units")].sum(0))

    def frame(self) -> pl.DataFrame:
        """One row per archetype and product."""
        archetype, product = (a.ravel() for a in np.indices(self.counts.shape[:2]))
        flat = self.counts.reshape(-1, len(MEASURES))
        columns = {name: flat[:, k] for k, name in enumerate(MEASURES)}
        return pl.DataFrame({"period": np.full(len(flat), self.period), "archetype": archetype,
                             "product": product, **columns})  # fmt: skip


def roll_out(
    settings: RolloutSettings,
    laws: CrowdLaws,
    plan: ShelfPlan,
    crew: Crew,
    run: Run | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Totals]:
    """Let the crowd live through all periods.

    Args:
        settings: size, length, parts and what is kept. Only `customers`, `periods` and `seed` change results.
        laws: of the customers.
        plan: shelves of at least that many periods.
        crew: who works; stopped at the end.
        run: an open run, for keeping and resuming; None keeps nothing.
        progress: told (periods done, periods).

    Raises:
        UsageError: the crowd does not fit into memory, or the plan is too short.
        RunError: workers were lost again and again.
    """
    attributes = len(laws.coefficient_mean[0])
    check_memory(settings.customers, attributes, settings.shard_size, settings.workers, settings.memory_limit)
    if len(plan) < settings.periods:
        raise UsageError(
            f"the plan of shelves has {len(plan)} periods, asked for {settings.periods}; plan them."
        )
    live = _Rollout(settings, laws, plan, crew)
    try:
        if run is None:
            for period in range(settings.periods):
                live.reach(period)
                progress(period + 1, settings.periods)
            return live.past
        return _kept(live, run, progress)
    finally:
        crew.stop()


class _Rollout:
    """The crowd at one point of time, and the totals up to there."""

    def __init__(self, settings: RolloutSettings, laws: CrowdLaws, plan: ShelfPlan, crew: Crew) -> None:
        self.settings, self.laws, self.plan, self.crew = settings, laws, plan, crew
        self.past: list[Totals] = []
        self.at = -1
        """The latest period that the workers' state has been through; -1: before the first."""
        self.alive = False
        self.find_state: Callable[[int], tuple[int, Path] | None] = lambda period: None

    def reach(self, period: int) -> Totals:
        """Live on to the end of this period, from the start or the last kept state if need be."""
        for _ in range(MOST_LOSSES):
            try:
                if not self.alive or self.at > period:
                    self._begin(period)
                while self.at < period:
                    self._live(self.at + 1)
                return self.past[period]
            except WorkerLostError:
                self.alive = False
        raise RunError(
            f"workers were lost {MOST_LOSSES} times in period {period}, perhaps for lack of memory; what was "
            "finished is kept: run it again with fewer workers or customers."
        )

    def _begin(self, period: int) -> None:
        s = self.settings
        self.crew.start(split(self.laws, s.seed, s.customers, s.shard_size, s.workers))
        self.alive, self.at = True, -1
        found = self.find_state(period)
        if found is not None:
            self.at, folder = found
            self.crew.ask("read_state", str(folder))

    def _live(self, period: int) -> None:
        """One period: wishes, then the margin of what is scarce, then everybody moves on."""
        sold = self.past[period - 1].units if period else None
        shelf = build_shelf(self.plan, self.laws, period, sold)
        answers = self.crew.ask("decide", shelf, period)
        counts, wished = (sum(part) for part in zip(*answers, strict=True))
        scarce = rationing.find_scarce(np.asarray(wished), shelf.stock)
        limits = rationing.no_limits(len(scarce))
        if scarce.any():
            counted = sum(self.crew.ask("count_priorities", period, scarce))
            bucket, left = rationing.find_buckets(np.asarray(counted), shelf.stock, scarce)
            found = self.crew.ask("find_candidates", period, bucket)
            limits = rationing.find_limits([c for part in found for c in part], bucket, left)
        counts = counts + sum(self.crew.ask("settle", shelf, period, limits))
        del self.past[period:]
        self.past.append(Totals(period, np.asarray(counts)))
        self.at = period


def _kept(live: _Rollout, run: Run, progress: Callable[[int, int], None]) -> list[Totals]:
    """The same roll-out, a folder and a row of the journal per period."""
    s = live.settings
    names = [f"period={p:04d}" for p in range(s.periods)]
    folder = run.folder / "crowd"
    recorded: set[int] = set()

    def state_is_due(period: int) -> bool:
        return bool(s.state_every) and (period + 1) % s.state_every == 0

    def find_state(period: int) -> tuple[int, Path] | None:
        for before in range(period - 1, -1, -1):
            if before in recorded and state_is_due(before):
                return before, folder / names[before]
        return None

    live.find_state = find_state

    def build(name: str) -> Totals:
        period = names.index(name)
        for p in range(len(live.past), period):  # all before it stand in the journal, or we would not be here
            live.past.append(_read_totals(folder / names[p], p))
        recorded.update(range(period))
        return live.reach(period)

    def save(totals: Totals, path: Path) -> None:
        path.mkdir()
        totals.frame().write_parquet(path / "totals.parquet")
        due = state_is_due(totals.period)
        if s.decisions or due:
            for _ in range(MOST_LOSSES):
                try:
                    live.crew.ask("write", str(path), s.decisions, due)
                    break
                except WorkerLostError:
                    live.alive = False
                    live.reach(totals.period)
            else:
                raise RunError(
                    f"workers were lost {MOST_LOSSES} times while period {totals.period} was kept."
                )
        progress(totals.period + 1, s.periods)

    def load(path: Path) -> list[Totals]:
        return [_read_totals(path / name, p) for p, name in enumerate(names)]

    law = {
        "laws": asdict(live.laws),
        "plan": content_key([part.tolist() for part in vars(live.plan).values()]),
        "kept": [s.customers, s.seed, s.shard_size, s.decisions, s.state_every],
    }
    step = run.shards(
        "crowd", "crowd", names, build=build, save=save, load=load, settings=law, code=("population", "scale")
    )
    return list(step.value)


def _read_totals(folder: Path, period: int) -> Totals:
    frame = pl.read_parquet(folder / "totals.parquet")
    shape = (int(frame["archetype"].max()) + 1, int(frame["product"].max()) + 1, len(MEASURES))  # type: ignore[arg-type]
    return Totals(period, frame.select(MEASURES).to_numpy().astype(np.int64).reshape(shape))
