"""A market whose tastes, elasticities, purchase rhythm and feedback are known: the test bed for recovery.

One customer i on one trip in store s and week t, for category c:

    P(buys in c)   = sigmoid(incidence[0] + incidence[1] * inventory[i, c] + incidence[2] * deepest
    discount[c, s, t])
    V[i, j]        = constant[j] + taste[i, j] + price_coefficient[i] * price[j, s, t]
                     + display_effect * display[j, s, t] + feedback * share[j, t - 1] + b[i] · v[j]
    P(j | buys)    = exp(V[i, j]) / sum over k in c of exp(V[i, k])
    units          = 1 + Poisson(units[0] * exp(units[1] * discount of j))

The inventory grows by the units bought and shrinks by the customer's own rate of use every week. `share[j,
t]` is
the share of product j in the choices of its category in week t, over all stores: what other customers did is
what
this one sees (mean field).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from malles.data.home import assemble_dataset
from malles.errors import ConfigError
from malles.vocabulary import DataSet, Promotion

START = datetime(2024, 1, 1)
"""A Monday."""


@dataclass(frozen=True)
class MarketSettings:
    """Size and laws of a synthetic market."""

    customers: int = 300
    weeks: int = 52
    stores: int = 2
    categories: int = 3
    products: int = 6
    """Per category."""
    trip_rate: float = 0.8
    """Chance of a trip per customer and week."""
    price_coefficient: float = -1.2
    """Mean of the customers' price coefficients, 1 / currency."""
    price_spread: float = 0.3
    """Standard deviation of the price coefficient over customers."""
    taste_spread: float = 0.7
    """Standard deviation of a customer's own taste for a product."""
    display_effect: float = 0.8
    feedback: float = 0.0
    """Utility per unit of last week's share of the product (> 0 fashion, < 0 congestion)."""
    incidence: tuple[float, float, float] = (0.4, -0.9, 1.5)
    """Intercept, per unit of inventory, per deepest discount of the category."""
    use_rate: tuple[float, float] = (0.4, 1.2)
    """Least and greatest units a customer uses up per week."""
    units: tuple[float, float] = (0.25, 2.0)
    """Mean of extra units without discount, and growth of its logarithm per unit of discount."""
    discount_chance: float = 0.25
    discount_depth: tuple[float, float] = (0.1, 0.4)
    display_chance: tuple[float, float] = (0.05, 0.4)
    """Of a product without and with a discount."""
    constant_spread: float = 0.8
    """Standard deviation of a product's constant."""
    vector_size: int = 0
    """Length of the products' vectors v[j], in the column `embedding`; 0: no vectors."""
    vector_taste: tuple[float, float] = (1.0, 1.0)
    """Taste for the vectors: V[i, j] += b[i] · v[j]. Standard deviation over products of the part that all
    customers share, and of a customer's own part."""
    vector_missing: float = 0.0
    """Part of the products whose vector the data set does not tell."""
    new_products: int = 0
    """Of the products of a category, the last so many come to the shelf later: the first of them in week
    `new_week` (from 0), each of the others `new_every` weeks after the one before."""
    new_week: int = 0
    new_every: int = 0


