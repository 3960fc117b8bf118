"""From the settings of a run to an aligned language model: fit one, or read one that was fitted before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from malles.choice.model import ChoiceModel
from malles.config import LanguageSettings
from malles.errors import ConfigError, ModelError, UsageError
from malles.llm.choice_model import AlignedSettings, FitSkip, FittedAligned, Progress
from malles.llm.folders import read_json
from malles.llm.libraries import check_installed
from malles.llm.weights import find_weights
from malles.vocabulary import ChoiceData

PACKAGES = ("torch", "transformers", "peft")
NEEDED_FOR = "a language model (hf)"
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
    check_language(options, "")
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


def check_language(options: LanguageSettings, data: str) -> str:
    """Check the section [llm] in a moment, before anything is computed; says what would be done.

    Args:
        options: the section.
        data: name of the data set.

    Raises:
        ConfigError: no model can have that name, or it has not so many layers.
        ModelError: the model or the adapter is not here, or is damaged.
        MissingExtra: a package is not installed.
    """
    check_installed(NEEDED_FOR, *PACKAGES)
    if options.adapter:
        folder = find_adapter(options.adapter, data)
        model = str(read_json(folder / "reader.json").get("reader", {}).get("model"))
        return f"hf is read: the adapter in {folder} on {model} in {_find_model(model, 'of this adapter')}"
    folder = _find_model(options.model, "")
    has = read_json(folder / "config.json").get("num_hidden_layers")
    if isinstance(has, int) and options.layers > has:
        raise ConfigError(
            f"[llm] layers = {options.layers}, but {options.model} has {has} layers; take at most {has}, "
            "or 0 for all."
        )
    limit = f"for {options.minutes:g} processor-minutes" if options.minutes else f"for {options.steps} steps"
    added = "on top of the set model" if options.skip else "from the words alone"
    return f"hf is post-trained {limit} {added}: {options.model} in {folder}"


def _find_model(name: str, whose: str) -> Path:
    """The folder of a base model; what is wrong is said with the setting's name."""
    try:
        return find_weights(name)
    except (UsageError, ModelError) as problem:
        kind = ConfigError if isinstance(problem, UsageError) else ModelError
        setting = f"The model {whose}" if whose else f"[llm] model = {name!r}"
        raise kind(
            f"{setting} is not there: {problem} It may be smollm2, an owner/name that was pulled "
            "(malles models list), or a folder in the Hugging Face layout."
        ) from None


def find_adapter(name: str, data: str) -> Path:
    """The folder of an adapter: 'shipped' for the data set's own, or a folder.

    Raises:
        ModelError: none is shipped for this data set, or the folder holds none.
    """
    if name != "shipped":
        folder = Path(name).expanduser()
        if not (folder / "reader.json").is_file():
            raise ModelError(
                f"[llm] adapter = {name!r} holds no adapter (no reader.json there); give the folder of one, "
                "such as runs/RUN/03-models/hf, or 'shipped', or '' to fit one."
            )
        return folder
    shipped = sorted(p.parent.name for p in SHIPPED.glob("*/reader.json"))
    if data not in shipped:
        raise ModelError(
            f"No adapter is shipped for the data set {data!r}, only for {', '.join(shipped)}; "
            'set llm.adapter = "" to fit one.'
        )
    return SHIPPED / data


def read_adapter(name: str, data: ChoiceData, load_skip: Callable[[Path], ChoiceModel]) -> FittedAligned:
    """An adapter that was fitted before: 'shipped', or a folder.

    Args:
        name: what the section says.
        data: any occasions of the run; the adapter must fit their regime and features.
        load_skip: reads its set model.

    Raises:
        ModelError: none is shipped for this data set, or the adapter does not fit the data.
    """
    check_installed(NEEDED_FOR, *PACKAGES)
    folder = find_adapter(name, data.catalogue.name if data.catalogue is not None else "unknown")
    model = FittedAligned.load(folder, load_skip)
    if model.regime is not data.regime:
        raise ModelError(
            f"The adapter in {folder} was aligned in the regime {model.regime.value!r}, this run is "
            f'{data.regime.value!r}; set llm.adapter = "" to fit one.'
        )
    known = getattr(model.skip, "feature_names", data.feature_names)
    if tuple(known) != data.feature_names:
        missing = sorted(set(known) ^ set(data.feature_names))
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
