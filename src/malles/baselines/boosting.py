"""Boosted trees on single alternatives, with the exact conditional-softmax gradient over each slate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.boosting_kernels import softmax_derivatives, softmax_loss
from malles.baselines.columns import require_choices, require_features, select_features, special_columns
from malles.baselines.saved import SavedModel, read_model, write_model
from malles.choice.probability import choice_probabilities
from malles.choice.scale import fit_scale
from malles.errors import MissingExtra, ModelError
from malles.vocabulary import ChoiceData

_VERSION = 1


_BLOCK = 8192
"""Occasions predicted at once."""


@final
@dataclass(frozen=True)
class BoostedTrees:
    """Settings of the boosted choice model.

    The utility V[n, j] is a sum of trees on the features of one alternative and the context of its occasion;
    each tree fits the gradient P[n, j] - 1{j chosen} with the diagonal Hessian P (1 - P) of

        loss = -sum over n of log softmax(V[n, available])[chosen]

    The utilities are multiplied at the end by one scale fitted on the validation occasions.

    Source: Friedman (2001); Ke et al. (2017), LightGBM.
    """

    trees: int = 200
    """Most trees; early stopping may keep fewer."""
    learning_rate: float = 0.12
    leaves: int = 63
    bins: int = 127
    """Histogram bins per feature."""
    smallest_leaf: int = 100
    """Rows (alternatives) a leaf must hold."""
    l2: float = 1.0
    steep_part: float = 0.2
    """Part of the rows, those with the steepest gradients, that every tree sees."""
    flat_part: float = 0.1
    """Part of the rows drawn at random from the others, weighted up (gradient-based one-side sampling)."""
    feature_part: float = 0.7
    """Part of the features each tree sees."""
    features_kept: int = 64
    """Slate features and context numbers kept by their gain in a short first fit; 0 keeps all."""
    patience: int = 20
    """Trees without a better validation loss before the fit stops."""
    seconds: float = 0.0
    """Process time after which no further tree is begun; 0 means no limit and the same trees anywhere."""
    threads: int = 1
    seed: int = 0

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedBoostedTrees:
        """Fit on `train`; with `valid`, stop early and fit the scale on it.

        Raises:
            DataError: an occasion has no known choice.
            MissingExtra: LightGBM is not installed.
        """
        require_choices(train)
        if valid is not None:
            require_choices(valid)
            require_features(valid, train.feature_names, "the boosted choice model")
        slate, context = train.feature_names + special_columns(train), train.context_names
        if 0 < self.features_kept < len(slate) + len(context):
            slate, context = _most_useful(self, train, slate)
        booster, best = _grow(self, train, valid, slate, context, self.trees)
        fitted = FittedBoostedTrees(booster.model_to_string(num_iteration=best), slate, context, 1.0, self)
        if valid is None:
            return fitted
        occasions = valid.occasions
        scale = fit_scale(fitted.utility(valid), occasions.available, occasions.chosen)
        return FittedBoostedTrees(fitted.trees, slate, context, scale, self)


@final
@dataclass(frozen=True)
class FittedBoostedTrees:
    """Boosted trees with the features they read."""

    trees: str
    """LightGBM's own text form."""
    slate_features: tuple[str, ...]
    context_features: tuple[str, ...]
    scale: float
    """Factor on the utilities (inverse temperature)."""
    settings: BoostedTrees

    name: ClassVar[str] = "boosting"

    def utility(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Sum of the trees before scaling; 0 where unavailable.

        Raises:
            ModelError: the occasions lack a feature that the trees read, or the trees are damaged.
        """
        require_features(data, self.slate_features, "the boosted choice model")
        _require_context(data, self.context_features)
        booster = read_trees(self.trees)
        utility = np.zeros(data.occasions.shape)
        for begin in range(0, len(data), _BLOCK):
            block = data.take(np.arange(begin, min(begin + _BLOCK, len(data))))
            rows = flat_rows(block, self.slate_features, self.context_features)
            values = booster.predict(rows, raw_score=True, num_threads=self.settings.threads)
            utility[begin : begin + len(block)][block.occasions.available] = values
        return utility

    def predict(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities: rows sum to one, unavailable columns are exactly 0."""
        return choice_probabilities(self.scale * self.utility(data), data.occasions.available)

    def gains(self) -> dict[str, float]:
        """Share of the total split gain of each feature, largest first."""
        booster = read_trees(self.trees)
        gain = booster.feature_importance("gain")
        names = self.slate_features + self.context_features
        share = gain / max(gain.sum(), 1e-12)
        return {names[k]: float(share[k]) for k in np.argsort(-share, kind="stable")}

    def save(self, folder: Path) -> None:
        """Write the trees as text and the rest as JSON to a new folder."""
        settings = {
            "slate_features": list(self.slate_features),
            "context_features": list(self.context_features),
            "scale": self.scale,
            "settings": asdict(self.settings),
        }
        write_model(folder, SavedModel(self.name, _VERSION, settings, texts={"trees": self.trees}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`; another version raises ModelError."""
        saved = read_model(folder, cls.name, _VERSION)
        try:
            settings = saved.settings
            model = cls(
                saved.texts["trees"],
                tuple(settings["slate_features"]),
                tuple(settings["context_features"]),
                float(settings["scale"]),
                BoostedTrees(**settings["settings"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{folder} is damaged ({error!r}). Fit and save the model again.") from None
        read_trees(model.trees)
        return model


def flat_rows(
    data: ChoiceData, slate: tuple[str, ...], context: tuple[str, ...]
) -> Float[ndarray, "row column"]:
    """One row per available alternative, in order of occasions: slate features, then the context."""
    available = data.occasions.available
    rows = np.empty((int(available.sum()), len(slate) + len(context)), np.float32)
    column = [data.context_names.index(name) for name in context]
    filled = 0
    for begin in range(0, len(data), _BLOCK):
        block = data.take(np.arange(begin, min(begin + _BLOCK, len(data))))
        here = available[begin : begin + len(block)]
        after = filled + int(here.sum())
        rows[filled:after, : len(slate)] = select_features(block, slate)[here]
        rows[filled:after, len(slate) :] = block.context[:, column][np.nonzero(here)[0]]
        filled = after
    return rows


def _targets(data: ChoiceData) -> tuple[ndarray, ndarray]:
    """First row of each occasion (and the end), and 1 in the row of each choice."""
    occasions = data.occasions
    start = np.concatenate([[0], np.cumsum(occasions.available.sum(axis=1))]).astype(np.int64)
    chosen = np.zeros(occasions.shape, np.float32)
    chosen[np.arange(len(occasions)), occasions.chosen] = 1.0
    return start, chosen[occasions.available]


def _grow(
    settings: BoostedTrees,
    train: ChoiceData,
    valid: ChoiceData | None,
    slate: tuple[str, ...],
    context: tuple[str, ...],
    trees: int,
) -> tuple[Any, int]:
    """A LightGBM booster and the number of its trees to keep."""
    lightgbm = load_lightgbm()
    parameters = {
        "objective": "none",
        "boosting": "gbdt",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "max_bin": settings.bins,
        "min_data_in_leaf": settings.smallest_leaf,
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": settings.l2,
        "data_sample_strategy": "goss",
        "top_rate": settings.steep_part,
        "other_rate": settings.flat_part,
        "feature_fraction": settings.feature_part,
        "num_threads": settings.threads,
        "seed": settings.seed,
        "deterministic": True,
        "force_col_wise": True,
        "enable_bundle": False,
        "verbosity": -1,
        "metric": "None",
    }
    begun = time.process_time()
    names = [f"column_{k}" for k in range(len(slate) + len(context))]
    data = lightgbm.Dataset(
        flat_rows(train, slate, context),
        _targets(train)[1],
        feature_name=names,
        params=parameters,
        free_raw_data=True,
    )
    booster = lightgbm.Booster(parameters, data)
    derivatives = _objective(*_targets(train))
    best, best_loss = trees, np.inf
    if valid is not None:
        start, target = _targets(valid)
        rows = flat_rows(valid, slate, context)
        held_out = lightgbm.Dataset(rows, target, reference=data, feature_name=names, params=parameters)
        booster.add_valid(held_out, "valid")
        score = _loss_of(start, target)
    for tree in range(trees):
        if booster.update(fobj=derivatives) or (
            settings.seconds and time.process_time() - begun > settings.seconds
        ):
            best = min(best, tree + 1)
            break
        if valid is None:
            continue
        loss = booster.eval_valid(score)[-1][2]
        if loss < best_loss - 1e-6:
            best, best_loss = tree + 1, loss
        elif tree + 1 - best >= settings.patience:
            break
    return booster, best


def _objective(start: ndarray, target: ndarray) -> Callable[[ndarray, Any], tuple[ndarray, ndarray]]:
    gradient, hessian = np.empty(len(target), np.float32), np.empty(len(target), np.float32)

    def derivatives(score: ndarray, data: Any) -> tuple[ndarray, ndarray]:
        softmax_derivatives(score, start, target, gradient, hessian)
        return gradient, hessian

    return derivatives


def _loss_of(start: ndarray, target: ndarray) -> Callable[[ndarray, Any], tuple[str, float, bool]]:
    return lambda score, _: ("log_loss", float(softmax_loss(score, start, target)), False)


def _most_useful(
    settings: BoostedTrees, train: ChoiceData, slate: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Features with the highest gain in a short fit on at most 20,000 evenly spaced occasions."""
    rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), 20_000)).astype(np.int64))
    booster, _ = _grow(settings, train.take(rows), None, slate, train.context_names, 40)
    gain = booster.feature_importance("gain")
    kept = set(np.argsort(-gain, kind="stable")[: settings.features_kept].tolist())
    context = tuple(name for k, name in enumerate(train.context_names) if k + len(slate) in kept)
    return tuple(name for k, name in enumerate(slate) if k in kept), context


def _require_context(data: ChoiceData, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in data.context_names]
    if missing:
        raise ModelError(
            f"the boosted choice model reads {len(missing)} context numbers that these occasions (regime "
            f"{data.regime.value!r}) lack, for example {missing[0]!r}. Build them in the regime of the fit."
        )


@lru_cache(maxsize=8)
def read_trees(text: str) -> Any:
    """A LightGBM booster from its text form; ModelError if it is damaged."""
    lightgbm = load_lightgbm()
    try:
        return lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise ModelError(
            f"the boosted trees cannot be read ({error}). Fit and save the model again."
        ) from None


def load_lightgbm() -> Any:
    """The LightGBM package, or MissingExtra."""
    try:
        import lightgbm
    except ImportError:
        raise MissingExtra("the boosted choice model", "LightGBM", "models") from None
    return lightgbm
