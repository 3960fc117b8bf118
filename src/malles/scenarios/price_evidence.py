"""Are price effects more than association? A control function beside the plain estimate.

Prices are cut where demand is expected, so a price coefficient holds both. The first stage explains the price
of a product in a store and week by its price in the other stores of the same week, and its usual price; what
is left is particular to the store and week, and enters the choice as one more attribute:

    log p[s, j, t] = a[j] + b log p[-s, j, t] + e[s, j, t]
    P proportional to P_model^s exp(θ x + ρ e)

If ρ cannot be told from zero, the plain coefficient stands; else the one beside ρ is the better guess. The
instrument is valid only as far as other stores' prices do not answer the demand of this one: a promotion of
the whole chain that meets a shock of the whole chain passes unseen.

Source: Petrin and Train (2010), "A control function approach to endogeneity in consumer choice models";
Hausman (1996) for prices of other markets as instruments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.scenarios.responses import NAMES, fit_choice_response
from malles.vocabulary import Occasions

PRICE = NAMES.index("price")


@dataclass(frozen=True)
class PriceEvidence:
    """The correction of the model's price response, with and without a control function."""

    plain: float
    plain_error: float
    """Clustered by household."""
    controlled: float
    controlled_error: float
    """The first stage is taken as known; its own error is not in here."""
    residual: float
    """ρ."""
    residual_error: float
    first_stage_f: float
    """Of the instrument; below 10 it is weak."""
    cells: int
    """Products x stores x weeks of the first stage."""

    def __str__(self) -> str:
        said = f"price coefficient beyond the model {self.plain:+.3f} (s.e. {self.plain_error:.3f}); "
        if not np.isfinite(self.controlled):
            return said + "one store or too few prices, so no control function"
        told = abs(self.residual) > 1.96 * self.residual_error
        weak = " (a weak instrument)" if self.first_stage_f < 10 else ""
        return (
            said + f"with a control function {self.controlled:+.3f} (s.e. {self.controlled_error:.3f}), "
            f"residual {self.residual:+.3f} (s.e. {self.residual_error:.3f}), which "
            f"{'differs' if told else 'cannot be told'} from zero{weak}"
        )


def price_residuals(occasions: Occasions) -> tuple[Float[ndarray, "occasion alternative"], float, int]:
    """Residuals e (0 without a price in another store), the F of the instrument, and its cells."""
    out = np.zeros(occasions.shape)
    there = (occasions.product >= 0) & (occasions.price > 0)
    row, column = np.nonzero(there)
    product = occasions.product[row, column].astype(np.int64)
    store, week = occasions.store[row].astype(np.int64), occasions.week[row].astype(np.int64)
    key, first, back = np.unique(
        (product * 100_000 + week) * 100_000 + store, return_index=True, return_inverse=True
    )
    price = np.log(occasions.price[row, column][first].astype(float))
    _, pair = np.unique(key // 100_000, return_inverse=True)  # product and week
    number, total = np.bincount(pair), np.bincount(pair, price)
    others = number[pair] - 1
    usable = others > 0
    instrument = (total[pair] - price) / np.maximum(others, 1)
    _, item = np.unique(product[first], return_inverse=True)
    y, z = (_within(v, item, usable) for v in (price, instrument))
    if usable.sum() < 20 or (z[usable] ** 2).sum() < 1e-12:
        return out, float("nan"), int(usable.sum())
    slope = float((z * y)[usable].sum() / (z[usable] ** 2).sum())
    e = np.where(usable, y - slope * z, 0.0)
    freedom = int(usable.sum()) - len(np.unique(item[usable])) - 1
    error = np.sqrt((e[usable] ** 2).sum() / max(freedom, 1) / (z[usable] ** 2).sum())
    out[row, column] = e[back]
    return out, float((slope / max(error, 1e-12)) ** 2), int(usable.sum())


def find_price_evidence(
    probability: Float[ndarray, "occasion alternative"], occasions: Occasions
) -> PriceEvidence:
    """Both estimates of the price coefficient beyond a model's, on occasions that it was not fitted on.

    Args:
        probability: the model's.
        occasions: with known choices, in several stores.
    """
    plain = fit_choice_response(probability, occasions)
    residual, strength, cells = price_residuals(occasions)
    error = np.sqrt(np.diag(plain.covariance))
    nan = float("nan")
    if not np.isfinite(strength):
        return PriceEvidence(plain.value[PRICE], error[PRICE], nan, nan, nan, nan, nan, cells)
    both = fit_choice_response(probability, occasions, control=residual)
    wide = np.sqrt(np.diag(both.covariance))
    return PriceEvidence(
        float(plain.value[PRICE]), float(error[PRICE]), float(both.value[PRICE]), float(wide[PRICE]),
        float(both.value[-1]), float(wide[-1]), strength, cells,
    )  # fmt: skip


def _within(value: ndarray, group: ndarray, usable: ndarray) -> ndarray:
    """Deviations from group means over usable rows."""
    number = np.bincount(group, usable)
    mean = np.bincount(group, np.where(usable, value, 0.0)) / np.maximum(number, 1)
    return np.asarray(value - mean[group])
