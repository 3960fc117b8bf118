"""The same crew on a Ray cluster: one actor per worker, the same shards, the same bits (extra `scale`).

A cluster runs the code of whoever reaches it, so nothing starts without token authentication, and the
dashboard stays off. The truth is in the run's journal, not in the cluster: when an actor is lost, all are
built again and the roll-out goes on from the last kept state.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from typing import Any

from malles.errors import MissingExtra, RunError
from malles.scale.crews import Crew, WorkerLostError
from malles.scale.shards import ShardPlan, ShardWorker


class RayCrew(Crew):
    """Actors on a Ray cluster.

    Args:
        address: of a running cluster, for example 'auto'; None starts one on this machine.
        processors: that a cluster started here may use; None: all.

    Raises:
        MissingExtra: Ray is not installed.
        RunError: the cluster is another's and RAY_AUTH_MODE is not 'token'.
    """

    def __init__(self, address: str | None = None, processors: int | None = None) -> None:
        if address is None:
            os.environ["RAY_AUTH_MODE"] = "token"
            if not os.environ.get("RAY_AUTH_TOKEN") and not os.environ.get("RAY_AUTH_TOKEN_PATH"):
                os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        elif os.environ.get("RAY_AUTH_MODE") != "token":
            raise RunError(
                f"the cluster at {address!r} would let anybody run code; start it with RAY_AUTH_MODE=token "
                "and set the same here, with RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH."
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as problem:
            raise MissingExtra("a crowd on a cluster", "Ray", "scale") from problem
        self._ray: Any = ray
        self._own = address is None and not ray.is_initialized()
        if not ray.is_initialized():
            here = (
                {"num_cpus": processors, "include_dashboard": False}
                if address is None
                else {"address": address}
            )
            ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **here)
        self._actors: list[Any] = []

    def start(self, plans: Sequence[ShardPlan]) -> None:
        """One actor for each plan, wherever the cluster has a free processor."""
        for actor in self._actors:
            self._ray.kill(actor)
        remote = self._ray.remote(num_cpus=1)(ShardWorker)
        self._actors = [remote.remote(plan) for plan in plans]
        self.ask("peak_memory")

    def ask(self, method: str, *given: Any) -> list[Any]:
        """Ask all at once; what is given is stored once for all of them."""
        kept = [self._ray.put(g) for g in given]
        try:
            return list(self._ray.get([getattr(a, method).remote(*kept) for a in self._actors]))
        except self._ray.exceptions.RayActorError as problem:
            raise WorkerLostError(str(problem)) from problem

    def stop(self) -> None:
        """Let the actors go; a cluster that was started here ends."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._own:
            self._ray.shutdown()
