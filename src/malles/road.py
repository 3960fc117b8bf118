"""What all stages of a run share: settings, journal, and the tables that several stages need.

Tables are made when they are first asked for. A run in which nothing has changed asks for none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from malles.config import Config
from malles.journal import Run, Step
from malles.vocabulary import Catalogue, ChoiceData, DataSet, Occasions

if TYPE_CHECKING:
    from malles.profiles.features import FeatureStore


T = TypeVar("T")


class Tell(Protocol):
    """Tells the person who waits how far it is."""

    def __call__(self, title: str, done: float | None = None, total: float | None = None) -> None:
        """The stage named `title` has done `done` of `total`."""
        ...


def be_silent(title: str, done: float | None = None, total: float | None = None) -> None:
    """Tells nobody."""


@dataclass
class Road:
    """One run on its way from transactions to the report; `malles.pipeline` shows the way."""

    config: Config
    run: Run
    tell: Tell = be_silent
    steps: dict[str, Step[Any]] = field(default_factory=dict)
    """Finished stages by name."""
    _features: dict[str, ChoiceData] = field(default_factory=dict)
    _shared: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def dataset(self) -> DataSet:
        """The checked tables."""
        from malles.data.loading import load_dataset

        self.tell("reading transactions")
        return load_dataset(str(self.config.data.path or self.config.data.name))

    @cached_property
    def catalogue(self) -> Catalogue:
        """The data set coded for computation."""
        from malles.occasions.catalogue import build_catalogue

        return build_catalogue(self.dataset, fit_until_week=self.config.occasions.fit_until)

    @cached_property
    def feature_store(self) -> FeatureStore:
        """The catalogue's lines indexed for features."""
        from malles.profiles.features import FeatureStore

        return FeatureStore(self.catalogue)

    def occasions(self, part: str) -> Occasions:
        """Occasions of 'train' or 'valid', as the stage `occasions` kept them."""
        found: Occasions = self.steps[f"occasions {part}"].value
        return found

    def features(self, part: str) -> ChoiceData:
        """Occasions of 'train' or 'valid' with what a model may see of them."""
        if part not in self._features:
            from malles.profiles.features import build_features

            self.tell(f"features of the {part} occasions")
            self._features[part] = build_features(
                self.catalogue, self.occasions(part), self.config.occasions.regime, store=self.feature_store
            )
        return self._features[part]

    def forget_features(self, part: str) -> None:
        """Free the memory of a feature table; asking again builds it again."""
        self._features.pop(part, None)

    def shared(self, name: str, build: Callable[[], T]) -> T:
        """Something several stages use, built when it is first asked for."""
        if name not in self._shared:
            self._shared[name] = build()
        found: T = self._shared[name]
        return found
