"""One batch of post-training: which occasions, which of their lines, in which order and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray

from malles.llm.attention import Watch
from malles.llm.encoding import PADDED, Batch, Encoded, collate
from malles.llm.prompt import Field
from malles.llm.reader import Reader, pad
from malles.llm.training.examples import Examples
from malles.llm.wording import CANONICAL, REWORDINGS

if TYPE_CHECKING:
    from malles.llm.training.loop import TrainingSettings


def draw_rows(chance: ndarray, settings: TrainingSettings, step: int) -> ndarray:
    """Rows of batch number `step`: a function of the seed and the step."""
    rng = np.random.default_rng([settings.seed, 11, step])
    return np.minimum(np.searchsorted(chance, rng.random(settings.batch)), len(chance) - 1)


@dataclass(frozen=True)
class Tables:
    """What the losses need to know of a batch, by line as it is read."""

    skip: torch.Tensor
    chosen: torch.Tensor
    teacher: torch.Tensor | None
    units: torch.Tensor | None
    usual: torch.Tensor


def draw_lines(source: Examples, row: int, settings: TrainingSettings, rng: np.random.Generator) -> ndarray:
    """Which lines of an occasion are read, in which order: the chosen one, and a sample of the others."""
    count = len(source.render(row, CANONICAL))
    order = rng.permutation(count)
    most = settings.alternatives
    if not most or count <= most:
        return order
    chosen = int(source.chosen[row])
    if chosen >= 0:
        others = order[order != chosen][: most - 1]
        return rng.permutation(np.append(others, chosen))
    return order[:most]


def read_batch(
    reader: Reader,
    source: Examples,
    rows: ndarray,
    drawn: list[ndarray],
    settings: TrainingSettings,
    rng: np.random.Generator,
    *,
    force: bool = False,
) -> tuple[Batch, Tables]:
    """Render and encode the drawn lines of the drawn rows.

    Args:
        reader: whose tokens.
        source: the examples.
        rows: from `draw_rows`.
        drawn: from `draw_lines`, one per row.
        settings: how many prompts are reworded.
        rng: of the rewordings.
        force: reword every prompt.
    """
    encoded: list[Encoded] = []
    for row, order in zip(rows, drawn, strict=True):
        reword = force or rng.random() < settings.rewording
        wording = REWORDINGS[rng.integers(len(REWORDINGS))] if reword else CANONICAL
        encoded.append(reader.encoder.encode(source.render(int(row), wording).reorder(order.tolist())))
    batch = collate(encoded)
    J = batch.present.shape[1]

    def gather(table: ndarray | None, fill: float) -> torch.Tensor | None:
        if table is None:
            return None
        return torch.from_numpy(pad([table[r][o] for r, o in zip(rows, drawn, strict=True)], J, fill)).to(
            reader.device
        )

    chosen = np.array(
        [
            int(np.flatnonzero(order == source.chosen[row])[0]) if source.chosen[row] >= 0 else -1
            for row, order in zip(rows, drawn, strict=True)
        ]
    )
    skip = gather(source.skip, 0.0)
    assert skip is not None
    usual = gather(source.usual, 0.0)
    units = None
    if source.units is not None:
        units = torch.from_numpy(source.units[rows].astype(np.int64)).to(reader.device)
    return batch, Tables(
        skip,
        torch.from_numpy(chosen).to(reader.device),
        gather(source.teacher, -1e9),
        units,
        torch.zeros_like(skip) if usual is None else usual,
    )


def watch_lines(reader: Reader, batch: Batch) -> Watch:
    """Look at the decision rows in the upper half of the layers."""
    one_hot = np.eye(len(Field), dtype=np.float32)[batch.field]
    one_hot *= (batch.owner != PADDED)[:, :, None]
    return Watch(
        torch.from_numpy(batch.end).long().to(reader.device),
        torch.from_numpy(one_hot).to(reader.device),
        frozenset(range(reader.depth // 2, reader.depth)),
    )
