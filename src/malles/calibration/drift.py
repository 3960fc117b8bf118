"""Calibration map of choice that moves with the market: product biases followed from week to week.

    Q[n, j] proportional to P[n, j] ** sharpness[t] * exp(b[j, t] + f[family of j, t] + shock[j, t])
    b[j, t + 1] = persistence * b[j, t] + innovation,  b ~ N(0, spread ** 2);  f likewise;  shock: one week

A model fitted on earlier weeks misses two things about a product: what lasts (a better place on the shelf, a
season) and what is gone next week (a stock-out, a price that the data do not show). Only the first may be
carried forward. Products of one family (the same size in a category) tend to drift together. Every week is
predicted from weeks before it alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from numpy import ndarray
from scipy.optimize import minimize

from malles.calibration.temperature import log_utility, softmax
from malles.errors import DataError, OccasionError


@dataclass(frozen=True)
class DriftPrior:
    """How far utilities may lie from the model's, and for how long.

    The defaults are what `select_prior` chose on weeks 38 to 40 of Complete Journey.
    """

    spread: float = 0.3
    """Standard deviation of a product's bias, utility; > 0."""
    persistence: float = 0.75
    """Part of it left after a week, (0, 1]; 1 = it never fades."""
    family_spread: float = 0.15
    """The same for what a family shares; 0 = families share nothing."""
    family_persistence: float = 0.9
    shock: float = 0.3
    """Standard deviation of what one week adds to a product and the next one forgets, utility."""
    sharpness: float = 0.1
    """Standard deviation of 1 / temperature around 1."""

    def __post_init__(self) -> None:
        lasting = 0 < self.persistence <= 1 and 0 < self.family_persistence <= 1
        if not (self.spread > 0 and lasting and min(self.family_spread, self.shock, self.sharpness) >= 0):
            raise DataError(
                f"a drift prior needs spread > 0, persistence in (0, 1], no negative deviation; got {self}."
            )


PRIORS = tuple(
    DriftPrior(spread, persistence, family, shock=shock)
    for spread, shock in ((0.1, 0.15), (0.2, 0.15), (0.3, 0.15), (0.3, 0.3))
    for persistence in (0.75, 0.9)
    for family in (0.0, 0.15)
)
"""Priors that `select_prior` chooses among. On Complete Journey the relative bias of a product had a variance
of .05 in a week, and a covariance of .03, .02, .02, .01 with the four weeks that followed."""


@dataclass(frozen=True)
class ShareDrift:
    """Biases by week; every row is what was known before its week began."""

    week: Integer[ndarray, " week"]
    """Consecutive weeks; the last one is the week after the last one followed."""
    bias: Float[ndarray, "week product"]
    """Utility added to a product in that week."""
    deviation: Float[ndarray, "week product"]
    """Standard deviation of the product's bias, given the weeks before."""
    family_bias: Float[ndarray, "week family"]
    """Utility added to every product of a family."""
    sharpness: Float[ndarray, " week"]
    """1 / temperature."""
    family: Integer[ndarray, " product"]
    """Family of every product; -1 = none."""
    persistence: Float[ndarray, " two"]
    """Of products and of families, per week."""

    def known(self, week: int, before: int | None = None) -> tuple[Float[ndarray, " product"], float]:
        """Bias of every product and sharpness in a week, from weeks before `before` (default: that week).

        Weeks before the first one followed have no bias; after the last one it fades by the persistence.
        """
        last = week if before is None else min(before, week)
        row = min(last - int(self.week[0]), len(self.week) - 1)
        if row < 0:
            return np.zeros(self.bias.shape[1]), 1.0
        fade = self.persistence ** (week - int(self.week[row]))
        shared = np.append(self.family_bias[row] * fade[1], 0.0)[self.family]
        return self.bias[row] * fade[0] + shared, float(self.sharpness[row])

    def apply(
        self,
        probability: Float[ndarray, "occasion alternative"],
        available: Bool[ndarray, "occasion alternative"],
        product: Integer[ndarray, "occasion alternative"],
        week: Integer[ndarray, " occasion"],
        *,
        before: int | None = None,
    ) -> Float[ndarray, "occasion alternative"]:
        """Corrected probabilities; a product that is negative, or beyond those followed, keeps a bias of 0.

        Args:
            probability: the model's choice probabilities.
            available: which columns could be chosen.
            product: product code of each alternative, negative for none.
            week: week of each occasion.
            before: use nothing of this week and later ones; default: nothing of the occasion's own week and
                later ones.
        """
        out = np.array(probability, float)
        for w in np.unique(week):
            rows = week == w
            bias, sharpness = self.known(int(w), before)
            code = product[rows]
            inside = (code >= 0) & (code < len(bias))
            add = np.where(inside, bias[np.where(inside, code, 0)], 0.0)
            out[rows] = softmax(log_utility(probability[rows], available[rows]) * sharpness + add)
        return out


