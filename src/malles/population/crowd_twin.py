"""One period of a crowd in plain numpy, customer by customer the same decisions as the kernels.

Equal to the last bit, not nearly: numpy does the same float32 additions and multiplications in the same
order, nothing is fused, the exponential is the same polynomial, and the random numbers are integers until the
end.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from malles.population import crowd_kernels as kernels
from malles.population.crowd import MEASURES, Crowd, CrowdState, Shelf, prepare
from malles.population.kernels import _GOLDEN, uniform_twin

F = np.float32


def exponential(v: ndarray) -> ndarray:
    """The polynomial of the kernels.

    >>> float(abs(exponential(np.float32([-3.0, 0.0, 5.0])) / np.exp([-3.0, 0.0, 5.0]) - 1).max()) < 3e-7
    True
    """
    v = np.minimum(np.maximum(v.astype(F), kernels.LEAST), kernels.MOST)
    rounded = v * kernels.LOG2E + kernels.ROUND
    n = rounded - kernels.ROUND
    r = v - n * kernels.LN2_HIGH
    r = r - n * kernels.LN2_LOW
    p = kernels.TAYLOR[0] * r + kernels.TAYLOR[1]
    for c in (*kernels.TAYLOR[2:], F(1), F(1)):
        p = p * r + c
    return np.asarray((p.view(np.int32) + (rounded.view(np.int32) << 23)).view(F))


def _uniform(crowd: Crowd, period: int, draw: int) -> ndarray:
    customer = np.arange(crowd.first, crowd.first + len(crowd))
    whole = uniform_twin(crowd.seed, period, customer, np.full(len(crowd), draw))
    return (np.floor(whole * 2.0**23).astype(F) + F(0.5)) * F(2.0**-23)


def utilities(crowd: Crowd, shelf: Shelf) -> ndarray:
    """V of every customer and product on the shelf, float32 [customer, product]."""
    ready = prepare(crowd.laws, shelf)
    habit, gain, loss = ready.effects[:3]
    out = np.empty((len(crowd), len(ready.constant)), F)
    for j in range(len(ready.constant)):
        v = np.full(len(crowd), ready.constant[j], F)
        for k in range(len(crowd.coefficient)):
            v = v + crowd.coefficient[k] * ready.attribute[j, k]
        change = np.where(crowd.state.paid > 0, crowd.state.paid - ready.price[j], F(0))
        v = v + np.where(crowd.state.last == ready.product[j], habit, F(0))
        v = v + gain * np.maximum(change, F(0))
        out[:, j] = v + loss * np.minimum(change, F(0))
    return out


def decide_twin(crowd: Crowd, shelf: Shelf, period: int) -> tuple[ndarray, ndarray]:
    """Product chosen and units wished, as `crowd.decide` leaves them in the crowd."""
    ready = prepare(crowd.laws, shelf)
    weight = exponential(utilities(crowd, shelf))
    run = np.zeros_like(weight)
    total = np.zeros(len(crowd), F)
    for j in range(weight.shape[1]):
        total = total + weight[:, j]
        run[:, j] = total
    goal = _uniform(crowd, period, 1) * total
    pick = (run[:, :-1] <= goal[:, None]).sum(1)
    intercept, inventory_effect = ready.effects[3:]
    odds = F(1) + exponential(-(intercept + inventory_effect * crowd.state.inventory))
    buys = _uniform(crowd, period, 0) * odds < ready.trip_rate[crowd.archetype]
    units = 1 + (_uniform(crowd, period, 2)[:, None] > ready.units_below[pick]).sum(1)
    units = np.minimum(units, crowd.state.money // ready.hundredths[pick])
    return np.where(buys, ready.product[pick].astype(int), 0), np.where(buys, units, 0)


def ration_twin(
    crowd: Crowd, choice: ndarray, units: ndarray, stock: Int[ndarray, " product"], period: int
) -> ndarray:
    """Units got when customers come one after the other in the order of their priority."""
    customer = np.arange(crowd.first, crowd.first + len(crowd))
    with np.errstate(over="ignore"):
        z: ndarray = np.full(len(crowd), crowd.seed, np.uint64)
        z = z + _GOLDEN
        for part in (np.full(len(crowd), period), customer, np.full(len(crowd), 3)):
            z = _mix(z)
            z = (z ^ part.astype(np.uint64)) + _GOLDEN
        priority = _mix(z)
    got, left = units.copy(), stock.copy()
    for i in np.lexsort((customer, priority)):
        j = choice[i] - 1
        if j >= 0 and left[j] >= 0:
            got[i] = min(units[i], left[j])
            left[j] -= got[i]
    return got


def _mix(z: ndarray) -> ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def settle_twin(crowd: Crowd, shelf: Shelf, choice: ndarray, units: ndarray) -> tuple[CrowdState, ndarray]:
    """The state after the period, and the counts of what was bought, as `crowd.settle` makes them."""
    hundredths = np.concatenate([[0], shelf.hundredths]).astype(np.int64)
    got, spent = units > 0, units * hundredths[choice]
    counts = np.zeros((len(crowd.laws.archetype_share), len(hundredths), len(MEASURES)), np.int64)
    for measure, amount in ((3, got), (4, units), (5, spent)):
        np.add.at(counts[:, :, measure], (crowd.archetype[got], choice[got]), amount[got])
    state = CrowdState(
        last=np.where(got, choice, crowd.state.last).astype(np.uint8),
        inventory=np.maximum(crowd.state.inventory + units.astype(F) - crowd.use_rate, F(0)),
        paid=np.where(got, (hundredths / 100).astype(F)[choice], crowd.state.paid),
        money=np.minimum(crowd.state.money.astype(np.int64) + crowd.income - spent, kernels.MONEY_CAP).astype(
            np.int32
        ),
    )
    return state, counts
