"""The choice scale finds who is predictable, and shrinks those of whom little is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.profiles.markets import occasions_of

from malles.errors import ModelError
from malles.head.scale import Scaled, fit_scales, sharpen
from malles.vocabulary import ChoiceData, Regime


@dataclass
class Known:
    """A model that answers with a fixed feature as utility."""

    name: str = "known"

    def predict(self, data):
        V = np.where(data.occasions.available, data.features[:, :, 0].astype(float), -np.inf)
        weight = np.exp(V - V.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)

    def save(self, folder):
        folder.mkdir()

    @classmethod
    def load(cls, folder):
        return cls()


def choices(log_scale, each, seed=0):
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(len(log_scale)), each)
    occasions = occasions_of([(c, 0, k, 1, 0, 0, 1) for k, c in enumerate(customer)], np.arange(5))
    x = (2 * rng.standard_normal(occasions.shape)).astype(np.float32)
    V = np.exp(np.asarray(log_scale))[customer][:, None] * x + rng.gumbel(size=x.shape)
    chosen = np.where(occasions.available, V, -np.inf).argmax(axis=1).astype(np.int16)
    occasions = replace(occasions, chosen=chosen)
    return ChoiceData(occasions, x[:, :, None], ("x",), np.zeros((len(x), 0), np.float32), (), Regime.FULL)


def test_known_scales_of_two_segments_are_recovered():
    """Segment 0 has log s = -0.7, segment 1 has 0.4, spread 0.2 within; 60 choices a customer."""
    rng = np.random.default_rng(1)
    segment = np.repeat([0, 1], 60)
    truth = np.where(segment == 0, -0.7, 0.4) + 0.2 * rng.standard_normal(120)
    found = fit_scales(Known(), choices(truth, 60), segment)
    assert found.segment_mean == pytest.approx([-0.7, 0.4], abs=0.12)
    assert found.spread == pytest.approx(0.2, abs=0.1)
    assert np.corrcoef(found.log_scale, truth)[0, 1] > 0.9


def test_without_differences_everybody_keeps_a_scale_near_one():
    found = fit_scales(Known(), choices(np.zeros(80), 30), np.zeros(80, int))
    assert np.abs(found.log_scale).max() < 0.25
    assert found.spread < 0.15


def test_a_customer_never_seen_stands_at_its_segment():
    data = choices(np.full(40, 0.5), 40)
    found = fit_scales(Known(), data, np.zeros(41, int))
    assert found.log_scale[40] == pytest.approx(found.segment_mean[0])
    one = data.take(np.array([0]))
    stranger = replace(one, occasions=replace(one.occasions, customer=np.array([-1], np.int32)))
    assert found.scale(stranger)[0] == pytest.approx(np.exp(found.unknown))


def test_a_scale_of_one_changes_nothing_and_zero_is_uniform():
    p = np.array([[0.0, 0.2, 0.3, 0.5]])
    np.testing.assert_allclose(sharpen(p, np.ones(1)), p)
    np.testing.assert_allclose(sharpen(p, np.zeros(1)), [[0, 1 / 3, 1 / 3, 1 / 3]])


def test_a_folder_without_scales_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not a readable scaled model"):
        Scaled.load(tmp_path)
