"""A roll-out gives the same bits however it is cut, whoever works, and however often it is killed."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from malles.errors import UsageError
from malles.population.crowd_market import build_example
from malles.scale.crews import OneProcess, Processes
from malles.scale.memory import check_memory, memory_needed
from malles.scale.rollout import RolloutSettings, roll_out
from malles.store import artefact_digest

CUSTOMERS, PERIODS = 3000, 5


def market():
    return build_example(products=6, periods=PERIODS, stock_per_customer=0.04, customers=CUSTOMERS)


def run_with(crew, *, workers=1, shard_size=1000, **more):
    settings = RolloutSettings(CUSTOMERS, PERIODS, seed=8, shard_size=shard_size, workers=workers, **more)
    return np.stack([t.counts for t in roll_out(settings, *market(), crew)])


@pytest.fixture(scope="module")
def whole():
    counts = run_with(OneProcess(), shard_size=CUSTOMERS)
    wished, units = counts[..., 1:, 1].sum(1), counts[..., 1:, 4].sum(1)
    assert (wished > units).sum() > 5  # stock binds
    assert np.all(units <= 120)
    return counts


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("shard_size", [100, 1024, 2999])
def test_any_cut_gives_the_same_bits(whole, workers, shard_size):
    np.testing.assert_array_equal(run_with(OneProcess(), workers=workers, shard_size=shard_size), whole)


def test_shards_of_ten_thousand_and_of_a_quarter_million_give_the_same_bits():
    """300,000 customers: thirty shards, or two; one process, or two."""
    many = 300_000
    laws, plan = build_example(products=6, periods=3, stock_per_customer=0.04, customers=many)

    def counts(shard_size: int, workers: int) -> np.ndarray:
        settings = RolloutSettings(many, 3, seed=8, shard_size=shard_size, workers=workers)
        crew = OneProcess() if workers == 1 else Processes()
        return np.stack([t.counts for t in roll_out(settings, laws, plan, crew)])

    first = counts(10_000, 1)
    assert first[..., 1:, 4].sum() > many / 10
    for shard_size, workers in ((250_000, 1), (10_000, 2), (250_000, 2)):
        np.testing.assert_array_equal(counts(shard_size, workers), first)


def test_two_processes_give_the_same_bits_and_a_killed_worker_is_replaced(whole):
    crew = Processes()
    killed = []

    def kill_one(done: int, of: int) -> None:
        if done == 3 and not killed:
            killed.append(next(iter(crew._pools[1]._processes)))
            os.kill(killed[0], signal.SIGKILL)

    settings = RolloutSettings(CUSTOMERS, PERIODS, seed=8, shard_size=1000, workers=2)
    totals = roll_out(settings, *market(), crew, progress=kill_one)
    assert killed
    np.testing.assert_array_equal(np.stack([t.counts for t in totals]), whole)


def test_a_killed_roll_out_resumes_to_the_same_bytes(tmp_path):
    """Killed with -9 in period 2 after its files were renamed, and in period 5 after its row was written."""
    victim = Path(__file__).parent / "rollout_victim.py"

    def start(folder: Path, *crash: str) -> int:
        return subprocess.run([sys.executable, victim, folder, *crash], check=False).returncode

    assert start(tmp_path / "unbroken") == 0
    assert start(tmp_path / "killed", "shard renamed", "2") == -signal.SIGKILL
    assert start(tmp_path / "killed", "shard recorded", "4") == -signal.SIGKILL
    assert start(tmp_path / "killed") == 0
    unbroken, killed = tmp_path / "unbroken" / "crowd", tmp_path / "killed" / "crowd"
    assert artefact_digest(killed) == artefact_digest(unbroken)
    assert len(list(killed.glob("period=*/decisions-*.parquet"))) == 7 * 3
    assert len(list(killed.glob("period=*/state-*.parquet"))) == 2 * 3
    kept = pl.read_parquet(killed / "period=0004" / "decisions-*.parquet")
    totals = pl.read_parquet(killed / "period=0004" / "totals.parquet")
    assert kept["units"].sum() == totals["units"].sum()


def test_a_crowd_that_does_not_fit_is_refused_with_what_to_set():
    """10^9 customers with 6 tastes: 48 GB of customers and 0.55 GB around them; 8 GB hold 155 million."""
    with pytest.raises(
        UsageError, match=r"needs 48\.5 GB, the limit allows 8\.0 GB; .* at most 155,208,333, "
    ):
        check_memory(10**9, 6, 250_000, 2, 8 * 10**9)
    assert check_memory(10**7, 6, 250_000, 2, 8 * 10**9) == memory_needed(10**7, 6, 250_000, 2)


def test_a_plan_that_is_too_short_is_refused():
    laws, plan = market()
    with pytest.raises(UsageError, match="has 5 periods, asked for 6"):
        roll_out(RolloutSettings(10, 6), laws, plan, OneProcess())


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'malles[scale]'")
def test_a_local_ray_cluster_gives_the_same_bits_and_survives_a_dead_worker(whole, monkeypatch):
    from malles.scale.cluster import RayCrew

    monkeypatch.setenv("RAY_AUTH_MODE", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    crew = RayCrew(processors=2)
    killed = []

    def kill_one(done: int, of: int) -> None:
        if done == 2 and not killed:
            killed.append(crew._actors[0])
            crew._ray.kill(crew._actors[0])

    settings = RolloutSettings(CUSTOMERS, PERIODS, seed=8, shard_size=1000, workers=2)
    totals = roll_out(settings, *market(), crew, progress=kill_one)
    assert killed
    assert os.environ["RAY_AUTH_MODE"] == "token"
    np.testing.assert_array_equal(np.stack([t.counts for t in totals]), whole)
