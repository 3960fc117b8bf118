"""Every choice model by name: how it is fitted, and how a saved one is read back."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy import ndarray

from malles.choice.model import ChoiceModel
from malles.config import LanguageSettings, ServedSettings
from malles.errors import ConfigError, MissingExtra, ModelError, did_you_mean
from malles.vocabulary import ChoiceData, Regime

Tell = Callable[[float, float], None]
"""Told (done, total) while a model is fitted."""


@dataclass(frozen=True)
class Engine:
    """One kind of choice model; its module is imported only when it is used."""

    module: str
    settings: str
    """Class of the unfitted model, with `fit(train, valid)`."""
    fitted: str
    """Class of the fitted model, with `load(folder)`."""
    seeded: bool = False
    """Whether fitting draws random numbers."""
    by_group: bool = False
    """Whether the fit stops and calibrates on groups of categories left out, not on later weeks."""
    slow: bool = False
    """Whether an answer costs so much that a sample of the held-out occasions is scored, not all."""
    needs: tuple[str, str] | None = None
    """Package that it cannot be fitted without, and the extra that installs it."""

    def check(self, name: str, data: str, options: LanguageSettings | ServedSettings | None = None) -> str:
        """Check what can be checked in a moment, before anything is computed; says what fitting would do.

        Args:
            name: of the model, for the sentences.
            data: name of the data set.
            options: settings of language models; other engines ignore them.

        Raises:
            ConfigError: a setting cannot be right.
            ModelError: a language model or an adapter is not here.
            MissingExtra: a package is not installed.
        """
        del data, options
        if self.needs is not None and not is_installed(self.needs[0]):
            raise MissingExtra(f"the model {name!r}", *self.needs)
        return f"{name} is fitted"

    def fit(
        self,
        train: ChoiceData,
        valid: ChoiceData,
        group: ndarray,
        *,
        seed: int,
        tell: Tell | None = None,
        options: LanguageSettings | ServedSettings | None = None,
        folder: Path | None = None,
    ) -> ChoiceModel:
        """Fit on `train`; stop or set the temperature on `valid`.

        Args:
            train: occasions with known choices.
            valid: later occasions.
            group: group of categories of every training occasion.
            seed: of everything random.
            tell: told how far the fit is.
            options: settings of language models; other engines ignore them.
            folder: where a language model keeps checkpoints; other engines ignore it.
        """
        del options, folder
        model = self._find(self.settings)(**({"seed": seed} if self.seeded else {}))
        if self.by_group:
            fitted: ChoiceModel = model.fit(train, group)
        elif self.module.startswith("malles.head") and tell is not None:
            fitted = model.fit(train, valid, progress=lambda i, n, loss: tell(i, n))
        else:
            fitted = model.fit(train, valid)
        return fitted

    def load(self, folder: Path) -> ChoiceModel:
        """Read a model written by `save`."""
        model: ChoiceModel = self._find(self.fitted).load(folder)
        return model

    def _find(self, name: str) -> Any:
        return getattr(importlib.import_module(self.module), name)


@dataclass(frozen=True)
class AlignedEngine(Engine):
    """A language model post-trained on top of the set model, or the adapter that comes with malles."""

    def check(self, name: str, data: str, options: LanguageSettings | ServedSettings | None = None) -> str:
        """Check the section [llm]: libraries, adapter, base model."""
        from malles.llm.aligning import check_language

        return check_language(options if isinstance(options, LanguageSettings) else LanguageSettings(), data)

    def read(self, options: LanguageSettings, data: ChoiceData) -> ChoiceModel:
        """Read the adapter that `options` names, if it fits `data`, which may be any occasions of the run."""
        from malles.llm.aligning import read_adapter

        return read_adapter(options.adapter, data, partial(load_engine, name="head", regime=data.regime))

    def fit(
        self,
        train: ChoiceData,
        valid: ChoiceData,
        group: ndarray,
        *,
        seed: int,
        tell: Tell | None = None,
        options: LanguageSettings | ServedSettings | None = None,
        folder: Path | None = None,
    ) -> ChoiceModel:
        """Fit on `train`, or read the adapter that `options` names."""
        from malles.llm.aligning import align

        options = options if isinstance(options, LanguageSettings) else LanguageSettings()
        if options.adapter:
            return self.read(options, train)
        load = partial(load_engine, name="head", regime=train.regime)
        head = find_engine("head", train.regime)

        def fit_skip(part: ChoiceData, later: ChoiceData, of: ndarray, fold: int) -> ChoiceModel:
            if fold >= 0 and not head.by_group:  # half of the data: one pass less
                from malles.head.model import HeadSettings

                return HeadSettings(seed=seed + 1 + fold, epochs=6).fit(part, later)
            return head.fit(part, later, of, seed=seed + 1 + fold)

        return align(
            options,
            train,
            valid,
            group,
            fit_skip=fit_skip,
            load_skip=load,
            seed=seed,
            folder=folder,
            progress=None if tell is None else (lambda i, n, loss: tell(i, n)),
        )

    def load(self, folder: Path) -> ChoiceModel:
        """Read an aligned model and its skip."""
        from malles.llm.choice_model import FittedAligned

        regime = FittedAligned.regime_of(folder)
        return FittedAligned.load(folder, partial(load_engine, name="head", regime=regime))


@dataclass(frozen=True)
class ServedEngine(Engine):
    """A language model behind a server; only its fallback is fitted."""

    def check(self, name: str, data: str, options: LanguageSettings | ServedSettings | None = None) -> str:
        """Check the section [api] without asking the server: package, model, address, key, fallback."""
        from malles.llm.served import describe, resolve

        settings = resolve(options if isinstance(options, ServedSettings) else ServedSettings())
        fallback = find_engine(settings.fallback)
        if fallback.slow:
            raise ConfigError(
                f"[api] fallback = {settings.fallback!r} is a language model itself; "
                "name a quick one, for example 'head'."
            )
        fallback.check(settings.fallback, data)
        return describe(settings)

    def fit(
        self,
        train: ChoiceData,
        valid: ChoiceData,
        group: ndarray,
        *,
        seed: int,
        tell: Tell | None = None,
        options: LanguageSettings | ServedSettings | None = None,
        folder: Path | None = None,
    ) -> ChoiceModel:
        """Ask the server whether it answers, then fit the fallback that `options` names.

        Raises:
            ConfigError: no model is named, its address is refused, or the fallback is a language model.
            ModelError: the server cannot be used.
        """
        from malles.llm.served import ServedModel, probe, resolve

        self.check("api", "", options)
        settings = resolve(options if isinstance(options, ServedSettings) else ServedSettings())
        probe(settings)
        fallback = find_engine(settings.fallback, train.regime)
        fitted = fallback.fit(train, valid, group, seed=seed, tell=tell)
        return ServedModel(settings, train.regime, fitted)

    def load(self, folder: Path) -> ChoiceModel:
        """Read the settings and the fallback; the server is asked when the model predicts."""
        from malles.llm.served import ServedModel

        settings, regime = ServedModel.read_about(folder)
        return ServedModel.load(folder, partial(load_engine, name=settings.fallback, regime=regime))


ENGINES = {
    "random": Engine("malles.baselines.random_choice", "Random", "FittedRandom"),
    "cheapest": Engine("malles.baselines.cheapest", "Cheapest", "FittedCheapest"),
    "popularity_chain": Engine("malles.baselines.popularity", "PopularityChain", "FittedPopularityChain"),
    "popularity": Engine("malles.baselines.popularity", "PopularityStore", "FittedPopularityStore"),
    "last_purchased": Engine("malles.baselines.last_purchased", "LastPurchased", "FittedLastPurchased"),
    "personal_frequency": Engine(
        "malles.baselines.personal_frequency", "PersonalFrequency", "FittedPersonalFrequency"
    ),
    "cognitive": Engine("malles.cognition.core", "CognitiveCore", "FittedCognitiveCore"),
    "conditional_logit": Engine("malles.baselines.logit", "ConditionalLogit", "FittedConditionalLogit"),
    "latent_class": Engine("malles.baselines.latent_class", "LatentClass", "FittedLatentClass", seeded=True),
    "lightgbm": Engine(
        "malles.baselines.boosting",
        "BoostedTrees",
        "FittedBoostedTrees",
        seeded=True,
        needs=("lightgbm", "models"),
    ),
    "head": Engine("malles.head.model", "HeadSettings", "FittedHead", seeded=True, needs=("torch", "torch")),
    "hf": AlignedEngine(
        "malles.llm.choice_model", "AlignedSettings", "FittedAligned", seeded=True, slow=True
    ),
    "api": ServedEngine("malles.llm.served", "ServedModel", "ServedModel", slow=True),
}
"""In the order in which they appear in every table."""

LAUNCH_HEAD = Engine(
    "malles.head.launch",
    "LaunchSettings",
    "FittedLaunchHead",
    seeded=True,
    by_group=True,
    needs=("torch", "torch"),
)
"""What `head` is in the regime `launch`: a set model that knows no category."""


def find_engine(name: str, regime: Regime = Regime.FULL) -> Engine:
    """The engine of this name in an information regime.

    Raises:
        ConfigError: there is none; the message names close ones.
    """
    if name not in ENGINES:
        hint = did_you_mean(name, ENGINES) or f"There are: {', '.join(ENGINES)}."
        raise ConfigError(f"There is no model {name!r}. {hint}")
    return LAUNCH_HEAD if name == "head" and regime is Regime.LAUNCH else ENGINES[name]


def load_engine(folder: Path, name: str, regime: Regime = Regime.FULL) -> ChoiceModel:
    """Read a saved choice model.

    Raises:
        ModelError: the folder is missing, or another model was saved there.
    """
    if not folder.is_dir():
        raise ModelError(f"There is no saved model in {folder}. Fit one with: malles fit CONFIG")
    return find_engine(name, regime).load(folder)


def is_installed(package: str) -> bool:
    """Whether a package can be imported, without importing it.

    >>> is_installed("json"), is_installed("no_such_package")
    (True, False)
    """
    return sys.modules.get(package, ...) is not None and importlib.util.find_spec(package) is not None


def market_model(names: Sequence[str]) -> str:
    """The model that decides for whole markets: the last one named that answers in microseconds.

    >>> market_model(["lightgbm", "head", "hf"])
    'head'
    """
    quick = [name for name in names if not find_engine(name).slow]
    return (quick or list(names))[-1]
