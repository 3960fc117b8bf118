"""What a model may see of a choice occasion, from nothing that happened at or after it.

Two clocks keep the future out (`docs/method/features.md`):

    own history   lines of the deciding customer with a time strictly before the occasion's
    everyone else lines of weeks strictly before the occasion's, the deciding customer's own left out

Of the present a model sees prices, list prices, announced promotions and the calendar. No column compares
a price with an earlier price of the chain: an exact tie would tell that the price was carried forward because
nobody bought.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from malles.errors import OccasionError
from malles.profiles import others_kernels
from malles.profiles.context import calendar_context
from malles.profiles.feature_store import OTHERS_NAMES, OWN_NAMES, PRICE_NAMES, FeatureStore
from malles.vocabulary import Catalogue, ChoiceData, Occasions, Regime

__all__ = ["OTHERS_NAMES", "OWN_NAMES", "PRICE_NAMES", "FeatureStore", "build_features", "with_prices"]


def build_features(
    catalogue: Catalogue,
    occasions: Occasions,
    regime: Regime = Regime.FULL,
    *,
    store: FeatureStore | None = None,
) -> ChoiceData:
    """Features of every alternative of every occasion, and the context of the occasion.

    Args:
        catalogue: lines, products, announced promotions. Lines at or after an occasion are never read for it.
        occasions: in any order; customers, stores and products the catalogue has no lines of are allowed.
        regime: `full`; `nohist` leaves out everything of the deciding customer but demographics, and takes
            its own lines out of popularity too; `launch` is built by `malles.profiles.launch`.
        store: an index made before with `FeatureStore(catalogue)`, to save its cost in small batches.

    Returns:
        `ChoiceData` with `OTHERS_NAMES` (+ `OWN_NAMES` in `full`) as features; zero without a product.

    Raises:
        OccasionError: a product or category code lies outside the catalogue.
    """
    if occasions.product.max(initial=-1) >= len(catalogue.products):
        raise OccasionError(
            f"Occasions name product code {int(occasions.product.max())}, but the catalogue has "
            f"{len(catalogue.products)} products; build the occasions from the same catalogue."
        )
    if occasions.category.max(initial=-1) >= max(len(catalogue.category_name), 1):
        raise OccasionError(
            f"Occasions name category code {int(occasions.category.max())}, but the catalogue has "
            f"{len(catalogue.category_name)} categories; build the occasions from the same catalogue."
        )
    if regime is Regime.LAUNCH:
        from malles.profiles.launch import build_launch_features

        return build_launch_features(catalogue, occasions)
    return (store or FeatureStore(catalogue)).build(occasions, regime)


def with_prices(data: ChoiceData, catalogue: Catalogue, occasions: Occasions) -> ChoiceData:
    """The same occasions under other prices and promotions: only columns that depend on them change.

    What is announced chain-wide stays as it was; change the catalogue's promotions and build anew for that.

    Args:
        data: features in the regime `full` or `nohist`.
        catalogue: the one `data` was built from.
        occasions: those of `data` with other `price`, `list_price` or `promotion`.
    """
    features: Float32[ndarray, "occasion alternative feature"] = data.features.copy()
    features[:, :, : len(PRICE_NAMES)] = 0
    others_kernels.price_columns(
        occasions.product,
        occasions.price,
        occasions.list_price,
        occasions.promotion,
        catalogue.products.amount,
        features,
    )
    if "price_tier" in data.feature_names:
        change = features[:, :, 0] - data.features[:, :, 0]
        index = data.feature_names.index
        ever = data.features[:, :, index("own_ever")] > 0
        some = (data.context[:, data.context_names.index("category_lines")] > 0)[:, None]
        for name in ("price_to_last_paid", "price_to_mean_paid"):
            features[:, :, index(name)] += np.where(ever, change, 0)
        tier = features[:, :, index("price_tier")]
        tier += np.where(some, change, 0)
        features[:, :, index("price_tier_distance")] = np.abs(tier)
    context = data.context.copy()
    when, names = calendar_context(occasions)
    first = data.context_names.index(names[0])
    context[:, first : first + len(names)] = when
    return replace(data, occasions=occasions, features=features, context=context)
