"""The launch head: a set network that sees an alternative only relative to its slate.

    z[j]  = ((x[j] - mean of slate) / scale,  (x[j] - mean of slate) / (spread of slate + 0.05 scale))
    u[j]  = relu(A z[j]),   s = (mean of u, attention-weighted mean of u)
    V[j]  = b z[j] + c relu(B (u[j], s)),   P = softmax(mean of V over members / temperature)

Absolute levels are withheld because a network remembers them as names of the training categories. Every
member is stopped
on groups of categories it did not see, and the temperature is fitted on those. See `docs/method/launch.md`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool, Float32, Int32, Shaped
from numpy import ndarray

from malles.errors import ModelError, OccasionError
from malles.vocabulary import ChoiceData, Occasions, Regime

VERSION = 1
CLIP = 4.0
"""Relative features are cut at 4 scales, so that a category with a freak package cannot shout."""

SPREAD_FLOOR = 0.05
_BLOCK = 2048


def folds_of_groups(names: Sequence[str], folds: int = 5) -> Int32[ndarray, " group"]:
    """A fold for every category group by its name, the same on every machine.

    >>> folds_of_groups(["SOFT DRINKS", "EGGS"])
    array([3, 3], dtype=int32)
    """
    return np.array([zlib.crc32(name.encode()) % folds for name in names], np.int32)


@dataclass(frozen=True)
class LaunchSettings:
    """How the launch head is fitted."""

    hidden: int = 64
    """Width of the network; 0 leaves the linear part alone, a conditional logit on both transforms."""
    members: int = 3
    """Networks averaged; each leaves another part of the groups out of its fit, to be stopped and
    calibrated on."""
    epochs: int = 3
    occasions: int = 30_000
    """At most so many training occasions per member, drawn at random."""
    batch: int = 256
    rate: float = 2e-3
    weight_decay: float = 0.01
    dropout: float = 0.3
    feature_dropout: float = 0.15
    """Chance that a feature is hidden for a whole occasion."""
    balance: float = 0.5
    """A category of n occasions counts n^(1 - balance): 0 counts occasions, 1 counts categories."""
    seed: int = 1

    def fit(self, data: ChoiceData, group: Shaped[ndarray, " occasion"]) -> FittedLaunchHead:
        """Fit on occasions with a known choice.

        Args:
            data: launch features; occasions whose choice is `OTHER` only set the share of `OTHER`.
            group: code of the category group of every occasion; groups are what members leave out.

        Raises:
            OccasionError: fewer than two groups, or no occasion with a chosen product.
        """
        from malles.head.launch_training import fit_members

        products = products_of(data.occasions)
        rows = np.arange(len(data))
        chosen = data.occasions.chosen.astype(np.int64)
        use = np.flatnonzero((chosen >= 0) & products[rows, np.maximum(chosen, 0)])
        if len(use) == 0 or len(np.unique(group[use])) < 2:
            raise OccasionError(
                f"fitting the launch head needs chosen products in at least 2 category groups, got "
                f"{len(use)} occasions "
                f"in {len(np.unique(group[use]))} groups; give it occasions of more categories."
            )
        weights, scale, temperature, history = fit_members(self, data, products, group, use)
        return FittedLaunchHead(
            self,
            data.feature_names,
            scale,
            tuple(weights),
            temperature,
            _share_of_other(data.occasions),
            history,
        )


@dataclass(frozen=True)
class FittedLaunchHead:
    """Choice probabilities for categories without a past; follows `ChoiceModel`."""

    settings: LaunchSettings
    feature_names: tuple[str, ...]
    scale: Float32[ndarray, " feature"]
    """Spread of each feature within slates, over the training occasions."""
    members: tuple[dict[str, ndarray], ...]
    temperature: float
    """Fitted on groups that the predicting member had not seen; above 1 it makes the choice less certain."""
    other_share: float
    """Probability of `OTHER` where it is available: its share in training. The network ranks products
    alone."""
    history: tuple[tuple[float, ...], ...]
    """Log-loss on its unseen groups, per member and epoch."""
    name: str = "launch_head"

    def predict(self, data: ChoiceData) -> Float32[ndarray, "occasion alternative"]:
        """Choice probabilities given that the customer buys: column 0 and unavailable columns are exactly 0.

        Raises:
            ModelError: the data is of another regime or has other features.
            OccasionError: an occasion has no available alternative.
        """
        if data.regime is not Regime.LAUNCH or data.feature_names != self.feature_names:
            raise ModelError(
                f"the launch head expects the {len(self.feature_names)} features of "
                f"build_launch_features, got "
                f"{len(data.feature_names)} features of regime '{data.regime}'; build them with the "
                f"version it was fitted with."
            )
        products = products_of(data.occasions)
        rest = data.occasions.available & ~products
        rest[:, 0] = False  # given that the customer buys
        empty = np.flatnonzero(~(products | rest).any(1))
        if len(empty):
            raise OccasionError(
                f"occasion {int(empty[0])} has no available alternative to buy; drop it or offer it a "
                f"product."
            )
        other = np.where(products.any(1), self.other_share, 1.0) * rest.any(1)
        out = (rest * (other / np.maximum(rest.sum(1), 1))[:, None]).astype(np.float32)
        for start in range(0, len(data), _BLOCK):
            rows = slice(start, start + _BLOCK)
            z = relative_features(data.features[rows], products[rows], self.scale)
            utility = np.zeros(z.shape[:2], np.float32)
            for member in self.members:
                utility += member_utility(member, z, products[rows]) / (len(self.members) * self.temperature)
            out[rows] += masked_softmax(utility, products[rows]) * (1 - other[rows, None])
        total: Float32[ndarray, "occasion 1"] = out.sum(1, keepdims=True)
        return np.asarray(out / total)

    def save(self, folder: Path) -> None:
        """Write `launch.json` and `launch.safetensors` to a new folder."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{m}.{k}": np.ascontiguousarray(v) for m, w in enumerate(self.members) for k, v in w.items()
        }
        save_file({"scale": self.scale, **tensors}, folder / "launch.safetensors")
        facts = {
            "version": VERSION,
            "settings": asdict(self.settings),
            "feature_names": self.feature_names,
            "temperature": self.temperature,
            "other_share": self.other_share,
            "history": self.history,
        }
        (folder / "launch.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`.

        Raises:
            ModelError: a file is missing or unreadable, or of another version.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            facts = json.loads((folder / "launch.json").read_text(encoding="utf-8"))
            if facts.get("version") != VERSION:
                raise ModelError(
                    f"{folder}: the launch head is of version {facts.get('version')}, this malles reads "
                    f"version {VERSION}; "
                    "fit it again."
                )
            tensors = load_file(folder / "launch.safetensors")
            settings = LaunchSettings(**facts["settings"])
            members = tuple(
                {k.split(".", 1)[1]: v for k, v in tensors.items() if k.startswith(f"{m}.")}
                for m in range(settings.members)
            )
            return cls(
                settings,
                tuple(facts["feature_names"]),
                tensors["scale"],
                members,
                float(facts["temperature"]),
                float(facts["other_share"]),
                tuple(tuple(h) for h in facts["history"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise ModelError(f"{folder}: no readable launch head ({error}); fit it again.") from error


def products_of(o: Occasions) -> Bool[ndarray, "occasion alternative"]:
    """Columns that hold an available product: neither outside, other nor padding."""
    return np.asarray(o.available & (o.product >= 0))


def relative_features(
    features: Float32[ndarray, "occasion alternative feature"],
    products: Bool[ndarray, "occasion alternative"],
    scale: Float32[ndarray, " feature"],
) -> Float32[ndarray, "occasion alternative transformed"]:
    """Each feature twice: centred by its slate in units of `scale`, and standardised by its slate.

    >>> x = np.array([[[1.0], [3.0]]], np.float32)
    >>> relative_features(x, np.ones((1, 2), bool), np.ones(1, np.float32)).round(2)
    array([[[-1.  , -0.95],
            [ 1.  ,  0.95]]], dtype=float32)
    """
    mask = products[:, :, None]
    number = np.maximum(mask.sum(1, keepdims=True), 1).astype(np.float32)
    kept = np.where(mask, features, np.float32(0))
    centred = np.where(mask, kept - kept.sum(1, keepdims=True) / number, np.float32(0))
    spread = np.sqrt((centred**2).sum(1, keepdims=True) / number)
    both = np.concatenate([centred / scale, centred / (spread + np.float32(SPREAD_FLOOR) * scale)], axis=2)
    return np.asarray(np.clip(both, -CLIP, CLIP))


def member_utility(
    w: dict[str, ndarray],
    z: Float32[ndarray, "occasion alternative transformed"],
    products: Bool[ndarray, "occasion alternative"],
) -> Float32[ndarray, "occasion alternative"]:
    """Utility of one member network; what stands in columns without a product has no meaning."""
    utility: ndarray = z @ w["skip"]
    if "first" in w:
        u = np.maximum(z @ w["first"] + w["first_bias"], 0)
        mask = products[:, :, None]
        mean = np.where(mask, u, 0).sum(1, keepdims=True) / np.maximum(mask.sum(1, keepdims=True), 1)
        attention = masked_softmax(u @ w["attention"], products)
        weighted = np.einsum("nj,njh->nh", attention, u)[:, None, :]
        hidden = u.shape[2]
        pooled = (
            mean @ w["second"][hidden : 2 * hidden] + weighted @ w["second"][2 * hidden :] + w["second_bias"]
        )
        utility = utility + np.maximum(u @ w["second"][:hidden] + pooled, 0) @ w["last"]
    return utility.astype(np.float32)


def masked_softmax(
    utility: Shaped[ndarray, "occasion alternative"], present: Bool[ndarray, "occasion alternative"]
) -> Float32[ndarray, "occasion alternative"]:
    """Softmax over the present columns; zero in a row without any."""
    highest = np.where(present, utility, -1e30).max(1, keepdims=True)
    weight: ndarray = np.where(present, np.exp(np.where(present, utility - highest, 0)), 0)
    return np.asarray(weight / np.maximum(weight.sum(1, keepdims=True), 1e-30), np.float32)


def _share_of_other(o: Occasions) -> float:
    """Share of `OTHER` among purchases where it was available, with one uniform occasion of 21
    alternatives added.
    """
    rest = o.available & ~products_of(o)
    rest[:, 0] = False
    asked = rest.any(1) & (o.chosen > 0)
    taken = rest[np.arange(len(o)), np.maximum(o.chosen.astype(np.int64), 0)] & asked
    return float((taken.sum() + 1) / (asked.sum() + 21))
