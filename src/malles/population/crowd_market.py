"""A market for a crowd: laws and a plan of shelves over time, made up by seed, for scale runs and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from malles.errors import UsageError
from malles.population.crowd import CrowdLaws, Shelf


@dataclass(frozen=True)
class ShelfPlan:
    """What stands on the shelf in every period, and what reacts to the crowd."""

    attribute: Float[ndarray, "product attribute"]
    """Attribute 0 is replaced by the price of the period, in currency."""
    constant: Float[ndarray, " product"]
    hundredths: Int[ndarray, "period product"]
    list_hundredths: Int[ndarray, "period product"]
    available: Bool[ndarray, "period product"]
    stock: Int[ndarray, "period product"]
    """Units for the whole crowd; -1: as many as are asked for."""

    def __len__(self) -> int:
        return len(self.hundredths)


def build_shelf(
    plan: ShelfPlan, laws: CrowdLaws, period: int, sold: Int[ndarray, " product"] | None
) -> Shelf:
    """The shelf of a period; `sold` are the units of the period before: customers see what others bought.

    Raises:
        UsageError: the plan has no such period.
    """
    if not 0 <= period < len(plan):
        raise UsageError(f"the plan of shelves has {len(plan)} periods, got period {period}; plan it first.")
    share = np.zeros(len(plan.constant)) if sold is None or not sold.any() else sold / sold.sum()
    attribute = plan.attribute.copy()
    attribute[:, 0] = plan.hundredths[period] / 100
    return Shelf(
        attribute=attribute,
        constant=plan.constant + laws.feedback * share,
        hundredths=plan.hundredths[period],
        list_hundredths=plan.list_hundredths[period],
        available=plan.available[period],
        stock=plan.stock[period],
    )


def build_example(
    *,
    products: int = 20,
    attributes: int = 6,
    archetypes: int = 4,
    periods: int = 52,
    stock_per_customer: float = -1.0,
    customers: int = 0,
    seed: int = 0,
) -> tuple[CrowdLaws, ShelfPlan]:
    """Archetypes that differ in tastes and in how they mind the price, before shelves with promotions.

    Args:
        products: on the shelf, at most 254.
        attributes: measured properties; the first is the price.
        archetypes: kinds of customers.
        periods: of the plan.
        stock_per_customer: units per product, period and customer; negative: no limit.
        customers: of the crowd the stock is for.
        seed: of the market, not of the crowd.
    """
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(archetypes, 5.0))
    share[-1] = 1 - share[:-1].sum()
    mean = rng.normal(0, 0.5, (archetypes, attributes))
    mean[:, 0] = -np.exp(rng.normal(-1.0, 0.4, archetypes))  # utility per currency unit
    spread = np.full((archetypes, attributes), 0.4)
    spread[:, 0] = 0.1
    laws = CrowdLaws(
        archetype_share=tuple(share.tolist()),
        coefficient_mean=tuple(map(tuple, mean.tolist())),
        coefficient_spread=tuple(map(tuple, spread.tolist())),
        trip_rate=tuple(rng.uniform(0.6, 0.95, archetypes).tolist()),
        use_rate=tuple(rng.uniform(0.4, 1.0, archetypes).tolist()),
        income=tuple(int(v) for v in rng.uniform(400, 1500, archetypes)),
        feedback=1.0,
    )
    listed = np.tile(rng.integers(200, 800, products), (periods, 1))
    promoted = rng.random((periods, products)) < 0.2
    depth = rng.uniform(0.1, 0.4, (periods, products))
    price = np.where(promoted, np.round(listed * (1 - depth)), listed).astype(np.int64)
    limit = -1 if stock_per_customer < 0 else int(stock_per_customer * customers)
    return laws, ShelfPlan(
        attribute=rng.normal(0, 1, (products, attributes)),
        constant=rng.normal(0, 0.5, products),
        hundredths=price,
        list_hundredths=listed.astype(np.int64),
        available=np.ones((periods, products), bool),
        stock=np.full((periods, products), limit),
    )
