"""Held-out customers and categories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from malles.errors import UsageError
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups, leave_group_out_folds, read_frozen


@pytest.fixture(scope="module")
def catalogue(random_market):
    return build_catalogue(random_market)


def test_the_frozen_lists_hold_22_groups_and_347_customers():
    assert len(read_frozen()["cold_groups"]) == 22
    assert len(set(read_frozen()["cold_customers"])) == 347


def test_a_customer_stays_cold_when_others_leave(catalogue, random_market):
    split = build_split(catalogue, cold_customers=0.3, seed=1)
    cold = set(catalogue.customer_key.filter(split.cold_customer).to_list())
    assert 0 < len(cold) < 40
    fewer = replace(
        random_market,
        transactions=random_market.transactions.filter(random_market.transactions["customer"] < 20),
    )
    smaller = build_catalogue(fewer)
    left = build_split(smaller, cold_customers=0.3, seed=1)
    assert set(smaller.customer_key.filter(left.cold_customer).to_list()) == {c for c in cold if c < 20}


def test_categories_of_one_group_are_held_out_together(catalogue):
    grouped = replace(
        catalogue, products=replace(catalogue.products, group=np.minimum(catalogue.products.group, 1))
    )
    for seed in range(8):
        split = build_split(grouped, cold_groups=0.5, seed=seed)
        groups = category_groups(grouped)
        for group in set(groups.tolist()):
            assert len(set(split.cold_category[groups == group].tolist())) == 1
        fold = leave_group_out_folds(grouped, 2, seed)
        assert fold[1] == fold[2]
        assert sorted(set(fold.tolist())) == [0, 1]


def test_overlapping_weeks_are_refused(catalogue):
    with pytest.raises(UsageError, match="overlap"):
        build_split(catalogue, valid=(40, 44))
