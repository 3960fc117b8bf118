"""Losses of post-training by hand arithmetic, and the laws of divergences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

torch = pytest.importorskip("torch")

from malles.llm.prompt import Field  # noqa: E402
from malles.llm.training import losses  # noqa: E402
from malles.llm.training.examples import sampling_weights  # noqa: E402

ALL = torch.ones(1, 2, dtype=torch.bool)
TABLES = arrays(np.float32, (3, 4), elements=st.floats(-8, 8, width=32))
EVERYTHING = torch.ones(3, 4, dtype=torch.bool)


def logs(*probability: float):
    return torch.tensor([probability]).log()


def normalised(table: np.ndarray):
    return torch.log_softmax(torch.from_numpy(table), dim=1)


def test_choice_loss_by_hand():
    """P = 0.2 and 0.5 of the choices, the third prompt unknown: (ln 5 + ln 2) / 2."""
    log_p = torch.cat([logs(0.2, 0.8), logs(0.5, 0.5), logs(0.9, 0.1)])
    loss = losses.choice_loss(log_p, torch.tensor([0, 1, -1]))
    assert float(loss) == pytest.approx((math.log(5) + math.log(2)) / 2)
    assert float(losses.choice_loss(log_p, torch.tensor([-1, -1, -1]))) == 0


def test_log_probability_leaves_out_what_is_not_there():
    log_p = losses.log_probability(torch.tensor([[1.0, 1.0, 99.0]]), torch.tensor([[True, True, False]]))
    assert log_p[0, :2].tolist() == pytest.approx([-math.log(2)] * 2)
    assert log_p[0, 2] < -1e8


def test_close_loss_by_hand():
    """Chosen 1.0, rivals 0.5 and (absent) 9: ln(1 + exp(0.5 - 1))."""
    utility, present = torch.tensor([[1.0, 0.5, 9.0]]), torch.tensor([[True, True, False]])
    loss = losses.close_loss(utility, present, torch.tensor([0]))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-0.5)))
    alone = torch.tensor([[True, False, False]])
    assert float(losses.close_loss(utility, alone, torch.tensor([0]))) == 0


def test_teacher_loss_by_hand():
    """KL((0.75, 0.25) || (0.5, 0.5)) = 0.75 ln 1.5 + 0.25 ln 0.5."""
    loss = losses.teacher_loss(logs(0.5, 0.5), logs(0.75, 0.25), ALL)
    assert float(loss) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_the_teacher_is_renormalised_over_the_alternatives_that_are_read():
    """Of (0.6, 0.2, 0.2) only the first two are read: the target is (0.75, 0.25)."""
    present = torch.tensor([[True, True, False]])
    log_p = losses.log_probability(torch.zeros(1, 3), present)
    loss = losses.teacher_loss(log_p, logs(0.6, 0.2, 0.2), present)
    assert float(loss) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_change_loss_by_hand():
    """The teacher goes from (0.5, 0.5) to (0.75, 0.25), the model stays: (ln(1.5)^2 + ln(0.5)^2) / 2."""
    half, moved = logs(0.5, 0.5), logs(0.75, 0.25)
    loss = losses.change_loss(logs(0.9, 0.1), logs(0.9, 0.1), moved, half, ALL)
    assert float(loss) == pytest.approx((math.log(1.5) ** 2 + math.log(0.5) ** 2) / 2)
    assert float(losses.change_loss(moved, half, moved, half, ALL)) == pytest.approx(0, abs=1e-9)


def test_consistency_loss_by_hand():
    """(1, 0) and (0.5, 0.5): middle (0.75, 0.25); JS = (ln(4/3) + 0.5 ln(2/3) + 0.5 ln 2) / 2."""
    first = torch.tensor([[0.0, -1e9]])
    loss = losses.consistency_loss(first, logs(0.5, 0.5), ALL)
    by_hand = 0.5 * (math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert float(loss) == pytest.approx(by_hand, rel=1e-5)


def test_quantity_loss_by_hand():
    """Rate 2 and 3 units: 2 - 2 ln 2; an unknown number of units does not count."""
    rate = torch.tensor([2.0, 7.0]).log()
    loss = losses.quantity_loss(rate, torch.tensor([3, 0]))
    assert float(loss) == pytest.approx(2 - 2 * math.log(2))


def test_attention_loss_by_hand():
    """Attention (0.5, 0.5) on fields with prior (0.3, 0.1), the third not offered: KL to (0.75, 0.25)."""
    mass = [torch.tensor([[[0.5, 0.5, 0.0]]])]
    offered = torch.tensor([[True, True, False]])
    loss = losses.attention_loss(mass, torch.tensor([[True]]), offered, torch.tensor([0.3, 0.1, 0.6]))
    assert float(loss) == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25), abs=1e-4)


def test_the_attention_prior_gives_price_discount_and_history_most():
    prior = dict(zip(Field, losses.prior_vector().tolist(), strict=True))
    assert sum(losses.PRIOR.values()) == pytest.approx(1)
    top = sorted(prior, key=lambda f: -prior[f])[:3]
    assert set(top) == {Field.PRICE, Field.HISTORY, Field.DISCOUNT}


@given(TABLES, TABLES)
def test_divergences_are_not_negative_and_that_of_two_readings_is_at_most_log_two(first, second):
    p, q = normalised(first), normalised(second)
    kl = float(losses.teacher_loss(p, q, EVERYTHING))
    one, two = (float(losses.consistency_loss(a, b, EVERYTHING)) for a, b in ((p, q), (q, p)))
    assert kl >= -1e-5
    assert -1e-6 <= one <= math.log(2) + 1e-5
    assert one == pytest.approx(two, abs=1e-6)


@given(TABLES)
def test_equal_readings_are_consistent_and_a_copy_of_the_teacher_has_no_loss(table):
    p = normalised(table)
    assert float(losses.consistency_loss(p, p, EVERYTHING)) == pytest.approx(0, abs=1e-5)
    assert float(losses.teacher_loss(p, p, EVERYTHING)) == pytest.approx(0, abs=1e-5)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.floats(0, 1))
def test_categories_are_drawn_in_proportion_to_a_power_of_their_size(group, temperature):
    codes = np.array(group, np.int32)
    weight = sampling_weights(codes, temperature)
    assert weight.sum() == pytest.approx(1, abs=1e-5)
    size = {c: int((codes == c).sum()) for c in set(group)}
    share = {c: float(weight[codes == c].sum()) for c in size}
    whole = sum(n**temperature for n in size.values())
    assert share == pytest.approx({c: n**temperature / whole for c, n in size.items()}, abs=1e-5)