@dataclass(frozen=True)
class Truth:
    """The laws behind a synthetic market and everything its customers saw."""

    settings: MarketSettings
    seed: int
    category: Int[ndarray, " product"]
    constant: Float[ndarray, " product"]
    """The first product of every category is 0."""
    list_price: Float[ndarray, " product"]
    price_coefficient: Float[ndarray, " customer"]
    taste: Float[ndarray, "customer product"]
    use_rate: Float[ndarray, "customer category"]
    price: Float[ndarray, "week store product"]
    display: Bool[ndarray, "week store product"]
    share: Float[ndarray, "week product"]
    """What customers saw of the week before (row t is used in week t)."""
    customer: Int[ndarray, " occasion"]
    """Purchases, in the order of the transactions."""
    week: Int[ndarray, " occasion"]
    """From 0."""
    store: Int[ndarray, " occasion"]
    product: Int[ndarray, " occasion"]
    units: Int[ndarray, " occasion"]
    chance: Float[ndarray, " occasion"]
    """P(product | buys) of the product taken."""
    trip_customer: Int[ndarray, " trip"]
    trip_week: Int[ndarray, " trip"]
    trip_store: Int[ndarray, " trip"]
    trip_inventory: Float[ndarray, "trip category"]
    trip_chance: Float[ndarray, "trip category"]
    """P(buys in category)."""
    trip_bought: Bool[ndarray, "trip category"]
    vector: Float[ndarray, "product dimension"] | None = None
    vector_taste: Float[ndarray, "customer dimension"] | None = None
    """b[i]; `taste` holds b[i] · v[j] too."""

    def offered(self, week: int | ndarray) -> Bool[ndarray, "... product"]:
        """Which products are on the shelf in a week (from 0), or in weeks."""
        return np.asarray(np.asarray(week)[..., None] >= first_weeks(self.settings))

    def products_of(self, category: int) -> Int[ndarray, " alternative"]:
        """Products of a category, in order."""
        return np.flatnonzero(self.category == category)

    def choice_arrays(self, category: int) -> dict[str, ndarray]:
        """The purchases of a category as arrays [occasion, alternative]: price, display, share; and chosen,
        customer, units.
        """
        inside = self.products_of(category)
        rows = np.flatnonzero(np.isin(self.product, inside))
        t, s = self.week[rows], self.store[rows]
        return {
            "price": self.price[t, s][:, inside],
            "display": self.display[t, s][:, inside].astype(float),
            "share": self.share[t][:, inside],
            "chosen": np.searchsorted(inside, self.product[rows]),
            "customer": self.customer[rows],
            "units": self.units[rows],
            "available": self.offered(t)[:, inside],
        }

    def choice_probability(
        self,
        category: int,
        price: Float[ndarray, " alternative"],
        *,
        display: ndarray | None = None,
        share: ndarray | None = None,
    ) -> Float[ndarray, "customer alternative"]:
        """P(alternative | buys) of every customer at given prices, without display or feedback unless
        given.
        """
        inside = self.products_of(category)
        v = (
            self.constant[inside]
            + self.taste[:, inside]
            + self.price_coefficient[:, None] * np.asarray(price)
        )
        if display is not None:
            v = v + self.settings.display_effect * np.asarray(display)
        if share is not None:
            v = v + self.settings.feedback * np.asarray(share)
        return _softmax(v)

    def own_price_elasticity(
        self, category: int, price: Float[ndarray, " alternative"] | None = None
    ) -> Float[ndarray, " alternative"]:
        """Own-price elasticity of the share among all customers, at list prices unless others are given.

        E[j] = price[j] / share[j] * mean over i of price_coefficient[i] * P[i, j] * (1 - P[i, j])
        """
        price = self.list_price[self.products_of(category)] if price is None else np.asarray(price)
        p = self.choice_probability(category, price)
        slope = (self.price_coefficient[:, None] * p * (1 - p)).mean(axis=0)
        return np.asarray(price * slope / p.mean(axis=0))


