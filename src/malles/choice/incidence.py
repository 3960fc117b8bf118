"""Whether to buy at all, and the decision as incidence x choice x quantity."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from malles.errors import UsageError


def incidence_probability(
    index: Float[ndarray, " occasion"],
    inclusive_value: Float[ndarray, " occasion"] | None = None,
    dissimilarity: float = 1.0,
) -> Float[ndarray, " occasion"]:
    """Probability that a trip buys in the category: the upper level of a nested logit.

        P[buy] = 1 / (1 + exp(-(W + lambda I)))

    Args:
        index: utility W of buying in the category rather than not (rhythm, inventory, ...), dimensionless.
        inclusive_value: logsum I of the alternatives (`expected_maximum_utility`); else a binary logit.
        dissimilarity: lambda in (0, 1]; 1 makes not buying one more alternative of a plain logit.

    Raises:
        UsageError: `dissimilarity` lies outside (0, 1].

    Source: Ben-Akiva & Lerman (1985), chapter 10; Bucklin & Lattin (1991).

    >>> incidence_probability(np.array([0.0]), np.array([np.log(3.0)])).round(4)  # e^log 3 / (1 + e^log 3)
    array([0.75])
    """
    if not 0.0 < dissimilarity <= 1.0:
        raise UsageError(
            f"dissimilarity is {dissimilarity:g}; it must lie in (0, 1]. Use 1 for a plain logit."
        )
    total = index if inclusive_value is None else index + dissimilarity * inclusive_value
    with np.errstate(over="ignore"):
        bought: ndarray = np.where(total >= 0, 1.0 / (1.0 + np.exp(-np.abs(total))), _small_side(total))
    return bought


def decision_probabilities(
    incidence: Float[ndarray, " occasion"],
    choice: Float[ndarray, "occasion alternative"],
) -> Float[ndarray, "occasion alternative"]:
    """Probabilities of buying nothing (column 0) and of buying each alternative.

        P[n, 0] = 1 - incidence[n],   P[n, j] = incidence[n] x choice[n, j] for j > 0

    Args:
        incidence: probability of buying in the category.
        choice: choice probabilities given a purchase; column 0 must be 0, rows sum to one.

    Returns:
        Probabilities whose rows sum to one.

    Raises:
        UsageError: `choice` puts probability on column 0.

    Source: Gupta (1988), *Impact of sales promotions on when, what, and how much to buy*.

    >>> decision_probabilities(np.array([0.2]), np.array([[0.0, 0.25, 0.75]])).round(2)
    array([[0.8 , 0.05, 0.15]])
    """
    if choice.size and float(np.abs(choice[:, 0]).max()) > 0:
        largest = float(np.abs(choice[:, 0]).max())
        raise UsageError(
            f"column 0 of `choice` reaches {largest:g}; given a purchase it must be 0. "
            "Make the outside option unavailable, or use `purchase_split` first."
        )
    decision: ndarray = incidence[:, None] * choice
    decision[:, 0] = 1.0 - incidence
    return decision


def purchase_split(
    probability: Float[ndarray, "occasion alternative"],
) -> tuple[Float[ndarray, " occasion"], Float[ndarray, "occasion alternative"]]:
    """Incidence and choice given a purchase: `decision_probabilities` backwards.

    Where nothing is ever bought (column 0 has probability 1) the choice is 0 everywhere.

    >>> incidence, choice = purchase_split(np.array([[0.8, 0.05, 0.15]]))
    >>> incidence.round(2), choice.round(2)
    (array([0.2]), array([[0.  , 0.25, 0.75]]))
    """
    bought = probability[:, 1:].sum(axis=1)
    choice: ndarray = probability / np.where(bought > 0, bought, 1.0)[:, None]
    choice[:, 0] = 0.0
    return bought, choice


def expected_units(
    incidence: Float[ndarray, " occasion"],
    choice: Float[ndarray, "occasion alternative"],
    units_mean: Float[ndarray, "occasion alternative"],
) -> Float[ndarray, "occasion alternative"]:
    """Expected units of each alternative on each trip: incidence x choice x quantity.

        Q[n, j] = incidence[n] x choice[n, j] x units_mean[n, j]

    Args:
        incidence: probability of buying in the category.
        choice: choice probabilities given a purchase; column 0 is 0.
        units_mean: expected units if the alternative is bought; 0 in column 0.

    Source: Gupta (1988).

    >>> expected_units(np.array([0.5]), np.array([[0.0, 1.0]]), np.array([[0.0, 3.0]]))
    array([[0. , 1.5]])
    """
    units: ndarray = incidence[:, None] * choice * units_mean
    units[:, 0] = 0.0
    return units


def response_shares(
    base: tuple[float, float, float], changed: tuple[float, float, float]
) -> tuple[float, float, float]:
    """How much of a change of units came from incidence, choice and quantity; the parts sum to one.

        part[i] = log(changed[i] / base[i]) / log(product of changed / product of base)

    Args:
        base: mean incidence, choice probability and units, each > 0.
        changed: the same after the change.

    Raises:
        UsageError: a factor is not positive, or the total did not change.

    Source: Gupta (1988), equation 1 (decomposition of the promotion elasticity).

    >>> response_shares((0.1, 0.2, 1.0), (0.1, 0.4, 1.0))  # brand switching only
    (0.0, 1.0, 0.0)
    """
    if min(*base, *changed) <= 0:
        raise UsageError(
            f"the factors are {base} and {changed}; all must be positive. Use occasions with sales in both."
        )
    logs = np.log(np.asarray(changed) / np.asarray(base))
    if logs.sum() == 0:
        raise UsageError(
            "expected units are the same in both worlds, so no part can be stated. Compare two that differ."
        )
    part = logs / logs.sum()
    return float(part[0]), float(part[1]), float(part[2])


def _small_side(total: ndarray) -> ndarray:
    weight = np.exp(-np.abs(total))
    side: ndarray = weight / (1.0 + weight)
    return side


def available_given_purchase(
    available: Bool[ndarray, "occasion alternative"],
) -> Bool[ndarray, "occasion alternative"]:
    """The choice set once something is bought: column 0 is closed.

    >>> available_given_purchase(np.array([[True, True, False]]))
    array([[False,  True, False]])
    """
    purchase = available.copy()
    purchase[:, 0] = False
    return purchase
