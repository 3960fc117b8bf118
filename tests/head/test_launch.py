from __future__ import annotations

import doctest
import importlib
import json
from dataclasses import replace

import numpy as np
import pytest

from malles.choice.model import ChoiceModel
from malles.errors import ModelError, OccasionError
from malles.head.launch import (
    FittedLaunchHead,
    LaunchSettings,
    folds_of_groups,
    masked_softmax,
    member_utility,
    products_of,
    relative_features,
)
from malles.vocabulary import OTHER, OUTSIDE, PADDING, ChoiceData, Occasions, Regime

SMALL = LaunchSettings(hidden=8, members=2, epochs=3, occasions=1500, batch=64, rate=0.02, dropout=0.1)
TASTE = np.array([1.5, -1.0, 0.0])


def drawn_choices(seed=0, n=1600, width=6, *, other=False):
    """Choices of a known logit of three features; levels differ by category, tastes do not."""
    rng = np.random.default_rng(seed)
    category = rng.integers(8, size=n).astype(np.int32)
    J = width + 2
    x = np.zeros((n, J, 3), np.float32)
    x[:, 1 : width + 1] = rng.normal(size=(n, width, 3)) + 5 * category[:, None, None]
    product = np.full((n, J), PADDING, np.int32)
    product[:, 0] = OUTSIDE
    product[:, 1 : width + 1] = rng.integers(50, size=(n, width))
    if other:
        product[:, -1] = OTHER
    available = (product >= 0) | (product == OTHER)
    V = np.where(product >= 0, x @ TASTE + rng.gumbel(size=(n, J)), -np.inf)
    chosen = V.argmax(1).astype(np.int16)
    if other:
        chosen[: n // 4] = J - 1
    zero = np.zeros((n, J), np.float32)
    occasions = Occasions(
        customer=np.zeros(n, np.int32),
        store=np.zeros(n, np.int32),
        basket=np.arange(n),
        week=np.ones(n, np.int16),
        timestamp=np.zeros(n, np.int64),
        category=category,
        product=product,
        price=zero,
        list_price=zero,
        promotion=zero.astype(np.uint8),
        available=available,
        rank=np.zeros((n, J), np.int16),
        chosen=chosen,
        units=np.ones(n, np.int32),
    )
    context = np.zeros((n, 0), np.float32)
    return ChoiceData(occasions, x, ("a", "b", "c"), context, (), Regime.LAUNCH), category // 2


@pytest.fixture(scope="module")
def fitted():
    data, group = drawn_choices()
    return SMALL.fit(data, group)


def log_loss(probability, chosen):
    return -np.log(probability[np.arange(len(chosen)), chosen]).mean()


def test_it_comes_near_the_true_logit_on_new_draws(fitted):
    data, _ = drawn_choices(9)
    products = products_of(data.occasions)
    truth = masked_softmax(data.features @ TASTE, products)
    found = fitted.predict(data)
    best = log_loss(truth, data.occasions.chosen)
    assert best < 1.2 < np.log(6), "the choices can be learnt"
    assert log_loss(found, data.occasions.chosen) < best + 0.06


def test_probabilities_follow_the_protocol(fitted):
    data, _ = drawn_choices(2, 50)
    P = fitted.predict(data)
    assert isinstance(fitted, ChoiceModel)
    np.testing.assert_allclose(P.sum(1), 1, rtol=1e-6)
    assert (P[~data.occasions.available] == 0).all() and (P[:, 0] == 0).all()


def test_a_level_added_to_a_whole_slate_changes_nothing(fitted):
    data, _ = drawn_choices(3, 50)
    raised = replace(data, features=data.features + np.float32(8.0) * products_of(data.occasions)[:, :, None])
    np.testing.assert_allclose(fitted.predict(raised), fitted.predict(data), atol=1e-4)


def test_the_order_of_alternatives_does_not_matter(fitted):
    data, _ = drawn_choices(4, 50)
    order = np.array([0, 6, 5, 4, 3, 2, 1, 7])
    o = data.occasions
    turned = replace(
        data,
        features=data.features[:, order],
        occasions=replace(o, product=o.product[:, order], available=o.available[:, order]),
    )
    np.testing.assert_allclose(fitted.predict(turned), fitted.predict(data)[:, order], atol=1e-5)


def test_another_product_has_the_share_it_had_in_training():
    """A quarter of 800 choices were OTHER: (200 + 1) / (800 + 21)."""
    data, group = drawn_choices(5, 800, other=True)
    model = replace(SMALL, hidden=0, epochs=1).fit(data, group)
    np.testing.assert_allclose(model.predict(data)[:, -1], 201 / 821, rtol=1e-5)


def test_the_same_seed_gives_the_same_bits(fitted):
    data, group = drawn_choices()
    again = SMALL.fit(data, group)
    assert fitted.predict(data).tobytes() == again.predict(data).tobytes()


def test_a_saved_model_predicts_the_same_and_another_version_is_refused(fitted, tmp_path):
    data, _ = drawn_choices(6, 40)
    fitted.save(tmp_path / "model")
    loaded = FittedLaunchHead.load(tmp_path / "model")
    assert loaded.predict(data).tobytes() == fitted.predict(data).tobytes()
    facts = json.loads((tmp_path / "model" / "launch.json").read_text())
    (tmp_path / "model" / "launch.json").write_text(json.dumps(facts | {"version": 99}))
    with pytest.raises(ModelError, match="version 99"):
        FittedLaunchHead.load(tmp_path / "model")
    with pytest.raises(ModelError, match="no readable launch head"):
        FittedLaunchHead.load(tmp_path / "nowhere")


def test_wrong_data_is_answered_with_a_sentence(fitted):
    data, group = drawn_choices(7, 20)
    with pytest.raises(ModelError, match="regime 'full'"):
        fitted.predict(replace(data, regime=Regime.FULL))
    empty = replace(data.occasions, available=np.zeros_like(data.occasions.available))
    with pytest.raises(OccasionError, match="occasion 0 has no available"):
        fitted.predict(replace(data, occasions=empty))
    with pytest.raises(OccasionError, match="2 category groups"):
        SMALL.fit(data, np.zeros_like(group))


def test_numpy_and_pytorch_compute_the_same_utility(fitted):
    torch = pytest.importorskip("torch")
    from malles.head.launch_training import network_utility

    data, _ = drawn_choices(8, 30)
    products = products_of(data.occasions)
    z = relative_features(data.features, products, fitted.scale)
    w = fitted.members[0]
    plain = member_utility(w, z, products)
    tensors = {k: torch.from_numpy(v) for k, v in w.items()}
    twin = network_utility(
        tensors, torch.from_numpy(z), torch.from_numpy(products), 0.0, torch.Generator()
    ).numpy()
    np.testing.assert_allclose(plain[products], twin[products], atol=1e-4)


def test_a_group_keeps_its_fold_whatever_stands_beside_it():
    names = ["SOFT DRINKS", "EGGS", "CHEESE", "SOUP", "YOGURT"]
    assert folds_of_groups(names)[2] == folds_of_groups(["CHEESE"])[0]
    assert set(folds_of_groups([f"group {k}" for k in range(60)])) == set(range(5))


def test_the_examples_in_the_docstrings_are_true():
    found = doctest.testmod(importlib.import_module("malles.head.launch"), extraglobs={"np": np})
    assert found.attempted > 0 and found.failed == 0