def _softmax(v: ndarray) -> ndarray:
    weight = np.exp(v - v.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def generate_market(settings: MarketSettings | None = None, *, seed: int) -> tuple[DataSet, Truth]:
    """A market drawn from known laws: its data set and the truth behind it; the same seed gives the same
    market.

    >>> data, truth = generate_market(MarketSettings(customers=20, weeks=4), seed=1)
    >>> len(data.transactions) == len(truth.product)
    True
    """
    s = settings or MarketSettings()
    if min(s.customers, s.weeks, s.stores, s.categories) < 1 or s.products < 2:
        raise ConfigError(
            f"A market needs at least 1 customer, week, store and category and 2 products; got {s}."
        )
    rng = np.random.default_rng(seed)
    count = s.categories * s.products
    category = np.repeat(np.arange(s.categories), s.products)
    constant = rng.normal(0.0, s.constant_spread, count)
    constant -= constant[np.arange(s.categories) * s.products][category]
    list_price = np.round(rng.uniform(1.5, 4.0, count), 2)
    coefficient = rng.normal(s.price_coefficient, s.price_spread, s.customers)
    taste = rng.normal(0.0, s.taste_spread, (s.customers, count))
    vector, vector_taste = draw_vectors(s, count, seed)
    if vector is not None and vector_taste is not None:
        taste = taste + vector_taste @ vector.T
    on_shelf = np.arange(s.weeks)[:, None] >= first_weeks(s)
    use_rate = rng.uniform(*s.use_rate, (s.customers, s.categories))
    home_store = rng.integers(0, s.stores, s.customers)

    shape = (s.weeks, s.stores, count)
    cut = rng.uniform(*s.discount_depth, shape) * (rng.random(shape) < s.discount_chance)
    cut *= on_shelf[:, None]
    price = np.round(list_price * (1 - cut), 2)
    discount = 1 - price / list_price
    display = rng.random(shape) < np.where(cut > 0, s.display_chance[1], s.display_chance[0])
    display &= on_shelf[:, None]

    inventory = rng.uniform(0.0, 2.0, (s.customers, s.categories))
    share = np.full(count, 1.0 / s.products)
    seen = np.empty((s.weeks, count))
    bought: list[tuple[ndarray, ...]] = []
    trips: list[tuple[ndarray, ...]] = []
    for t in range(s.weeks):
        seen[t] = share
        who = np.flatnonzero(rng.random(s.customers) < s.trip_rate)
        where = home_store[who]
        deepest = discount[t].reshape(s.stores, s.categories, s.products).max(axis=2)[where]
        chance = 1 / (
            1 + np.exp(-(s.incidence[0] + s.incidence[1] * inventory[who] + s.incidence[2] * deepest))
        )
        buys = rng.random(chance.shape) < chance
        trips.append((who, np.full(len(who), t), where, inventory[who].copy(), chance, buys))
        counts = np.zeros(count)
        for c in range(s.categories):
            inside = np.arange(c * s.products, (c + 1) * s.products)
            rows = np.flatnonzero(buys[:, c])
            i, store = who[rows], where[rows]
            v = (
                constant[inside]
                + taste[np.ix_(i, inside)]
                + coefficient[i, None] * price[t][np.ix_(store, inside)]
            )
            v += s.display_effect * display[t][np.ix_(store, inside)] + s.feedback * share[inside]
            v[:, ~on_shelf[t, inside]] = -np.inf
            p = _softmax(v)
            taken = np.minimum((p.cumsum(axis=1) < rng.random((len(i), 1))).sum(axis=1), s.products - 1)
            product = inside[taken]
            units = 1 + rng.poisson(s.units[0] * np.exp(s.units[1] * discount[t, store, product]))
            inventory[i, c] += units
            counts += np.bincount(product, minlength=count)
            bought.append((i, np.full(len(i), t), store, product, units, p[np.arange(len(i)), taken]))
        inventory = np.maximum(inventory - use_rate, 0.0)
        total = counts.reshape(s.categories, s.products).sum(axis=1)[category]
        share = np.where(total > 0, counts / np.maximum(total, 1), share)

    customer, week, store, product, units, taken_chance = (
        np.concatenate(part) for part in zip(*bought, strict=True)
    )
    order = np.lexsort((product, customer, week))
    customer, week, store, product, units, taken_chance = (
        a[order] for a in (customer, week, store, product, units, taken_chance)
    )
    visited = [np.concatenate(part) for part in zip(*trips, strict=True)]
    truth = Truth(
        s, seed, category, constant, list_price, coefficient, taste, use_rate, price, display, seen,
        customer, week, store, product, units, taken_chance, *visited,
    )  # fmt: skip
    truth = replace(truth, vector=vector, vector_taste=vector_taste)
    return _dataset(truth, rng), truth


def first_weeks(s: MarketSettings) -> Int[ndarray, " product"]:
    """Week from which each product is on the shelf.

    >>> late = MarketSettings(categories=1, products=4, new_products=2, new_week=9, new_every=3)
    >>> first_weeks(late).tolist()
    [0, 0, 9, 12]
    """
    late = np.arange(s.products) - (s.products - s.new_products)
    return np.tile(np.where(late >= 0, s.new_week + late * s.new_every, 0), s.categories)


def draw_vectors(s: MarketSettings, count: int, seed: int) -> tuple[ndarray | None, ndarray | None]:
    """Vectors of the products and tastes of the customers for them, from draws of their own."""
    if not s.vector_size:
        return None, None
    rng = np.random.default_rng([seed, 5])
    vector = rng.normal(0.0, 1.0, (count, s.vector_size))
    shared = rng.normal(0.0, 1.0, s.vector_size)
    shared *= s.vector_taste[0] / np.linalg.norm(shared)
    own = rng.normal(0.0, s.vector_taste[1] / np.sqrt(s.vector_size), (s.customers, s.vector_size))
    return vector, shared + own


def _dataset(truth: Truth, rng: np.random.Generator) -> DataSet:
    s = truth.settings
    moment = rng.integers(8 * 3600, 20 * 3600, (s.weeks, s.customers)) + 86_400 * rng.integers(
        0, 7, (s.weeks, s.customers)
    )
    when = truth.week.astype(np.int64) * 604_800 + moment[truth.week, truth.customer]
    base = int((START - datetime(1970, 1, 1)) / timedelta(microseconds=1))
    lines = pl.DataFrame(
        {
            "order": truth.week.astype(np.int64) * s.customers + truth.customer + 1,
            "timestamp": pl.Series(base + when * 1_000_000, dtype=pl.Int64).cast(pl.Datetime("us")),
            "week": (truth.week + 1).astype(np.int16),
            "customer": truth.customer.astype(np.int64) + 1,
            "store": truth.store.astype(np.int64) + 1,
            "product": truth.product.astype(np.int64) + 1,
            "quantity": truth.units.astype(np.int32),
            "price": truth.price[truth.week, truth.store, truth.product],
            "list_price": truth.list_price[truth.product],
        }
    ).sort("timestamp", "order", "product")
    count = len(truth.category)
    products = pl.DataFrame(
        {
            "product": np.arange(1, count + 1),
            "department": ["SYNTHETIC"] * count,
            "category": [f"CATEGORY {c + 1}" for c in truth.category],
            "subcategory": [f"CATEGORY {c + 1}" for c in truth.category],
            "brand": ["Private" if j % s.products == s.products - 1 else "National" for j in range(count)],
            "manufacturer": [str(j % s.products + 1) for j in range(count)],
            "size": ["12 OZ"] * count,
            "text": [f"category {c + 1} product {j % s.products + 1}" for j, c in enumerate(truth.category)],
        }
    )
    if truth.vector is not None:
        told = np.random.default_rng([truth.seed, 6]).random(count) >= s.vector_missing
        vectors = pl.Series("embedding", truth.vector.tolist(), pl.List(pl.Float32))
        products = products.with_columns(pl.when(pl.Series(told)).then(vectors).alias("embedding"))
    rank = truth.price_coefficient.argsort().argsort()
    customers = pl.DataFrame(
        {
            "customer": np.arange(1, s.customers + 1),
            "income": [("low", "middle", "high")[min(3 * int(r) // s.customers, 2)] for r in rank],
        }
    )
    t, store, product = np.nonzero(truth.display)
    promotions = pl.DataFrame(
        {
            "product": product + 1,
            "store": store + 1,
            "week": (t + 1).astype(np.int16),
            "kind": np.full(len(t), int(Promotion.DISPLAY), np.uint8),
        }
    ).sort("week", "store", "product")
    made = assemble_dataset(
        "synthetic",
        {"transactions": lines, "products": products, "customers": customers, "promotions": promotions},
        currency="USD",
        time_zone="UTC",
    )
    made.provenance.update(
        origin="malles.data.synthetic", licence="none needed: made by this program", seed=truth.seed,
        transactions={"records": len(lines), "accepted": len(lines), "quarantined": 0, "causes": {}},
    )  # fmt: skip
    return made
