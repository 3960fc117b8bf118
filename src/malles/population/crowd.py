"""A crowd: any number of customers with tastes of their own and a state that moves on, as columns of numbers.

    trip and incidence → choice → units → money → stock → state → counts

One period of one customer i, before whom the products j of the shelf stand:

    P(buys)  = trip_rate · sigmoid(intercept + inventory_effect · inventory[i] + discount_effect · deepest
               discount)
    V[i, j]  = constant[j] + coefficient[i] · attribute[j] + habit · (j was bought last)
               + gain · max(paid[i] − price[j], 0) + loss · min(paid[i] − price[j], 0)
    P(j)     = exp(V[i, j]) / sum over the products on the shelf of exp(V[i, k])
    units    = 1 + Poisson(extra · exp(growth · discount[j])), at most `most_units`, at most money / price
    then     inventory + units − use rate, money + income − spent, product and price bought last

`paid` is the price paid last, and V has no such term before a first purchase. Losses loom larger than gains
if loss > gain (Hardie, Johnson, Fader 1993). Money is whole hundredths, so no budget is ever overdrawn;
counts are integers, so their sums do not depend on the order of addition. Product 0 is buying nothing.

A crowd comes in shards of consecutive customers. What a customer is and does depends on its number and the
seed, never on the shard; only stock joins them, and it is given out by random priority
(`malles.population.rationing`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.special import gammainc, ndtri

from malles.errors import OccasionError, UsageError
from malles.population import crowd_kernels as kernels
from malles.population.kernels import uniform

MEASURES = ("chosen", "wished", "short_of_money", "buyers", "units", "hundredths")
"""Last axis of the counts: customers who chose the product, units they wished, customers whose money did not
suffice for all of them, customers who got units, these units, and what they paid. Under product 0, `chosen`
counts trips."""
BORN = 1 << 62
"""The period in whose random numbers customers are born; no roll-out is that long."""
MOST_PRODUCTS = 254


@dataclass(frozen=True)
class CrowdLaws:
    """How the customers of each archetype are and behave. Plain numbers, so that it can be kept as JSON."""

    archetype_share: tuple[float, ...]
    """[archetype], sums to one."""
    coefficient_mean: tuple[tuple[float, ...], ...]
    """[archetype][attribute], utility per unit of the attribute."""
    coefficient_spread: tuple[tuple[float, ...], ...]
    """[archetype][attribute], standard deviation over the customers of the archetype."""
    trip_rate: tuple[float, ...]
    """[archetype], chance of a trip per period."""
    use_rate: tuple[float, ...]
    """[archetype], median units used up per period."""
    income: tuple[int, ...]
    """[archetype], median money for these products per period, hundredths of the currency."""
    rate_spread: float = 0.3
    """Standard deviation of the logarithm of use rate and income over the customers of an archetype."""
    intercept: float = 0.5
    inventory_effect: float = -0.4
    """Incidence utility per unit at home."""
    discount_effect: float = 2.0
    """Incidence utility per unit of the deepest discount on the shelf."""
    habit: float = 0.8
    """Utility of the product bought last."""
    gain: float = 0.1
    loss: float = 0.2
    """Utility per currency unit below and above the price paid last."""
    units: tuple[float, float] = (0.3, 2.0)
    """Mean of extra units without discount, and growth of its logarithm per unit of discount."""
    most_units: int = 8
    feedback: float = 0.0
    """Utility per unit of a product's share of last period's units: what the others bought."""

    def __post_init__(self) -> None:
        sizes = {
            len(part)
            for part in (
                self.archetype_share,
                self.coefficient_mean,
                self.coefficient_spread,
                self.trip_rate,
                self.use_rate,
                self.income,
            )
        }
        if len(sizes) != 1 or not 1 <= len(self.archetype_share) <= 255:
            raise UsageError(
                f"the laws of a crowd name {sorted(sizes)} archetypes in different fields; "
                "give every field one entry per archetype, at most 255."
            )
        if abs(sum(self.archetype_share) - 1) > 1e-9 or min(self.archetype_share) < 0:
            raise UsageError(
                f"archetype_share sums to {sum(self.archetype_share):g}, expected shares that sum to 1."
            )


@dataclass(frozen=True)
class Shelf:
    """What every customer meets in one period."""

    attribute: Float[ndarray, "product attribute"]
    constant: Float[ndarray, " product"]
    """Utility not explained by attributes, with what depends on the period."""
    hundredths: Int[ndarray, " product"]
    """Net unit price in hundredths of the currency, > 0."""
    list_hundredths: Int[ndarray, " product"]
    available: Bool[ndarray, " product"]
    stock: Int[ndarray, " product"]
    """Units that can be sold this period; -1: as many as are asked for."""


@dataclass(frozen=True)
class Crowd:
    """A shard: consecutive customers, their tastes and their state."""

    laws: CrowdLaws
    seed: int
    first: int
    """Number of the first customer."""
    archetype: ndarray
    """[customer], uint8."""
    coefficient: ndarray
    """[attribute, customer], float32."""
    use_rate: ndarray
    """[customer], float32, units per period."""
    income: ndarray
    """[customer], int32, hundredths per period."""
    state: CrowdState
    choice: ndarray = field(repr=False)
    """[customer], uint8: product chosen in the latest period, 0 for none."""
    units: ndarray = field(repr=False)
    """[customer], uint8: units got in the latest period; 0 with a choice means that a limit left nothing."""

    def __len__(self) -> int:
        return len(self.archetype)


@dataclass(frozen=True)
class CrowdState:
    """What moves on from period to period, one entry per customer."""

    last: ndarray
    """Product bought last, uint8; 0: none yet."""
    inventory: ndarray
    """Units at home, float32, >= 0."""
    paid: ndarray
    """Price paid last, float32, currency; 0: none yet."""
    money: ndarray
    """Money left, int32, hundredths, >= 0."""

    def columns(self) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        """The four columns, in the order of the kernels."""
        return self.last, self.inventory, self.paid, self.money


def bytes_per_customer(attributes: int) -> int:
    """Memory of one customer: 4 bytes per taste, 22 for the rest of its columns and its latest decision.

    >>> bytes_per_customer(6)
    48
    """
    return 4 * attributes + (1 + 4 + 4) + (1 + 4 + 4 + 4) + 2


def build_crowd(laws: CrowdLaws, seed: int, first: int, size: int) -> Crowd:
    """The customers `first` to `first + size - 1` before the first period.

    >>> laws = CrowdLaws((1.0,), ((-1.0,),), ((0.5,),), (0.8,), (0.6,), (1000,))
    >>> one, two = build_crowd(laws, 1, 0, 10), build_crowd(laws, 1, 5, 5)
    >>> bool((one.coefficient[:, 5:] == two.coefficient).all())
    True
    """
    customer = np.arange(first, first + size)

    def draw(number: int) -> ndarray:
        return uniform(seed, BORN, customer, np.full(size, number))

    edges = np.cumsum(laws.archetype_share)[:-1]
    archetype = np.searchsorted(edges, draw(0), side="right").astype(np.uint8)
    mean, spread = np.asarray(laws.coefficient_mean), np.asarray(laws.coefficient_spread)
    coefficient = np.empty((mean.shape[1], size), np.float32)
    for k in range(len(coefficient)):
        coefficient[k] = mean[archetype, k] + spread[archetype, k] * ndtri(draw(3 + k))
    use = np.asarray(laws.use_rate)[archetype] * np.exp(laws.rate_spread * ndtri(draw(1)))
    income = np.asarray(laws.income)[archetype] * np.exp(laws.rate_spread * ndtri(draw(2)))
    income = np.minimum(income, kernels.MONEY_CAP).astype(np.int32)
    state = CrowdState(
        last=np.zeros(size, np.uint8),
        inventory=np.zeros(size, np.float32),
        paid=np.zeros(size, np.float32),
        money=income.copy(),
    )
    return Crowd(
        laws=laws,
        seed=seed,
        first=first,
        archetype=archetype,
        coefficient=coefficient,
        use_rate=use.astype(np.float32),
        income=income,
        state=state,
        choice=np.zeros(size, np.uint8),
        units=np.zeros(size, np.uint8),
    )


def draw_alternatives(
    coefficient: ndarray, attribute: ndarray, constant: ndarray, *, seed: int, period: int, first: int = 0
) -> ndarray:
    """The choice alone, by inverse distribution function with one random number per customer.

    Args:
        coefficient: [attribute, customer], float32.
        attribute: [alternative, attribute], float32.
        constant: [alternative], float32.
        seed: of the run.
        period: with the customer's number, the key of the random number.
        first: number of the first customer.

    Returns:
        [customer], uint8.

    >>> taste = np.zeros((1, 4), np.float32)
    >>> picks = draw_alternatives(taste, np.zeros((3, 1)), np.array([0, 60, 0]), seed=1, period=0)
    >>> picks
    array([1, 1, 1, 1], dtype=uint8)
    """
    out = np.empty(coefficient.shape[1], np.uint8)
    key = kernels.period_key(seed, period)
    kernels.draw_alternatives(
        key,
        first,
        np.ascontiguousarray(coefficient, np.float32),
        np.ascontiguousarray(attribute, np.float32),
        np.ascontiguousarray(constant, np.float32),
        out,
    )
    return out


@dataclass(frozen=True)
class Prepared:
    """A shelf and the laws in the form that kernel and twin read: only what is on the shelf, in float32."""

    product: ndarray
    attribute: ndarray
    constant: ndarray
    hundredths: ndarray
    price: ndarray
    effects: tuple[Any, ...]
    """habit, gain, loss, intercept with the deepest discount, inventory_effect; float32."""
    trip_rate: ndarray
    units_below: ndarray
    """[product on the shelf, k]: chance of at most k + 1 units, float32."""


def prepare(laws: CrowdLaws, shelf: Shelf) -> Prepared:
    """The shelf without what is not available or sold out from the start.

    Raises:
        OccasionError: a price is not positive, or there are more products than 254.
    """
    if len(shelf.constant) > MOST_PRODUCTS:
        raise OccasionError(
            f"a crowd chooses among at most {MOST_PRODUCTS} products, got {len(shelf.constant)}; "
            "let it choose a category first, or cut the shelf to what a customer considers."
        )
    if (shelf.hundredths <= 0).any():
        worst = int(np.argmin(shelf.hundredths))
        raise OccasionError(
            f"the price of product {worst + 1} is {shelf.hundredths[worst] / 100}, expected more than zero."
        )
    here = np.flatnonzero(shelf.available & (shelf.stock != 0))
    discount = np.maximum(1 - shelf.hundredths[here] / shelf.list_hundredths[here], 0.0)
    extra, growth = laws.units
    rate = extra * np.exp(growth * discount)
    number = np.arange(1, laws.most_units)
    at_most = gammainc_complement(number, rate)
    deepest = float(discount.max()) if len(here) else 0.0
    effects = (
        laws.habit,
        laws.gain,
        laws.loss,
        laws.intercept + laws.discount_effect * deepest,
        laws.inventory_effect,
    )
    return Prepared(
        product=(here + 1).astype(np.uint8),
        attribute=np.ascontiguousarray(shelf.attribute[here], np.float32),
        constant=shelf.constant[here].astype(np.float32),
        hundredths=shelf.hundredths[here].astype(np.int64),
        price=(shelf.hundredths[here] / 100).astype(np.float32),
        effects=tuple(np.float32(e) for e in effects),
        trip_rate=np.asarray(laws.trip_rate, np.float32),
        units_below=at_most.astype(np.float32),
    )


def gammainc_complement(number: ndarray, rate: ndarray) -> ndarray:
    """P(Poisson(rate) < number), [rate, number].

    >>> gammainc_complement(np.array([1]), np.array([0.5])).round(4)
    array([[0.6065]])
    """
    return np.asarray(1 - gammainc(number[None, :].astype(float), rate[:, None]))


def decide(crowd: Crowd, shelf: Shelf, period: int) -> ndarray:
    """Pass 1 of a period: what everybody wishes and can pay. Changes only `choice` and `units`.

    Returns:
        Counts [archetype, product, MEASURES], the first three filled.
    """
    ready = prepare(crowd.laws, shelf)
    counts = np.zeros((len(crowd.laws.archetype_share), len(shelf.constant) + 1, len(MEASURES)), np.int64)
    kernels.decide(
        kernels.period_key(crowd.seed, period),
        crowd.first,
        (crowd.coefficient, crowd.archetype),
        crowd.state.columns(),
        (ready.product, ready.price, ready.hundredths, ready.constant),
        ready.attribute,
        ready.effects,
        ready.trip_rate,
        ready.units_below,
        crowd.choice,
        crowd.units,
        counts,
    )
    return counts


def settle(crowd: Crowd, shelf: Shelf, period: int, limits: tuple[ndarray, ndarray, ndarray]) -> ndarray:
    """Pass 2 of a period: the limits of scarce products bind and the state moves on, once.

    Args:
        crowd: after `decide` of this period.
        shelf: of this period.
        period: its number.
        limits: of `malles.population.rationing.find_limits`.

    Returns:
        Counts [archetype, product, MEASURES], the last three filled.
    """
    counts = np.zeros((len(crowd.laws.archetype_share), len(shelf.constant) + 1, len(MEASURES)), np.int64)
    hundredths = np.concatenate([[0], shelf.hundredths]).astype(np.int64)
    kernels.settle(
        kernels.period_key(crowd.seed, period),
        crowd.first,
        (crowd.archetype, crowd.use_rate, crowd.income),
        crowd.state.columns(),
        hundredths,
        (hundredths / 100).astype(np.float32),
        limits,
        crowd.choice,
        crowd.units,
        counts,
    )
    return counts
