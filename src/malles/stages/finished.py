"""A finished run, opened for reading: its settings, its data set, its models."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from malles.choice.model import ChoiceModel
from malles.config import Config, build_config
from malles.engines import load_engine
from malles.errors import ModelError, RunError, did_you_mean
from malles.road import Tell
from malles.store import find_run, load_manifest
from malles.vocabulary import Catalogue, ChoiceData, DataSet, Occasions

if TYPE_CHECKING:
    from malles.profiles.features import FeatureStore


@dataclass
class FinishedRun:
    """Models of a run and the data set they were fitted on."""

    folder: Path
    config: Config
    fingerprint: str
    tell: Tell
    _models: dict[str, ChoiceModel] = field(default_factory=dict)

    @cached_property
    def dataset(self) -> DataSet:
        """The data set; it must be the one that the models were fitted on.

        Raises:
            RunError: its content has changed since.
        """
        from malles.data.loading import load_dataset

        self.tell("reading transactions")
        data = load_dataset(str(self.config.data.path or self.config.data.name))
        now = str(data.provenance.get("fingerprint", ""))
        if now != self.fingerprint:
            raise RunError(
                f"The data set {data.name!r} has changed since run {self.folder.name!r} (content {now[:12]} "
                f"instead of {self.fingerprint[:12]}); fit again with: malles fit CONFIG"
            )
        return data

    @cached_property
    def feature_store(self) -> FeatureStore:
        """The catalogue's lines indexed for features."""
        from malles.profiles.features import FeatureStore

        return FeatureStore(self.catalogue)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The data set as it was coded for fitting."""
        from malles.occasions.catalogue import build_catalogue

        return build_catalogue(self.dataset, fit_until_week=self.config.occasions.fit_until)

    def features(self, occasions: Occasions) -> ChoiceData:
        """What the models of this run may see of occasions."""
        from malles.profiles.features import build_features

        regime = self.config.occasions.regime
        return build_features(self.catalogue, occasions, regime, store=self.feature_store)

    def model(self, name: str) -> ChoiceModel:
        """One of the run's choice models.

        Raises:
            ModelError: the run has no such model.
        """
        if name not in self.config.models.names:
            hint = did_you_mean(name, self.config.models.names)
            raise ModelError(
                f"Run {self.folder.name!r} has no model {name!r}; it has "
                f"{', '.join(self.config.models.names)}. {hint}".rstrip()
            )
        if name not in self._models:
            self._models[name] = load_engine(
                self.folder / "03-models" / name, name, self.config.occasions.regime
            )
        return self._models[name]


def open_finished(root: Path, run: str, tell: Tell) -> FinishedRun:
    """Open a run for reading.

    Raises:
        RunError: there is no such run, or it stopped before its models were fitted.
    """
    folder = find_run(root, run)
    manifest = load_manifest(folder)
    config = build_config(manifest.config, origin=f"{folder}/run.json")
    missing = [name for name in config.models.names if not (folder / "03-models" / name).is_dir()]
    if missing:
        raise RunError(
            f"Run {run!r} stopped before {missing[0]!r} was fitted; go on with: malles runs resume {run}"
        )
    return FinishedRun(folder, config, manifest.fingerprint, tell)