def follow_shares(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    product: Integer[ndarray, "occasion alternative"],
    week: Integer[ndarray, " occasion"],
    *,
    family: Integer[ndarray, " product"],
    prior: DriftPrior,
) -> ShareDrift:
    """Follow product biases through the weeks of some occasions, each week predicted before it is looked at.

        week t:  maximise  sum of log Q[n, chosen] - (b - m)^2 / 2v - (f - m_f)^2 / 2v_f - shock^2 / 2s
        then     m' = persistence b,   v' = persistence^2 / (1 / v + I) + (1 - persistence^2) spread^2

    I is the information on the bias that the week's choices leave after its shock is allowed for.

    Args:
        probability: of a model that was not fitted on these weeks.
        available: which columns could be chosen.
        chosen: column of each choice.
        product: product code of each alternative, negative for none.
        week: week of each occasion.
        family: family of every product, -1 for none; its length is the number of products.
        prior: how much may drift.

    Source: a state-space logit; the posterior of each week is approximated at its mode with a diagonal
    covariance (West, Harrison and Migon 1985, Journal of the American Statistical Association 80).
    """
    if len(chosen) == 0:
        raise OccasionError("there are no occasions to follow shares on; give held-out choices.")
    products, families = len(family), int(family.max(initial=-1)) + 1
    own = _Level.start(products, prior.spread, prior.persistence, prior.shock)
    shared = _Level.start(families, prior.family_spread, prior.family_persistence, 0.0)
    sharp = _Level.start(1, prior.sharpness, 1.0, 0.0)
    own_rows, deviations, shared_rows, sharpness = [own.mean], [own.deviation], [shared.mean], [1.0]
    for w in range(int(week.min()), int(week.max()) + 1):
        rows = np.flatnonzero(week == w)
        if len(rows):
            code = np.where(available[rows] & (product[rows] < products), product[rows], -1)
            _find_mode(
                log_utility(probability[rows], available[rows]), available[rows], chosen[rows],
                (own, shared, sharp), np.maximum(code, -1), np.where(code >= 0, family[code], -1),
            )  # fmt: skip
        for level in (own, shared, sharp):
            level.wait()
        own_rows.append(own.mean)
        deviations.append(own.deviation)
        shared_rows.append(shared.mean)
        sharpness.append(1.0 + float(sharp.mean[0]))
    return ShareDrift(
        np.arange(int(week.min()), int(week.max()) + 2), np.stack(own_rows), np.stack(deviations),
        np.stack(shared_rows), np.array(sharpness), np.asarray(family),
        np.array([prior.persistence, prior.family_persistence]),
    )  # fmt: skip


@dataclass
class _Level:
    """Normal beliefs about the biases of one level."""

    mean: ndarray
    variance: ndarray
    usual: float
    persistence: float
    shock: float

    @classmethod
    def start(cls, size: int, spread: float, persistence: float, shock: float) -> _Level:
        return cls(np.zeros(size), np.full(size, spread**2), spread**2, persistence, shock**2)

    @property
    def deviation(self) -> ndarray:
        return np.asarray(np.sqrt(self.variance))

    def learn(self, where: ndarray, moved: ndarray, information: ndarray) -> None:
        """`moved`: mode of bias and shock together, above the mean; they share it by their variances."""
        v = self.variance[where]
        self.mean, self.variance = self.mean.copy(), self.variance.copy()
        self.mean[where] += moved * v / np.maximum(v + self.shock, 1e-300)
        self.variance[where] = v / (1 + v * information / (1 + information * self.shock))

    def wait(self) -> None:
        """A week passes."""
        self.mean = self.persistence * self.mean
        self.variance = self.persistence**2 * self.variance + (1 - self.persistence**2) * self.usual


