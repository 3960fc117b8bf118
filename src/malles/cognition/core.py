"""The cognitive core as a choice model: memory proposes, productions compete, purchases teach."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar, Self, final

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize

from malles.baselines.columns import is_product, require_features
from malles.baselines.saved import SavedModel, read_model, required, write_model
from malles.baselines.simple import special_shares, with_special
from malles.cognition.memory import purchase_activation
from malles.cognition.productions import PRODUCTIONS, WORDS, Minds, fire, learn_utilities, propose
from malles.errors import ModelError
from malles.vocabulary import ChoiceData, Regime

SAMPLE = 12_000
"""Occasions that the shared numbers are fitted on: a dozen numbers need no more."""
RATE = 0.05
"""α of utility learning: about the last twenty purchases count."""
_VERSION = 1


@final
@dataclass(frozen=True)
class FittedCognitiveCore:
    """P[n, j] = sum over productions of (chance that it fires) x (chance that it takes j)."""

    minds: Minds
    constant: Float[ndarray, " production"]
    slope: float
    """How much a learnt utility counts when productions compete."""
    utility: Float[ndarray, "customer production"]
    """Learnt by every customer up to the end of the training occasions."""
    start: Float[ndarray, " production"]
    """Of customers who were not seen."""
    outside_share: float
    other_share: float

    name: ClassVar[str] = "cognitive"

    def predict(self, data: ChoiceData) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities: rows sum to one, unavailable columns are exactly 0."""
        return self.blend(data, *self.compete(data))

    def compete(
        self, data: ChoiceData
    ) -> tuple[Float[ndarray, "occasion production"], Float[ndarray, "occasion production alternative"]]:
        """(Chance that each production fires, what it would take)."""
        require_features(data, ("popularity",), self.name)
        match, proposal = propose(data, activation_of(data, self.minds.decay), self.minds)
        return fire(match, self._utilities(data), self.constant, self.slope), proposal

    def blend(
        self,
        data: ChoiceData,
        share: Float[ndarray, "occasion production"],
        proposal: Float[ndarray, "occasion production alternative"],
    ) -> Float[ndarray, "occasion alternative"]:
        """Choice probabilities of productions that fire with these chances."""
        weight = np.einsum("nr,nrj->nj", share, proposal)
        return with_special(data.occasions, weight, self.outside_share, self.other_share)

    def explain(self, data: ChoiceData, row: int, most: int = 3) -> list[tuple[str, float, int]]:
        """Candidate rules of one occasion for a person or a language model to rank, the likeliest first.

        Returns:
            (rule in words, chance that it fires, column that it would take first).
        """
        shares, proposal = self.compete(data.take(np.array([row])))
        share = shares[0]
        order = np.argsort(-share, kind="stable")[:most]
        return [
            (WORDS[PRODUCTIONS[r]], float(share[r]), int(proposal[0, r].argmax()))
            for r in order
            if share[r] > 0
        ]

    def _utilities(self, data: ChoiceData) -> ndarray:
        code = data.occasions.customer
        known = (code >= 0) & (code < len(self.utility))
        return np.where(known[:, None], self.utility[np.where(known, code, 0)], self.start)

    def save(self, folder: Path) -> None:
        """Write numbers and learnt utilities to a new folder."""
        settings = {
            **asdict(self.minds), "slope": self.slope, "outside_share": self.outside_share,
            "other_share": self.other_share,
        }  # fmt: skip
        arrays = {"constant": self.constant, "utility": self.utility, "start": self.start}
        write_model(folder, SavedModel(self.name, _VERSION, settings, arrays))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model written by `save`."""
        saved = read_model(folder, cls.name, _VERSION)
        numbers = dict(saved.settings)
        try:
            outer = {key: float(numbers.pop(key)) for key in ("slope", "outside_share", "other_share")}
            minds = Minds(**{key: float(value) for key, value in numbers.items()})
        except (KeyError, TypeError, ValueError) as problem:
            raise ModelError(
                f"{folder} lacks numbers of a cognitive core ({problem}). Fit it again."
            ) from None
        return cls(
            minds=minds, constant=required(saved, "constant"), utility=required(saved, "utility"),
            start=required(saved, "start"), **outer,
        )  # fmt: skip


@final
@dataclass(frozen=True)
class CognitiveCore:
    """Fits the shared numbers by maximum likelihood; utilities are learnt, not fitted."""

    decays: tuple[float, ...] = (0.2, 0.3, 0.5, 0.7)
    """d tried; 0.5 is the usual one."""
    rate: float = RATE

    def fit(self, train: ChoiceData, valid: ChoiceData | None = None) -> FittedCognitiveCore:
        """Learn utilities on all occasions in order of time, fit numbers on an even sample of them."""
        del valid
        require_features(train, ("popularity",), FittedCognitiveCore.name)
        outside, other = special_shares(train)
        o = train.occasions
        order = np.argsort(o.timestamp, kind="stable")
        taken = is_product(o)[np.arange(len(o)), o.chosen]
        order = order[taken[order]]
        data = train.take(order)
        best: tuple[float, Minds, ndarray] | None = None
        few = data.take(_even(len(data), SAMPLE))
        for decay in self.decays:
            minds, loss, weights = _fit_minds(few, Minds(decay=decay))
            if best is None or loss < best[0]:
                best = (loss, minds, weights)
        assert best is not None
        minds = best[1]
        reward, match = rewards(data, minds)
        start = reward.mean(axis=0)
        customers = int(o.customer.max(initial=-1)) + 1
        before, table = learn_utilities(data.occasions.customer, reward, start, self.rate, customers)
        weights, _ = _fit_weights(reward, match, before, np.append(best[2], 1.0))
        return FittedCognitiveCore(
            minds, _constants(weights[:-1]), float(weights[-1]), table, start, outside, other
        )


def activation_of(data: ChoiceData, decay: float) -> Float[ndarray, "occasion alternative"]:
    """Activation of the alternatives; -inf throughout where a regime hides the customer's past.

    Raises:
        ModelError: the data carries no catalogue to read earlier purchases from.
    """
    if data.regime is not Regime.FULL:
        return np.full(data.occasions.shape, -np.inf)
    if data.catalogue is None:
        raise ModelError(
            "These occasions carry no order lines to remember; build their features with `build_features`, "
            "which keeps the catalogue."
        )
    return purchase_activation(data.catalogue.lines, data.occasions, decay)


def rewards(
    data: ChoiceData, minds: Minds
) -> tuple[Float[ndarray, "occasion production"], Float[ndarray, "occasion production"]]:
    """(Chance that each production gave to the choice, match of its condition)."""
    match, proposal = propose(data, activation_of(data, minds.decay), minds)
    rows = np.arange(len(data))
    return proposal[rows, :, data.occasions.chosen], match


def _fit_minds(data: ChoiceData, minds: Minds) -> tuple[Minds, float, ndarray]:
    activation = activation_of(data, minds.decay)
    rows, chosen = np.arange(len(data)), data.occasions.chosen
    weights = np.zeros(len(PRODUCTIONS) - 1)

    def at(x: ndarray) -> Minds:
        noise, gap = np.exp(np.clip(x[[0, 3]], -4, 2))
        return replace(minds, noise=float(noise), threshold=float(x[1]), spread=float(x[2]), gap=float(gap))

    def loss(x: ndarray) -> float:
        nonlocal weights
        match, proposal = propose(data, activation, at(x))
        reward = proposal[rows, :, chosen]
        flat = np.zeros_like(reward)
        found, value = _fit_weights(reward, match, flat, np.append(weights, 0.0), slope=False)
        weights = found[:-1]
        return value

    first = np.array([np.log(minds.noise), minds.threshold, minds.spread, np.log(minds.gap)])
    found = minimize(loss, first, method="Nelder-Mead", options={"maxfev": 60, "xatol": 0.02, "fatol": 1e-5})
    return at(found.x), float(loss(found.x)), weights


def _fit_weights(
    reward: ndarray, match: ndarray, utility: ndarray, first: ndarray, *, slope: bool = True
) -> tuple[ndarray, float]:
    """Constants of all productions but the last, and the slope, by likelihood of the mixture."""
    floor = 1e-4  # a product that no production proposes still happens

    def objective(x: ndarray) -> tuple[float, ndarray]:
        share = fire(match, utility, _constants(x[:-1]), float(x[-1]))
        p = (share * reward).sum(axis=1) + floor
        credit = share * reward / p[:, None]
        d_score = credit - share * (credit.sum(axis=1))[:, None]
        gradient = np.append(d_score.sum(axis=0)[:-1], (d_score * utility).sum() if slope else 0.0)
        return float(-np.log(p).mean()), -gradient / len(p)

    found = minimize(
        objective, first, jac=True, method="L-BFGS-B", bounds=[(-8, 8)] * (len(first) - 1) + [(0, 30)]
    )
    return found.x, float(found.fun)


def _constants(free: ndarray) -> ndarray:
    return np.append(free, 0.0)  # `follow` is the level the others are measured from


def _even(count: int, most: int) -> ndarray:
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.int64))
