"""Engine `hf`: a post-trained language model as a choice model.

    V[j] = skip[j] + pointer[j](words),    P = softmax(V / temperature)

The skip is the log-probability of a fitted model (the set model, or the launch head), fitted first; what the
words add is learnt on top. While it is learnt, the skip of every household comes from a model that has not
seen it, so that the language model learns from honest residuals. Without a skip the model is text only, and
the fitted model may teach it instead.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import ModelError
from malles.llm.choice_examples import build_examples, by_column, by_line, change_prices, usual_units
from malles.llm.wording import CANONICAL, REWORDINGS, ChoicePrompts, Wording
from malles.vocabulary import ChoiceData, Regime

if TYPE_CHECKING:
    from malles.choice.model import ChoiceModel
    from malles.llm.reader import Reader, ReaderSettings
    from malles.llm.training.loop import History, TrainingSettings

Progress = Callable[[int, int, float], None]
FitSkip = Callable[[ChoiceData, ChoiceData, ndarray, int], "ChoiceModel"]
"""(training occasions, later occasions, group of each training occasion, fold) to a fitted model.

The fold is -1 for the model that is kept, 0 or 1 for those that only serve the training."""


@dataclass(frozen=True)
class AlignedSettings:
    """How a language model is aligned with choices; `fit` returns a `FittedAligned`."""

    reader: ReaderSettings
    training: TrainingSettings
    fit_skip: FitSkip
    load_skip: Callable[[Path], ChoiceModel]
    skip: bool = True
    """Whether the fitted model is added to (True) or only teaches (False: text only)."""
    occasions: int = 40_000
    """Training occasions that are drawn from; 0 takes all."""
    wordings: int = 1
    """Rewordings that an answer is averaged over."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the model card says of the data."""

    def fit(
        self,
        train: ChoiceData,
        valid: ChoiceData,
        group: ndarray,
        *,
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> FittedAligned:
        """Fit the skip, then post-train the language model.

        Args:
            train: occasions with known choices, and the catalogue they are of.
            valid: later occasions; without a skip the temperature is fitted on 300 of them.
            group: category of every training occasion, for balanced batches and honest skips.
            folder: checkpoints are kept there; training goes on from the last one.
            progress: called as `progress(step, steps, loss)`.
        """
        from malles.llm.reader import Reader
        from malles.llm.training.loop import train as post_train

        fitted = self.fit_skip(train, valid, group, -1)
        rows = self._rows(len(train))
        part, skip = train.take(rows), self._honest_skip(train, valid, group)[rows]
        usual = usual_units(part)
        if self.skip:
            examples = build_examples(part, group[rows], skip=skip, usual=usual)
        else:
            changed = self._changed(part, skip, fitted, group[rows])
            examples = replace(
                build_examples(part, group[rows], teacher=np.exp(skip), usual=usual), changed=changed
            )
        reader = Reader(self.reader, seed=self.training.seed)
        if train.catalogue is not None and train.catalogue.products.embeddings:
            reader.add_soft(train.catalogue.products.embeddings, seed=self.training.seed)

        def tell(step: int, total: int, parts: dict[str, float]) -> None:
            if progress is not None and (step % max(total // 200, 1) == 0 or step == total):
                progress(step, total, parts["loss"])

        late = valid.take(np.linspace(0, len(valid) - 1, min(len(valid), 300)).astype(int))
        looked = None
        if self.training.look:
            looked = build_examples(late, late.occasions.category)
            if self.skip:
                looked = build_examples(late, late.occasions.category, skip=log_of(fitted.predict(late)))
        history = post_train(reader, examples, self.training, valid=looked, folder=folder, progress=tell)
        made = FittedAligned(
            reader,
            fitted if self.skip else None,
            train.regime,
            facts=self._facts(train, history),
            wordings=self.wordings,
            load_skip=self.load_skip,
        )
        if self.skip:  # what is added to has its temperature already
            return made
        return replace(made, temperature=find_temperature(made, late))

    def _rows(self, n: int) -> ndarray:
        if not self.occasions or self.occasions >= n:
            return np.arange(n)
        rng = np.random.default_rng(self.training.seed + 4)
        return np.sort(rng.choice(n, self.occasions, replace=False))

    def _honest_skip(self, train: ChoiceData, valid: ChoiceData, group: ndarray) -> ndarray:
        """Log-probabilities from models that have not seen the household (or the group, in `launch`)."""
        part = group if train.regime is Regime.LAUNCH else train.occasions.customer
        half = part.astype(np.int64) * 2_654_435_761 % 4_294_967_296 // 65_536 % 2
        out = np.zeros(train.occasions.shape, np.float32)
        for h in (0, 1):
            inside, outside = np.flatnonzero(half == h), np.flatnonzero(half != h)
            if not len(inside) or not len(outside):
                raise ModelError(
                    "There are too few customers or categories to fit the skip on one half and use it on the "
                    "other; give more data, or fit `head` alone."
                )
            model = self.fit_skip(train.take(outside), valid, group[outside], h)
            out[inside] = log_of(model.predict(train.take(inside)))
        return out

    def _changed(self, part: ChoiceData, skip: ndarray, fitted: ChoiceModel, group: ndarray) -> Any:
        """The same occasions with one price changed, and what the fitted model makes of the change."""
        from malles.profiles.features import with_prices

        assert part.catalogue is not None
        if part.regime is Regime.LAUNCH:
            return None
        rng = np.random.default_rng(self.training.seed + 76)
        other = with_prices(part, part.catalogue, change_prices(part.occasions, rng))
        moved = skip + log_of(fitted.predict(other)) - log_of(fitted.predict(part))
        made = build_examples(other, group, teacher=np.exp(moved))
        return replace(made, chosen=np.full(len(made), -1, np.int32))

    def _facts(self, train: ChoiceData, history: History) -> dict[str, Any]:
        return {
            **self.facts,
            "regime": train.regime.value,
            "weeks": [int(train.occasions.week.min()), int(train.occasions.week.max())],
            "occasions_to_draw_from": len(train),
            "occasions_read": len(history.loss) * self.training.batch,
            "processor_seconds": round(history.seconds, 1),
            "stopped": history.stopped,
            "skip": self.skip,
            "seed": self.training.seed,
            "losses": asdict(self.training.loss),
            "training": {k: v for k, v in asdict(self.training).items() if k != "loss"},
        }


@dataclass(frozen=True)
class FittedAligned:
    """A language model that has learnt to choose, with its skip."""

    reader: Reader
    skip: ChoiceModel | None
    regime: Regime
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    temperature: float = 1.0
    wordings: int = 1
    """Decision-neutral rewordings that an answer is averaged over."""
    name: str = "hf"
    load_skip: Callable[[Path], ChoiceModel] | None = field(default=None, repr=False)
    source: Path | None = field(default=None, repr=False)
    """Folder that the model was read from; saving it again copies that folder."""

    def predict(self, data: ChoiceData, progress: Any = None) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities; the average over rewordings if there are several."""
        available = data.occasions.available
        total = np.zeros(data.occasions.shape)
        skip = log_of(self.skip.predict(data)) if self.skip is not None else 0.0
        for wording in REWORDINGS[: self.wordings]:
            total += softmax((self.utility(data, wording, progress) + skip) / self.temperature, available)
        probability: ndarray = total / self.wordings
        return probability

    def utility(
        self, data: ChoiceData, wording: Wording = CANONICAL, progress: Any = None
    ) -> Float[ndarray, "occasion alternative"]:
        """What the words say, without the skip."""
        from malles.llm.backends.local import LocalBackend

        if data.regime is not self.regime:
            raise ModelError(
                f"This model was aligned in the regime {self.regime.value!r}, but the features are of "
                f"{data.regime.value!r}; build them with the same regime."
            )
        prompts = ChoicePrompts(data)
        self._attach(prompts)
        encoded = [self.reader.encoder.encode(prompts.prompt(i, wording)) for i in range(len(data))]
        found = LocalBackend(self.reader).utilities(encoded, progress)
        table = np.zeros((len(data), max((len(v) for v in found), default=1)))
        for i, v in enumerate(found):
            table[i, : len(v)] = v
        return by_column(table, data.occasions.available)

    def _attach(self, prompts: ChoicePrompts) -> None:
        """Read the vectors of the products that these prompts speak of."""
        if self.reader.soft is not None:
            self.reader.soft.attach(prompts.catalogue.products.embeddings)

    def units(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Expected units of an alternative, given that it is bought: 1 + the mean of the quantity head."""
        import torch

        from malles.llm.encoding import collate

        prompts, usual = ChoicePrompts(data), usual_units(data)
        self._attach(prompts)
        logs = by_line(np.log(np.maximum(usual, 1.0)), data.occasions.available, usual.shape[1])
        table = np.zeros(usual.shape)
        with torch.inference_mode():
            for i in range(len(data)):
                batch = collate([self.reader.encoder.encode(prompts.prompt(i))])
                _, state = self.reader.utilities(batch)
                J = batch.present.shape[1]
                rate = self.reader.pointer.log_rate(state, torch.from_numpy(logs[i : i + 1, :J]))
                table[i, :J] = 1 + rate.exp()[0].numpy()
        return by_column(table, data.occasions.available)

    def save(self, folder: Path) -> None:
        """Write adapter, pointer, model card and skip to a new folder."""
        from malles.llm.adapter import save_reader

        if self.source is not None:
            shutil.copytree(self.source, folder)
        else:
            folder.mkdir(parents=True, exist_ok=False)
            save_reader(self.reader, folder, self.facts)
        about = {
            "regime": self.regime.value,
            "temperature": self.temperature,
            "wordings": self.wordings,
            "skip": self.skip is not None,
        }
        (folder / "aligned.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        if self.skip is not None and self.source is None:
            self.skip.save(folder / "skip")

    @staticmethod
    def regime_of(folder: Path) -> Regime:
        """The information regime of a saved model.

        Raises:
            ModelError: the folder holds none.
        """
        try:
            return Regime(json.loads((folder / "aligned.json").read_text(encoding="utf-8"))["regime"])
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise ModelError(
                f"There is no aligned model in {folder} ({problem}); fit one with: malles fit CONFIG"
            ) from problem

    @classmethod
    def load(cls, folder: Path, load_skip: Callable[[Path], ChoiceModel] | None = None) -> Self:
        """Read an aligned model; `load_skip` reads its skip.

        Raises:
            ModelError: the folder holds none, or a damaged one.
        """
        from malles.llm.adapter import load_reader, read_facts

        regime = cls.regime_of(folder)
        about = json.loads((folder / "aligned.json").read_text(encoding="utf-8"))
        try:
            temperature, with_skip = float(about["temperature"]), bool(about["skip"])
        except (KeyError, TypeError, ValueError) as problem:
            raise ModelError(
                f"{folder / 'aligned.json'} is damaged ({problem}); fit the model again."
            ) from problem
        if with_skip and load_skip is None:
            raise ModelError(
                f"The model in {folder} adds to a fitted model; say how that is read (load_skip)."
            )
        return cls(
            load_reader(folder),
            load_skip(folder / "skip") if with_skip and load_skip is not None else None,
            regime,
            read_facts(folder)["facts"],
            temperature,
            int(about.get("wordings", 1)),
            load_skip=load_skip,
            source=folder,
        )


def log_of(probability: ndarray) -> ndarray:
    """Natural logarithm with a floor of 1e-9."""
    found: ndarray = np.log(np.maximum(probability, 1e-9)).astype(np.float32)
    return found


def softmax(utility: ndarray, available: ndarray) -> ndarray:
    """Probabilities over the available alternatives; exactly 0 elsewhere."""
    masked = np.where(available, utility, -np.inf)
    weight = np.exp(masked - masked.max(axis=1, keepdims=True))
    probability: ndarray = weight / weight.sum(axis=1, keepdims=True)
    return probability


def find_temperature(model: FittedAligned, valid: ChoiceData) -> float:
    """The temperature of the best likelihood on later occasions with known choices; 1 without any."""
    from scipy.optimize import minimize_scalar

    o = valid.occasions
    rows = np.flatnonzero(o.chosen >= 0)
    if not len(rows):
        return 1.0
    part = valid.take(rows)
    skip = log_of(model.skip.predict(part)) if model.skip is not None else 0.0
    utility, available = model.utility(part) + skip, part.occasions.available
    each, chosen = np.arange(len(rows)), part.occasions.chosen

    def loss(log_temperature: float) -> float:
        p = softmax(utility / np.exp(log_temperature), available)
        return float(-np.log(np.maximum(p[each, chosen], 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-0.7, 0.7), method="bounded").x))
