"""The set model reads vectors: tastes that live in them are found, and a saved head sees the same axes."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from malles.data.synthetic import generate_market
from malles.errors import ModelError
from malles.head.model import FittedHead, HeadSettings
from malles.head.vectors import fit_projection
from malles.occasions.catalogue import build_catalogue
from malles.profiles.features import build_features

YARDSTICK = Path(__file__).parents[2] / "benchmarks" / "embeddings.py"


@pytest.fixture(scope="module")
def parts():
    """Training and later occasions of the yardstick's market, smaller, with vectors and without."""
    found = importlib.util.spec_from_file_location("embeddings_yardstick", YARDSTICK)
    yardstick = importlib.util.module_from_spec(found)
    found.loader.exec_module(yardstick)
    market = replace(
        yardstick.MARKET, customers=120, weeks=40, categories=3, new_week=6, vector_size=6, vector_missing=0.1
    )
    data, truth = generate_market(market, seed=4)
    catalogue = build_catalogue(data)
    occasions = yardstick.occasions_of(data, truth, catalogue)
    week = occasions.week
    made = []
    for known in (catalogue, yardstick.without_vectors(catalogue)):
        data = build_features(known, occasions)
        times = ((week > 6) & (week <= 27), (week > 27) & (week <= 30), week > 30)
        made.append([data.take(np.flatnonzero(rows)) for rows in times])
    return made


def loss(model, data):
    p = model.predict(data)
    return -float(np.log(p[np.arange(len(data)), data.occasions.chosen]).mean())


@pytest.fixture(scope="module")
def fitted(parts):
    return [HeadSettings(seed=1, width=32, epochs=6, batch=64).fit(train, valid) for train, valid, _ in parts]


def test_a_taste_for_vectors_is_found_from_the_past(parts, fitted):
    with_, without = (loss(model, part[2]) for model, part in zip(fitted, parts, strict=True))
    assert with_ < without - 0.03


def test_components_are_centred_over_the_alternatives_that_have_a_vector(parts):
    train = parts[0][0]
    projection = fit_projection(train)
    assert projection is not None
    more = projection.add(train)
    assert more.feature_names[len(train.feature_names) :] == tuple(f"vector_{k}" for k in range(6))
    x = more.features[:, :, len(train.feature_names) :]
    assert np.abs(x.sum(axis=1)).max() < 1e-3
    assert (x[train.feature("vector_known") == 0] == 0).all()
    np.testing.assert_array_equal(more.features[:, :, : len(train.feature_names)], train.features)


def test_a_saved_head_says_the_same(parts, fitted, tmp_path):
    fitted[0].save(tmp_path / "head")
    loaded = FittedHead.load(tmp_path / "head")
    later = parts[0][2].take(np.arange(50))
    np.testing.assert_array_equal(loaded.predict(later), fitted[0].predict(later))


def test_a_head_without_vectors_saves_what_it_did_before(fitted, tmp_path):
    from safetensors.numpy import load_file

    fitted[1].save(tmp_path / "head")
    names = set(load_file(tmp_path / "head" / "weights.safetensors"))
    assert names == set(fitted[1].parameters) | {
        f"input.{name}" for name in ("feature_mean", "feature_scale", "context_mean", "context_scale")
    }
    assert fitted[1].projection is None


def test_other_embedding_columns_are_refused(parts, fitted):
    data = parts[0][2].take(np.arange(5))
    products = data.catalogue.products
    other = replace(products, embeddings=(replace(products.embeddings[0], name="picture"),))
    data = replace(data, catalogue=replace(data.catalogue, products=other))
    with pytest.raises(ModelError, match="fitted on the embedding columns embedding of"):
        fitted[0].predict(data)


def test_renaming_the_order_of_alternatives_reorders_the_answer(parts, fitted):
    data = parts[0][2].take(np.arange(20))
    o, order = data.occasions, np.r_[0, np.arange(data.occasions.shape[1] - 1, 0, -1)]
    turned = replace(
        data,
        features=data.features[:, order],
        occasions=replace(
            o,
            **{
                n: getattr(o, n)[:, order]
                for n in ("product", "price", "list_price", "promotion", "available", "rank")
            },
        ),
    )
    np.testing.assert_allclose(fitted[0].predict(turned), fitted[0].predict(data)[:, order], atol=1e-5)
