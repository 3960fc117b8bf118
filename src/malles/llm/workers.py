"""One process per core: prompts are cut into blocks, every process reads its own copy of the model.

Two threads inside one small model gain little (1.35 times, measured); two processes use both cores. The
answers do not depend on how many there are: blocks are cut by prompt, not by worker.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from numpy import ndarray

from malles.llm.encoding import Encoded

if TYPE_CHECKING:
    from malles.llm.backends.local import LocalBackend, Progress

BLOCK = 64
"""Prompts per task."""

_backend: LocalBackend | None = None


def _start(folder: str) -> None:
    import torch

    from malles.llm.adapter import load_reader
    from malles.llm.backends.local import LocalBackend

    global _backend  # noqa: PLW0603  (one model per process)
    torch.set_num_threads(1)
    _backend = LocalBackend(load_reader(Path(folder)))


def _score(encoded: list[Encoded]) -> list[ndarray]:
    assert _backend is not None
    return _backend.utilities(encoded)


class Workers:
    """Processes that each hold the aligned model of `folder`; use it in a `with` block."""

    def __init__(self, folder: Path, count: int) -> None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._pool = ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(str(folder),),
        )

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def utilities(
        self, encoded: Sequence[Encoded], progress: Progress | None = None
    ) -> list[Float[ndarray, " alternative"]]:
        """V of every prompt, in order. Prompts are sorted by length first, so that a block has one length."""
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        blocks = [order[a : a + BLOCK] for a in range(0, len(order), BLOCK)]
        out: list[ndarray] = [None] * len(encoded)  # type: ignore[list-item]
        found = self._pool.map(_score, [[encoded[i] for i in rows] for rows in blocks])
        done = 0
        for rows, utilities in zip(blocks, found, strict=True):
            for i, v in zip(rows, utilities, strict=True):
                out[i] = v
            done += len(rows)
            if progress is not None:
                progress(done, len(encoded))
        return out
