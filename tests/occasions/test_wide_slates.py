"""Slates of a whole group of products: nested, from the past, and the same rules as any other slate."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest

from malles.errors import OccasionError
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.rules import OccasionRules
from malles.occasions.wide_slates import narrow_slates, widen_to_groups
from malles.profiles.features import build_features
from malles.vocabulary import Catalogue, Occasions

WIDE, NARROW = 8, 3


@pytest.fixture(scope="module")
def narrow_categories(random_market) -> Catalogue:
    """Three groups of nine products, each cut into three categories of three."""
    products = random_market.products.with_columns(
        subcategory=pl.Series([f"S{k // 3}" for k in range(27)]), brand=pl.lit("Private")
    )
    return build_catalogue(replace(random_market, products=products))


def test_a_slate_of_a_group_holds_products_of_several_categories(narrow_categories):
    catalogue = widen_to_groups(narrow_categories)
    assert len(narrow_categories.category_name) == 9
    assert catalogue.category_name == ("G0", "G1", "G2")
    found = build_occasions(catalogue, OccasionRules(alternatives=WIDE, min_alternatives=WIDE)).occasions
    code = np.where(found.available, narrow_categories.products.category[found.product], -1)
    assert all(len(set(row[row >= 0])) > 1 for row in code)
    group = np.where(found.available, catalogue.products.category[found.product], found.category[:, None])
    assert (group == found.category[:, None]).all()
    features = build_features(catalogue, found)
    assert np.isfinite(features.features).all()


def test_a_narrow_slate_is_the_beginning_of_the_wide_one(narrow_categories):
    """Cutting a slate of eight to three gives the occasions that are built with three; those whose choice
    falls out are unknown, and there are as many of them as the direct build drops."""
    catalogue = widen_to_groups(narrow_categories)
    wide = build_occasions(catalogue, OccasionRules(alternatives=WIDE, min_alternatives=WIDE))
    direct = build_occasions(catalogue, OccasionRules(alternatives=NARROW, min_alternatives=NARROW))
    cut = narrow_slates(wide.occasions, NARROW)
    assert cut.shape[1] == NARROW + 1
    known = cut.take(np.flatnonzero(cut.chosen >= 0))
    outside = "choice outside the slate"
    lost = int((cut.chosen < 0).sum())
    assert direct.dropped[outside] == wide.dropped[outside] + lost
    assert lost > 0 and len(known) > 20
    for field in fields(Occasions):
        left, right = getattr(known, field.name), getattr(direct.occasions, field.name)
        assert left.dtype == right.dtype, field.name
        np.testing.assert_array_equal(left, right, err_msg=field.name)


def test_groups_that_do_not_stand_together_are_refused(narrow_categories):
    products = narrow_categories.products
    mixed = np.where(products.category >= 0, products.category % 2, -1).astype(np.int32)
    with pytest.raises(OccasionError, match="not sorted by group"):
        widen_to_groups(replace(narrow_categories, products=replace(products, group=mixed)))
