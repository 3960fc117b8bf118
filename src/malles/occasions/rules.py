"""The rules of this room as data: what counts as a choice category, and how a slate is formed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from malles.vocabulary import Catalogue, DataSet


@dataclass(frozen=True)
class CatalogueRules:
    """When a category is a substitution set that choices can be studied in.

    The defaults are those of choice benchmark v1 on Complete Journey. `CatalogueRules.scaled_to(dataset)`
    lowers the counts for a smaller data set.
    """

    min_lines: int = 800
    """Fewest lines of a choice category, in the weeks used for fitting."""
    min_products: int = 8
    """Fewest products that are themselves sold often enough (`min_product_lines`)."""
    min_product_lines: int = 10
    """Lines from which a product counts towards `min_products`."""
    min_price_agreement: float = 0.7
    """Least share of lines that sit within `price_tolerance` of their product's chain-week median, [0, 1].

    Random-weight goods (meat, deli) fail it: their unit price cannot be inferred from other people's lines.
    """
    price_tolerance: float = 0.02
    """Relative distance from the median that still counts as agreement."""
    min_cell_lines: int = 2
    """Product-weeks with fewer lines do not enter the agreement: one line always agrees with itself."""
    min_store_lines: int = 300
    """Lines in choice categories from which slates are formed for a store itself."""
    stores_from_all_weeks: bool = True
    """Count `min_store_lines` over all weeks, as benchmark v1 does, not only over those used for fitting."""
    excluded_departments: tuple[str, ...] = (
        "FUEL",
        "MISCELLANEOUS",
        "FLORAL",
        "SALAD BAR",
        "PHARMACEUTICAL",
        "COUPON",
        "AUTOMOTIVE",
        "POSTAL CENTER",
        "PHOTO & VIDEO",
    )
    """Departments whose lines are not purchases of goods on a shelf; left out of `Lines` altogether."""
    excluded_category_words: tuple[str, ...] = ("COUPON", "FUEL")
    """A category whose name contains one of these words is left out of `Lines` altogether."""

    @classmethod
    def scaled_to(cls, dataset: DataSet) -> CatalogueRules:
        """The rules for a data set of this size: benchmark v1 from half a million lines on, lower below.

            min_lines = 0.0007 x lines, at least 20;   min_store_lines = 0.0002 x lines, at least 10

        Below 500,000 lines a category needs 2 products with 3 lines each, and stores are counted over the
        weeks used for fitting only.
        """
        lines = dataset.transactions.height
        if dataset.name == "complete_journey" or lines >= 500_000:
            return cls()
        return cls(
            min_lines=max(20, math.ceil(0.0007 * lines)),
            min_products=2,
            min_product_lines=3,
            min_store_lines=max(10, math.ceil(0.0002 * lines)),
            stores_from_all_weeks=False,
        )


@dataclass(frozen=True)
class OccasionRules:
    """How choice sets are formed from past weeks."""

    alternatives: int = 20
    """J, the length of a slate."""
    min_alternatives: int = 5
    """Shorter slates are dropped."""
    live_weeks: int = 8
    """A product is live if the chain sold it in so many weeks before."""
    store_weeks: int = 26
    """Window of the store's own lines in the score."""
    chain_weight: float = 5.0
    """Weight of the chain share beside the store's lines: score = store lines + weight x chain share."""
    first_week: int = 9
    """Earliest week with occasions: before it there is not enough past."""
    multi: bool = False
    """Turn a basket with several products of a category into several choices (benchmark v1 leaves them
    out).
    """
    other: bool = False
    """Add the last column OTHER, which stands for every product of the category outside the slate."""

    @classmethod
    def scaled_to(cls, catalogue: Catalogue) -> OccasionRules:
        """The rules for a catalogue: benchmark v1, with shorter slates and an earlier start for a small one.

        The least length is the median number of products of a category, from 2 to 5; the first week lies
        behind the first quarter of the weeks, at most week 9.
        """
        eligible = catalogue.products.category[catalogue.products.category >= 0]
        median = int(np.median(np.bincount(eligible))) if len(eligible) else 2
        weeks = int(catalogue.lines.week.max(initial=1))
        return cls(min_alternatives=min(5, max(2, median)), first_week=min(9, 1 + max(1, weeks // 4)))
