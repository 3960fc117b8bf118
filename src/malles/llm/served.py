"""Engine `api`: a language model behind a server as a choice model, asked as it is.

    P[n, j] = what the server says of the letter of j          (`malles.llm.backends.api`)
    P[n, j] = what the fallback says, where the server gave nothing usable; such rows are counted and shown

Nothing is fitted but the fallback. Too many unusable rows are an error, not a number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.choice.model import ChoiceModel
from malles.config import ServedSettings
from malles.data.home import data_home
from malles.errors import ConfigError, MissingExtra, ModelError
from malles.llm.backend import Backend, Scored
from malles.llm.backends.address import check_url
from malles.llm.backends.api import ApiBackend
from malles.llm.backends.api_settings import KEY_VARIABLE, ApiSettings
from malles.llm.wording import ChoicePrompts
from malles.vocabulary import ChoiceData, Regime

FORMAT = 1
"""Version of served.json."""
LEAST = 1e-9
"""No available alternative is given less: a logarithm must stay finite."""
Load = Callable[[Path], ChoiceModel]


def resolve(settings: ServedSettings) -> ServedSettings:
    """The settings with the address filled in from the environment: what a run depends on.

    Raises:
        ConfigError: no model is named, or the address is refused.
        MissingExtra: the package openai is not installed.
    """
    if find_spec("openai") is None:
        raise MissingExtra("asking a model server", "openai", "api")
    if not settings.model:
        raise ConfigError(
            "The engine 'api' needs the name of a model as its server knows it; "
            'write [api] model = "...", and base_url = "http://127.0.0.1:8000/v1" for a server of your own.'
        )
    return settings.model_copy(update={"base_url": check_url(_asked_as(settings).url())})


def describe(settings: ServedSettings) -> str:
    """What would be done with these settings, for a dry run.

    Raises:
        ConfigError: $OPENAI_API_KEY holds something that cannot be a key.
    """
    asked = _asked_as(settings)
    key = f"with the key of ${KEY_VARIABLE}" if asked.key() is not None else "without a key"
    return (
        f"api asks {settings.model} at {asked.url()} {key}, {settings.rotations} orders of each shelf; "
        f"{settings.fallback} is fitted for what it does not answer"
    )


def probe(settings: ServedSettings) -> str:
    """Ask the server one small question: 'logprobs' or 'samples', which is how it will be read.

    Raises:
        ModelError: it cannot be reached, refuses the key, or does not know the model.
    """
    with ApiBackend(_asked_as(settings)) as backend:  # no cache: it must answer now
        return backend.probe()


def _asked_as(settings: ServedSettings) -> ApiSettings:
    return ApiSettings(**settings.model_dump(exclude={"fallback", "shortlist_by", "cache"}))


@dataclass
class Counts:
    """How a served model answered so far."""

    asked: int = 0
    """Occasions."""
    unusable: int = 0
    """Of those, the ones without a usable answer: the fallback answered."""
    long: int = 0
    """Of those, the ones whose shelf had to be split or shortened to a shortlist."""
    problems: dict[str, int] = field(default_factory=dict)
    """Occasions without a usable answer, by cause."""


@dataclass(frozen=True)
class ServedModel:
    """A server's language model, and the fitted model that answers where it does not."""

    settings: ServedSettings
    regime: Regime
    fallback: ChoiceModel
    backend: Backend | None = field(default=None, repr=False)
    """Who is asked; None opens the server that the settings name."""
    counts: Counts = field(default_factory=Counts)
    name: str = "api"

    @property
    def unusable(self) -> int:
        """Occasions that the fallback answered because the server's answer was unusable."""
        return self.counts.unusable

    def remark(self) -> str:
        """How many answers were unusable, in one sentence for reports."""
        c = self.counts
        causes = ", ".join(f"{n} {cause}" for cause, n in sorted(c.problems.items()))
        said = f"{self.name} gave no usable answer for {c.unusable} of {c.asked} occasions"
        said += f" ({causes}); {self.fallback.name} answered those" if c.unusable else ""
        return f"{said}; {c.long} shelves were longer than one question." if c.long else f"{said}."

    def predict(self, data: ChoiceData, progress: Any = None) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities.

        Raises:
            ModelError: the server cannot be used, or too many answers are unusable.
            UsageError: it would take more than the budget; nothing was asked.
        """
        if data.regime is not self.regime:
            raise ModelError(
                f"This model was set up in the regime {self.regime.value!r}, but the features are of "
                f"{data.regime.value!r}; build them with the same regime."
            )
        prompts = ChoicePrompts(data)
        known = self.fallback.predict(data)
        columns = [prompts.columns(i) for i in range(len(data))]
        if progress is not None:
            progress(0, len(data))
        with self._open() as backend:
            asked = [prompts.prompt(i) for i in range(len(data))]
            if self.settings.shortlist_by == "fallback" and isinstance(backend, ApiBackend):
                priors = [np.log(np.maximum(known[i, c], LEAST)) for i, c in enumerate(columns)]
                scored = backend.score(asked, priors=priors)
            else:
                scored = backend.score(asked)
        self._count(scored, columns)
        probability = np.array(known, dtype=np.float64)
        for i, (one, c) in enumerate(zip(scored, columns, strict=True)):
            if one.log_probability is not None:
                p = np.maximum(np.exp(one.log_probability), LEAST)
                probability[i] = 0.0
                probability[i, c] = p / p.sum()
        if progress is not None:
            progress(len(data), len(data))
        return probability

    def _count(self, scored: list[Scored], columns: list[list[int]]) -> None:
        lost = [one.problem for one in scored if one.log_probability is None]
        counts = self.counts
        counts.asked += len(scored)
        counts.unusable += len(lost)
        counts.long += sum(len(c) > ApiSettings.model_fields["shortlist"].default for c in columns)
        for problem in lost:
            cause = problem.partition(":")[0] or "unknown"
            counts.problems[cause] = counts.problems.get(cause, 0) + 1
        if len(lost) > self.settings.unusable_share * len(scored):
            raise ModelError(
                f"{len(lost)} of {len(scored)} occasions stayed without a usable answer, more than the "
                f"{self.settings.unusable_share:.0%} that api.unusable_share allows. The first reason: "
                f"{lost[0]}"
            )

    @contextmanager
    def _open(self) -> Iterator[Backend]:
        if self.backend is not None:
            yield self.backend
            return
        cache = self.settings.cache or data_home() / "answers.sqlite"
        with ApiBackend(_asked_as(self.settings), cache=cache) as backend:
            yield backend

    def save(self, folder: Path) -> None:
        """Write the settings (there is no key among them) and the fallback to a new folder."""
        folder.mkdir(parents=True, exist_ok=False)
        about = {
            "format": FORMAT,
            "regime": self.regime.value,
            "settings": self.settings.model_dump(mode="json"),
        }
        (folder / "served.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        self.fallback.save(folder / "fallback")

    @staticmethod
    def read_about(folder: Path) -> tuple[ServedSettings, Regime]:
        """Settings and regime of a saved model.

        Raises:
            ModelError: the folder holds none, or one of another version.
        """
        path = folder / "served.json"
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']}, this malles reads {FORMAT}")
            return ServedSettings.model_validate(about["settings"]), Regime(about["regime"])
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise ModelError(
                f"{path} is missing or damaged ({problem}); set the model up again with: malles fit CONFIG"
            ) from problem

    @classmethod
    def load(cls, folder: Path, load_fallback: Load | None = None) -> Self:
        """Read a model written by `save`; `load_fallback` reads its fallback.

        Raises:
            ModelError: the folder holds none, or it is not said how the fallback is read.
        """
        settings, regime = cls.read_about(folder)
        if load_fallback is None:
            raise ModelError(f"The model in {folder} has a fallback; say how that is read (load_fallback).")
        return cls(settings, regime, load_fallback(folder / "fallback"))

    def with_backend(self, backend: Backend) -> Self:
        """The same model asking somebody else, with fresh counts."""
        return replace(self, backend=backend, counts=Counts())
