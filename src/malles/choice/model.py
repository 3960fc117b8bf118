"""The protocols that every choice model, quantity model and incidence model follows.

A model is fitted by a settings object with `fit(...)`; what comes back is another, frozen type that
follows one of these protocols, can `save(folder)` itself without pickle, and is read back by `load(folder)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from malles.vocabulary import ChoiceData


@runtime_checkable
class ChoiceModel(Protocol):
    """A function from choice occasions to distributions over their alternatives."""

    @property
    def name(self) -> str:
        """What tables call the model."""
        ...

    def predict(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities: rows sum to one, unavailable columns are exactly 0."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model to a new folder (JSON and safetensors or text, never pickle)."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`; another version raises ModelError."""
        ...


@runtime_checkable
class QuantityModel(Protocol):
    """A function from choice occasions to the units bought of each alternative, given that it is bought."""

    @property
    def name(self) -> str:
        """What tables call the model."""
        ...

    def predict(
        self, data: ChoiceData
    ) -> tuple[Float[ndarray, "occasion alternative"], Float[ndarray, "occasion alternative"]]:
        """(mean, median) units per alternative; 0 in unavailable columns, else >= 1."""
        ...

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self: ...
