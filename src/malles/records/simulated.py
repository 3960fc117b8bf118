"""The tables of simulated weeks: trips, decisions, aggregates beside what was sold, and the mean field µ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy import ndarray

from malles.population.simulation import Simulation, WeekResult
from malles.profiles.incidence import Purchases, Shelf
from malles.records.keys import categories_of, keys_of, moments
from malles.vocabulary import Catalogue, Promotion

_Z = 1.96
"""Half-width of a 95 % interval in standard deviations."""


@dataclass(frozen=True)
class Recorder:
    """What simulated weeks are recorded beside."""

    catalogue: Catalogue
    shelves: Mapping[int, Shelf]
    actual: Purchases
    """What was really bought; only the simulated weeks are looked at."""
    dispersion: Float[ndarray, " category"]
    """Variance of weekly units over the Poisson variance, as fitted on the calibration weeks; at least 1."""

    def record(self, simulations: Sequence[Simulation]) -> dict[str, pl.DataFrame]:
        """Every table of the simulated weeks by name; of equal simulations the first one is recorded."""
        builders = {
            "trips": self._trips,
            "decisions": self._decisions,
            "category_week": self._category_week,
            "week_total": self._week_total,
            "product_week": self._product_week,
            "mean_field": self._mean_field,
            "category_field": self._category_field,
            "fixed_point": self._fixed_point,
        }
        return {
            name: pl.concat(
                build(week).select(
                    pl.lit(simulation.mode.value).alias("mode"),
                    pl.lit(simulation.trips.value).alias("trip_source"),
                    pl.lit(week.week, pl.Int64).alias("week"),
                    pl.all(),
                )
                for simulation, week in _weeks(simulations)
            )
            for name, build in builders.items()
        }

    def _trips(self, week: WeekResult) -> pl.DataFrame:
        bought = week.purchases
        units = np.bincount(bought.trip, bought.units, minlength=len(bought)).astype(np.int64)
        return self._of_trips(bought, np.arange(len(bought))).with_columns(units=pl.Series(units))

    def _of_trips(self, bought: Purchases, trip: ndarray) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "trip": trip,
                "customer": keys_of(self.catalogue.customer_key, bought.customer[trip]),
                "store": keys_of(self.catalogue.store_key, bought.store[trip]),
                "timestamp": moments(bought.timestamp[trip]),
            }
        )

    def _decisions(self, week: WeekResult) -> pl.DataFrame:
        bought, shelf = week.purchases, self.shelves[week.week]
        purchase = bought.purchase_of_item
        trip, category, item = bought.trip[purchase], bought.category[purchase], bought.item
        row = shelf.row[bought.store[trip], category]
        here = (item >= 0) & (row >= 0)
        known = pl.Series(here)
        column = (shelf.product[row] == item[:, None]).argmax(1)
        promotion = shelf.promotion[row, column]

        def of_shelf(values: ndarray) -> pl.Series:
            return pl.select(pl.when(known).then(pl.Series(values))).to_series()

        return self._of_trips(bought, trip).with_columns(
            category=categories_of(self.catalogue, category),
            product=keys_of(self.catalogue.products.key, item),
            units=pl.Series(bought.item_units),
            price=of_shelf(_as_written(shelf.price[row, column])),
            list_price=of_shelf(_as_written(shelf.list_price[row, column])),
            display=of_shelf((promotion & Promotion.DISPLAY) > 0),
            mailer=of_shelf((promotion & (Promotion.MAILER | Promotion.MAILER_PAGE)) > 0),
        )

    def _sold(self, week: int) -> Float[ndarray, " category"]:
        units = self.actual.units_by_week(np.array([week]), len(self.catalogue.category_name))
        return np.asarray(units[:, 0])

    def _category_week(self, week: WeekResult) -> pl.DataFrame:
        expected = week.expected_units
        spread = _Z * np.sqrt(self.dispersion * expected)
        return pl.DataFrame(
            {
                "category": self.catalogue.category_name,
                "expected_units": expected,
                "drawn_units": week.drawn_units,
                "actual_units": self._sold(week.week),
                "expected_purchases": week.expected_purchases,
                "other_units": week.other_units,
                "low": np.maximum(expected - spread, 0.0),
                "high": expected + spread,
            }
        )

    def _week_total(self, week: WeekResult) -> pl.DataFrame:
        expected = float(week.expected_units.sum())
        spread = _Z * float(np.sqrt((self.dispersion * week.expected_units).sum()))
        return pl.DataFrame(
            {
                "trips": [week.trips],
                "expected_units": [expected],
                "drawn_units": [int(week.drawn_units.sum())],
                "actual_units": [float(self._sold(week.week).sum())],
                "low": [max(expected - spread, 0.0)],
                "high": [expected + spread],
            }
        )

    def _product_week(self, week: WeekResult) -> pl.DataFrame:
        drawn = _units_by_product(week.purchases, len(self.catalogue.products))
        then = self.actual.take(self.actual.week == week.week)
        sold = _units_by_product(then, len(self.catalogue.products))
        inside = self.catalogue.products.category >= 0
        rows = np.flatnonzero(inside & ((week.product_units > 0) | (drawn > 0) | (sold > 0)))
        return self._of_products(rows).with_columns(
            expected_units=pl.Series(week.product_units[rows]),
            shelf_units=pl.Series(week.shelf_units[rows]),
            drawn_units=pl.Series(drawn[rows]),
            actual_units=pl.Series(sold[rows]),
        )

    def _of_products(self, product: ndarray) -> pl.DataFrame:
        products = self.catalogue.products
        return pl.DataFrame(
            {
                "product": keys_of(products.key, product),
                "category": categories_of(self.catalogue, products.category[product]),
            }
        )

    def _mean_field(self, week: WeekResult) -> pl.DataFrame:
        solved, drawn = week.solved, week.mean_field.alternative_share
        reacted = np.zeros(len(drawn), bool)
        reacted[solved.product] = True
        rows = np.flatnonzero(reacted | (drawn > 0))
        place = pl.Series(np.searchsorted(solved.product, rows)).set(pl.Series(~reacted[rows]), None)

        def of_solved(values: ndarray) -> pl.Series:
            if not len(solved.product):
                return pl.Series([None] * len(rows), dtype=pl.Float64)
            return pl.Series(values).gather(place)

        return self._of_products(rows).with_columns(
            solved_share=of_solved(solved.fixed_point.field),
            past_share=of_solved(solved.past_share),
            long_share=of_solved(solved.long_share),
            drawn_share=pl.Series(drawn[rows]),
        )

    def _category_field(self, week: WeekResult) -> pl.DataFrame:
        names = ("category_share", "mean_quantity", "price_index", "availability")
        field = {name: getattr(week.mean_field, name) for name in names}
        return pl.DataFrame({"category": self.catalogue.category_name, **field})

    def _fixed_point(self, week: WeekResult) -> pl.DataFrame:
        found = week.fixed_point
        gaps = np.array(found.gaps, float)
        return pl.DataFrame(
            {
                "iteration": np.arange(1, len(gaps) + 1),
                "gap": pl.Series(gaps).set(pl.Series(~np.isfinite(gaps)), None),
            }
        ).with_columns(
            status=pl.lit(found.status.name),
            contraction=pl.lit(float(found.contraction)),
            other_fields=pl.lit(len(found.others)),
        )


def _weeks(simulations: Sequence[Simulation]) -> Iterator[tuple[Simulation, WeekResult]]:
    seen: set[tuple[str, str]] = set()
    for simulation in simulations:
        if (simulation.mode.value, simulation.trips.value) not in seen:
            seen.add((simulation.mode.value, simulation.trips.value))
            yield from ((simulation, week) for week in simulation.weeks)


def _units_by_product(bought: Purchases, products: int) -> ndarray:
    known = bought.item >= 0
    return np.bincount(bought.item[known], bought.item_units[known], minlength=products).astype(np.int64)


def _as_written(price: ndarray) -> ndarray:
    """Prices are kept in single precision; 1.89 is written as 1.89, not as 1.8899999856948853."""
    return np.round(price.astype(float), 6)
