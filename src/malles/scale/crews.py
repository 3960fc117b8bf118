"""Who works on the shards: this process, or processes of its own. Both give the same answers in the same
order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from malles.scale.shards import ShardPlan, ShardWorker


class WorkerLostError(Exception):
    """A worker died, for example for lack of memory; its customers are gone and must be built again."""


class Crew(ABC):
    """One worker for each plan, from `start` to `stop`."""

    @abstractmethod
    def start(self, plans: Sequence[ShardPlan]) -> None:
        """Build everybody; a second call builds them anew, as they were before the first period."""

    @abstractmethod
    def ask(self, method: str, *given: Any) -> list[Any]:
        """What every worker answers to one method of `ShardWorker`, in the order of the plans.

        Raises:
            WorkerLostError: a worker died; call `start` again.
        """

    @abstractmethod
    def stop(self) -> None:
        """Let the workers go."""


class OneProcess(Crew):
    """All shards in this process, one after the other."""

    def __init__(self) -> None:
        self._workers: list[ShardWorker] = []

    def start(self, plans: Sequence[ShardPlan]) -> None:
        """Build everybody here."""
        self._workers = [ShardWorker(plan) for plan in plans]

    def ask(self, method: str, *given: Any) -> list[Any]:
        """Ask one after the other."""
        return [getattr(worker, method)(*given) for worker in self._workers]

    def stop(self) -> None:
        """Free the memory."""
        self._workers = []


class Processes(Crew):
    """A process of its own for every worker."""

    def __init__(self) -> None:
        self._pools: list[ProcessPoolExecutor] = []

    def start(self, plans: Sequence[ShardPlan]) -> None:
        """Start the processes; each builds its own customers."""
        self.stop()
        spawn = get_context("spawn")
        self._pools = [
            ProcessPoolExecutor(1, mp_context=spawn, initializer=_own, initargs=(plan,)) for plan in plans
        ]
        self.ask("peak_memory")

    def ask(self, method: str, *given: Any) -> list[Any]:
        """Ask all at once."""
        try:
            return [a.result() for a in [pool.submit(_answer, method, given) for pool in self._pools]]
        except BrokenProcessPool as problem:
            raise WorkerLostError(str(problem)) from problem

    def stop(self) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        self._pools = []


_worker: list[ShardWorker] = []


def _own(plan: ShardPlan) -> None:
    _worker[:] = [ShardWorker(plan)]


def _answer(method: str, given: tuple[Any, ...]) -> Any:
    return getattr(_worker[0], method)(*given)