def _find_mode(
    utility: ndarray, available: ndarray, chosen: ndarray, levels: tuple[_Level, _Level, _Level],
    product: ndarray, family: ndarray,
) -> None:  # fmt: skip
    """One week's mode; the levels learn from it."""
    own, shared, sharp = levels
    row = np.arange(len(chosen))
    if not np.all(np.isfinite(utility[row, chosen])):
        raise OccasionError("some choices are unavailable; drop these occasions before calibrating.")
    finite = np.where(available, utility, 0.0)
    # only what stands on this week's slates moves; a last code for "none" has scale 0
    seen, place, scale, start = [], [], [], []
    for level, code in ((own, product), (shared, family)):
        here = np.unique(code[code >= 0])
        at = np.full(len(level.mean) + 1, len(here))
        at[here] = np.arange(len(here))
        seen.append(here)
        place.append(at[code])
        scale.append(np.append(np.sqrt(level.variance[here] + level.shock), 0.0))
        start.append(np.append(level.mean[here], 0.0))
    cut = len(scale[0])
    sharp_scale = float(sharp.deviation[0])

    def weigh(x: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        value = (1 + sharp.mean[0] + sharp_scale * x[-1]) * finite
        value += (start[0] + scale[0] * x[:cut])[place[0]] + (start[1] + scale[1] * x[cut:-1])[place[1]]
        value = np.where(available, value, -np.inf)
        top = value.max(axis=1)
        weight = np.exp(value - top[:, None])
        total = weight.sum(axis=1)
        return weight / total[:, None], np.log(total) + top, value

    def objective(x: ndarray) -> tuple[float, ndarray]:
        q, logsum, value = weigh(x)
        loss = float(np.sum(logsum - value[row, chosen]) + 0.5 * x @ x)
        q[row, chosen] -= 1
        slopes = [np.bincount(p.ravel(), q.ravel(), len(s)) * s for p, s in zip(place, scale, strict=True)]
        return loss, np.concatenate([*slopes, [sharp_scale * np.sum(q * finite)]]) + x

    options = {"maxiter": 300, "gtol": 1e-4}
    zero = np.zeros(cut + len(scale[1]) + 1)
    x = minimize(objective, zero, jac=True, method="L-BFGS-B", options=options).x
    q = weigh(x)[0]
    for level, here, p, s, moved in zip(
        levels[:2], seen, place, scale, (x[:cut], x[cut:-1]), strict=True
    ):  # fmt: skip
        information = np.bincount(p.ravel(), (q * (1 - q)).ravel(), len(s))
        level.learn(here, (s * moved)[:-1], information[:-1])
    centre = (q * finite).sum(axis=1)
    about = float(np.sum(q * finite**2) - np.sum(centre**2))
    sharp.learn(np.array([0]), np.array([sharp_scale * x[-1]]), np.array([about]))


@dataclass(frozen=True)
class PriorChoice:
    """Which prior predicts each week best from the weeks before it."""

    prior: DriftPrior
    candidates: tuple[DriftPrior, ...]
    log_loss: Float[ndarray, " candidate"]
    """Mean -log Q of choices, one week ahead, nats."""
    log_loss_before: float
    """The same of the model alone: if it is smaller than all of `log_loss`, do not calibrate."""


def select_prior(
    probability: Float[ndarray, "occasion alternative"],
    available: Bool[ndarray, "occasion alternative"],
    chosen: Integer[ndarray, " occasion"],
    product: Integer[ndarray, "occasion alternative"],
    week: Integer[ndarray, " occasion"],
    *,
    family: Integer[ndarray, " product"],
    candidates: tuple[DriftPrior, ...] = PRIORS,
) -> PriorChoice:
    """The prior with the smallest log-loss one week ahead; the first week counts for none.

    The arguments are those of `follow_shares`; there must be at least two weeks.
    """
    later = week > week.min()
    if not later.any():
        raise DataError("there is one week; give at least two to see which prior predicts the later ones.")
    row = np.arange(int(later.sum()))

    def loss(p: ndarray) -> float:
        return float(-np.mean(np.log(p[row, chosen[later]])))

    def try_one(prior: DriftPrior) -> float:
        drift = follow_shares(probability, available, chosen, product, week, family=family, prior=prior)
        return loss(drift.apply(probability[later], available[later], product[later], week[later]))

    losses = np.array([try_one(prior) for prior in candidates])
    before = loss(softmax(log_utility(probability[later], available[later])))
    return PriorChoice(candidates[int(np.argmin(losses))], candidates, losses, before)
