"""From the settings of a run to an aligned language model: fit one, or read one that was fitted before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from malles.choice.model import ChoiceModel
from malles.config import LanguageSettings
from malles.errors import ModelError
from malles.llm.choice_model import AlignedSettings, FitSkip, FittedAligned, Progress
from malles.llm.libraries import check_installed
from malles.vocabulary import ChoiceData

SHIPPED = Path(__file__).parent / "shipped"
"""Adapters that come with malles, by name of the data set they learnt from."""


def align(
    options: LanguageSettings,
    train: ChoiceData,
    valid: ChoiceData,
    group: ndarray,
    *,
    fit_skip: FitSkip,
    load_skip: Callable[[Path], ChoiceModel],
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
    facts: dict[str, Any] | None = None,
) -> FittedAligned:
    """Post-train a language model as the section [llm] says.

    Args:
        options: the section.
        train: occasions with known choices; their category codes balance the batches.
        valid: later occasions.
        group: what the skip of `launch` is crossed over.
        fit_skip: fits the set model that is added to, or that teaches.
        load_skip: reads it back.
        seed: of everything random.
        folder: of checkpoints.
        progress: called as `progress(step, steps, loss)`.
        facts: origin and terms of the data, for the model card.
    """
    check_installed("a language model (hf)", "torch", "transformers", "peft")
    from malles.llm.reader import ReaderSettings
    from malles.llm.training.loop import TrainingSettings
    from malles.llm.training.losses import LossWeights

    settings = AlignedSettings(
        reader=ReaderSettings(
            model=options.model,
            layers=options.layers,
            tuned_layers=options.tuned_layers,
            rank=options.rank,
            targets=options.targets,
            width=options.width,
            attention=options.attention,
            longest=options.longest,
        ),
        training=TrainingSettings(
            steps=options.steps,
            batch=options.batch,
            alternatives=options.alternatives,
            rate=options.rate,
            pointer_rate=options.pointer_rate,
            balance=options.balance,
            averaging=options.averaging,
            rewording=options.rewording,
            paired=options.paired,
            response=options.changed,
            minutes=options.minutes,
            checkpoint=options.checkpoint,
            look=options.look,
            seed=seed,
            loss=LossWeights(**options.losses.model_dump()),
        ),
        fit_skip=fit_skip,
        load_skip=load_skip,
        skip=options.skip,
        occasions=options.occasions,
        wordings=options.wordings,
        facts=facts or {"data": train.catalogue.name if train.catalogue is not None else "unknown"},
    )
    return settings.fit(train, valid, group, folder=folder, progress=progress)


def read_adapter(name: str, train: ChoiceData, load_skip: Callable[[Path], ChoiceModel]) -> FittedAligned:
    """An adapter that was fitted before: 'shipped', or a folder.

    Raises:
        ModelError: none is shipped for this data set, or the adapter does not fit the data.
    """
    check_installed("a language model (hf)", "torch", "transformers", "peft")
    folder = Path(name)
    if name == "shipped":
        data = train.catalogue.name if train.catalogue is not None else "unknown"
        folder = SHIPPED / data
        shipped = sorted(p.parent.name for p in SHIPPED.glob("*/reader.json"))
        if data not in shipped:
            raise ModelError(
                f"No adapter is shipped for the data set {data!r}, only for {', '.join(shipped)}; "
                'set llm.adapter = "" to fit one.'
            )
    model = FittedAligned.load(folder, load_skip)
    if model.regime is not train.regime:
        raise ModelError(
            f"The adapter in {folder} was aligned in the regime {model.regime.value!r}, this run is "
            f'{train.regime.value!r}; set llm.adapter = "" to fit one.'
        )
    known = getattr(model.skip, "feature_names", train.feature_names)
    if tuple(known) != train.feature_names:
        missing = sorted(set(known) ^ set(train.feature_names))
        raise ModelError(
            f"The adapter in {folder} was fitted on other features (differing: {', '.join(missing[:3])}); "
            'set llm.adapter = "" to fit one.'
        )
    return model


def fixed_sample(occasions: int, count: int, seed: int = 300) -> ndarray:
    """The rows of a fixed sample of held-out occasions, in order.

    >>> len(fixed_sample(1000, 300)), len(fixed_sample(10, 300))
    (300, 10)
    """
    if occasions <= count:
        return np.arange(occasions)
    return np.sort(np.random.default_rng([seed, count]).choice(occasions, count, replace=False))
