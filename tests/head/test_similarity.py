from __future__ import annotations

import numpy as np
import pytest

from malles.errors import ModelError
from malles.head.similarity import SimilarityData, SimilaritySettings

torch = pytest.importorskip("torch")


def drawn(seed, n=3000):
    """Choices of a known logit: V = 1.5 a - b with sales, V = 0.5 a + b in the cold mode."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5, 2)).astype(np.float32) + rng.normal(size=(n, 1, 2)).astype(np.float32)
    cold = rng.random(n) < 0.5
    taste = np.where(cold[:, None], [0.5, 1.0], [1.5, -1.0])
    V = (x * taste[:, None, :]).sum(2)
    chosen = (V + rng.gumbel(size=V.shape)).argmax(1)
    return SimilarityData(x, cold, chosen), V


@pytest.mark.parametrize("hidden", [0, 16])
def test_both_modes_of_a_known_logit_are_recovered(hidden):
    train, _ = drawn(0)
    valid, V = drawn(1, 1500)
    head = SimilaritySettings(hidden=hidden, rate=0.03, batch=128, epochs=25).fit(train, [valid])
    truth = V - np.log(np.exp(V).sum(1, keepdims=True))
    best = -truth[np.arange(len(valid)), valid.chosen].mean()
    assert best - 0.005 < head.loss(valid) < best + 0.02
    if not hidden:
        b = head.members[0]["skip"] / np.tile(head.scale, 2)
        np.testing.assert_allclose([*b[:2], *(b[:2] + b[2:])], [1.5, -1, 0.5, 1], atol=0.2)


def test_the_same_seed_gives_the_same_head():
    train, _ = drawn(2, 500)
    one, two = (SimilaritySettings(hidden=8, epochs=2).fit(train, [train]) for _ in range(2))
    assert one.utility(train).tobytes() == two.utility(train).tobytes()
    assert len(one.members) == 2 and len(one.history[0]) == 2


def test_a_constant_added_to_a_feature_of_a_whole_set_changes_nothing():
    train, _ = drawn(3, 400)
    head = SimilaritySettings(hidden=8, epochs=1).fit(train, [train])
    moved = SimilarityData(train.features + np.float32(4), train.cold, train.chosen)
    np.testing.assert_allclose(head.utility(moved), head.utility(train), atol=1e-3)


def test_other_features_are_refused_with_a_sentence():
    train, _ = drawn(4, 300)
    head = SimilaritySettings(hidden=0, epochs=1).fit(train, [train])
    with pytest.raises(ModelError, match="2 features, got 1"):
        head.utility(SimilarityData(train.features[:, :, :1], train.cold, train.chosen))
