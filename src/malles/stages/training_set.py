"""The training occasions of a configuration as conversations, for trainers of other programs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from malles.config import Config
from malles.journal import open_run
from malles.road import Road, Tell, be_silent
from malles.stages.occasions import build_part
from malles.stages.transactions import read_transactions
from malles.store import Manifest

if TYPE_CHECKING:
    from malles.llm.export import Exported


def export_training_set(
    config: Config, path: Path, *, limit: int | None = None, tell: Tell = be_silent
) -> Exported:
    """Walk from transactions to the features of the training occasions, and write them as chat JSONL.

    The journal of this short walk lies in a temporary folder. A limit takes a sample, not the first
    occasions; sample and order of alternatives follow the seed of the models.
    """
    from malles.llm.choice_examples import build_examples
    from malles.llm.export import export_chat

    rng = np.random.default_rng([config.models.seed, 26])
    with TemporaryDirectory() as folder:
        manifest = Manifest(id="export", command="export", config=config.model_dump(mode="json"))
        with open_run(Path(folder) / "export", manifest) as run:
            road = Road(config, run, tell)
            read_transactions(road)
            build_part(road, "train")
            data = road.features("train")
    order = rng.permutation(len(data)) if limit is not None else np.arange(len(data))
    examples = build_examples(data, data.occasions.category).take(order)
    title = "writing conversations"
    return export_chat(
        examples, path, limit=limit, tell=lambda done, total: tell(title, done, limit or total), rng=rng
    )
