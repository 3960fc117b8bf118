"""Post-training: learns what can be learnt, draws by seed and step, stops early, stops in time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from llm.small_models import cheapest_of_four, speak, tiny_reader_settings
from malles.errors import ModelError

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from malles.llm.reader import Reader  # noqa: E402
from malles.llm.training import loop  # noqa: E402
from malles.llm.training.batches import draw_lines, draw_rows, read_batch  # noqa: E402
from malles.llm.training.loop import TrainingSettings, mean_loss, train  # noqa: E402
from malles.llm.training.losses import LossWeights  # noqa: E402

QUICK = TrainingSettings(
    steps=30, batch=8, alternatives=0, rate=1e-2, pointer_rate=2e-2, averaging=0.0, look=0, seed=1
)


@pytest.fixture
def reader(tiny_settings):
    return Reader(tiny_settings, seed=3)


def test_thirty_steps_lower_the_loss_of_a_game_that_can_be_learnt(reader):
    """The cheapest of four is taken; a uniform guess has loss ln 4."""
    history = train(reader, cheapest_of_four(0), QUICK)
    assert len(history.loss) == 30
    assert history.loss[0] == pytest.approx(math.log(4), abs=1e-6)  # the pointer starts at zero
    assert np.mean(history.loss[-5:]) < np.mean(history.loss[:5]) - 0.15
    assert mean_loss(reader, cheapest_of_four(9)) < math.log(4) - 0.1
    assert history.stopped == "all steps done"


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(tiny_settings):
    short = replace(QUICK, steps=4)
    examples = cheapest_of_four(0)
    one, again, other = (
        train(Reader(tiny_settings, seed=3), examples, replace(short, seed=s)).loss for s in (1, 1, 2)
    )
    assert one == again
    assert one[1:] != other[1:]


def test_a_batch_is_a_function_of_seed_and_step_alone():
    chance = np.cumsum(np.full(50, 0.02))
    first = draw_rows(chance, QUICK, 7)
    np.testing.assert_array_equal(draw_rows(chance, QUICK, 7), first)
    draw_rows(chance, QUICK, 8)
    np.testing.assert_array_equal(draw_rows(chance, QUICK, 7), first)
    assert (draw_rows(chance, QUICK, 8) != first).any()
    assert (draw_rows(chance, replace(QUICK, seed=2), 7) != first).any()


def test_a_sample_of_the_alternatives_always_holds_the_chosen_one():
    """McFadden sampling: the chosen one and a uniform sample of the others, in random order, each once."""
    examples, rng = cheapest_of_four(0), np.random.default_rng(0)
    settings = replace(QUICK, alternatives=2)
    places, partners = [], []
    for row in range(len(examples)):
        for _ in range(12):
            lines = draw_lines(examples, row, settings, rng)
            assert len(set(lines.tolist())) == 2
            place = lines.tolist().index(examples.chosen[row])
            places.append(place)
            partners.append((lines[1 - place] - examples.chosen[row]) % 4)
    assert np.mean(places) == pytest.approx(0.5, abs=0.06)
    share = np.bincount(partners, minlength=4)[1:] / len(partners)
    np.testing.assert_allclose(share, 1 / 3, atol=0.06)


def test_tables_follow_the_lines_as_they_are_read(reader):
    examples, rng = cheapest_of_four(0), np.random.default_rng(0)
    examples = replace(examples, skip=np.arange(256, dtype=np.float32).reshape(64, 4))
    rows, drawn = np.array([3, 5]), [np.array([2, 0, 1]), np.array([3, 1])]
    examples.chosen[[3, 5]] = [0, 3]
    batch, tables = read_batch(reader, examples, rows, drawn, replace(QUICK, rewording=0.0), rng)
    assert batch.present.tolist() == [[True, True, True], [True, True, False]]
    assert tables.skip.tolist() == [[14.0, 12.0, 13.0], [23.0, 21.0, 0.0]]
    assert tables.chosen.tolist() == [1, 0]
    first = examples.render(3).reorder([2, 0, 1]).text()
    assert reader.encoder.tokenizer.decode(batch.token[0, : batch.last[0] + 1]) == first


def test_training_stops_when_nothing_improves_and_keeps_the_best_average(reader):
    """A rate that is far too large spoils the model; what is kept is the best of all looks."""
    valid = cheapest_of_four(9, 16)
    settings = replace(QUICK, steps=60, rate=3e-2, pointer_rate=1.0, look=2, patience=3, averaging=0.5)
    history = train(reader, cheapest_of_four(0), settings, valid=valid)
    looks = [value for _, value in history.valid]
    assert history.stopped == "no better for 3 looks"
    assert len(history.loss) < 60
    assert looks[-1] > min(looks)
    assert mean_loss(reader, valid) == pytest.approx(min(looks), rel=1e-5)


def test_validation_passes_over_choices_that_nobody_knows(reader):
    valid = cheapest_of_four(9, 8)
    speak(reader)
    known = replace(valid, chosen=np.where(np.arange(8) < 5, valid.chosen, -1).astype(np.int32))
    assert mean_loss(reader, known) == pytest.approx(mean_loss(reader, valid.take(np.arange(5))), rel=1e-5)


def test_a_limit_of_processor_minutes_ends_training_with_the_rate_near_zero(reader, monkeypatch):
    """The clock of this test: every look at it is a second later, so 0.5 minutes are over after 30 looks."""
    clock = iter(range(10_000))
    monkeypatch.setattr(loop, "process_time", lambda: float(next(clock)))
    paces = []
    step = loop.Optimizer.step

    def watched(self, pace):
        paces.append(pace)
        step(self, pace)

    monkeypatch.setattr(loop.Optimizer, "step", watched)
    history = train(reader, cheapest_of_four(0), replace(QUICK, steps=10_000, minutes=0.5))
    assert history.stopped == "0.5 processor-minutes used"
    assert 10 <= len(history.loss) <= 30
    assert max(paces) > 0.9
    assert paces[-1] < 0.03


def test_the_rate_rises_over_a_twentieth_and_falls_by_a_half_cosine():
    assert [loop.rate_at(p) for p in (0.0, 0.025, 0.05)] == pytest.approx([0.02, 0.5, 1.0])
    assert loop.rate_at(0.525) == pytest.approx(0.5)
    assert loop.rate_at(1.0) == pytest.approx(0.0)


def test_every_loss_has_a_gradient_and_is_recorded(reader):
    examples = cheapest_of_four(0)
    teacher = np.log(np.full((64, 4), 0.25, np.float32))
    unknown = np.full(64, -1, np.int32)
    examples = replace(
        examples,
        teacher=teacher,
        units=np.full(64, 2, np.int32),
        changed=replace(examples, teacher=teacher, chosen=unknown),
    )
    weights = LossWeights(**{name: 0.1 + k / 9 for k, name in enumerate(LossWeights.__dataclass_fields__)})
    history = train(reader, examples, replace(QUICK, steps=12, loss=weights, response=0.4, paired=0.5))
    seen = {name for parts in history.parts for name in parts}
    assert seen == {"loss", *LossWeights.__dataclass_fields__}
    for parts in history.parts:
        total = sum(getattr(weights, name) * value for name, value in parts.items() if name != "loss")
        assert parts["loss"] == pytest.approx(total, rel=1e-4)


def test_with_the_response_alone_steps_at_known_prices_learn_nothing_and_do_no_harm(reader):
    examples = cheapest_of_four(0)
    teacher = np.log(np.full((64, 4), 0.25, np.float32))
    examples = replace(examples, changed=replace(examples, teacher=teacher))
    only = LossWeights(choice=0.0, response=1.0)
    history = train(reader, examples, replace(QUICK, steps=8, loss=only, response=0.5))
    assert len({"response" in parts for parts in history.parts}) == 2


def test_a_change_is_learnt_only_where_the_teacher_knows_both_prices(reader):
    examples = cheapest_of_four(0)
    teacher = np.log(np.full((64, 4), 0.25, np.float32))
    half = replace(examples, changed=replace(examples, teacher=teacher))
    both = LossWeights(choice=1.0, change=1.0)
    history = train(reader, half, replace(QUICK, steps=6, loss=both, response=0.5))
    assert not any("change" in parts for parts in history.parts)
    with pytest.raises(ModelError, match="None of the losses can be computed"):
        train(reader, half, replace(QUICK, loss=LossWeights(choice=0.0, change=1.0)))
    whole = replace(half, teacher=teacher)
    history = train(reader, whole, replace(QUICK, steps=6, loss=both, response=0.5))
    assert any("change" in parts for parts in history.parts)


def test_examples_without_anything_to_learn_are_refused(reader):
    examples = replace(cheapest_of_four(0), chosen=np.full(64, -1, np.int32))
    with pytest.raises(ModelError, match="None of the losses can be computed"):
        train(reader, examples, QUICK)
    with pytest.raises(ModelError, match="There are no occasions to learn from"):
        train(reader, cheapest_of_four(0).take(np.arange(0)), QUICK)


def test_a_loss_that_is_no_number_stops_training_in_one_sentence(reader):
    examples = cheapest_of_four(0)
    examples.skip[:] = np.nan
    with pytest.raises(ModelError, match=r"The loss of step 1 is nan; lower llm\.rate"):
        train(reader, examples, QUICK)


def test_only_the_adapter_and_the_pointer_change(reader):
    before = {k: v.detach().clone() for k, v in reader.model.named_parameters()}
    train(reader, cheapest_of_four(0), replace(QUICK, steps=3))
    changed = {k for k, v in reader.model.named_parameters() if not torch.equal(v, before[k])}
    assert changed == {k for k in before if "lora_" in k}
    assert {int(k.split("layers.")[1].split(".")[0]) for k in changed} == {1}  # the last of two


def test_without_an_adapter_only_the_pointer_learns(tiny_model):
    reader = Reader(tiny_reader_settings(tiny_model, tuned_layers=0), seed=3)
    history = train(reader, cheapest_of_four(0), replace(QUICK, steps=3))
    assert reader.adapter() == {}
    assert history.loss[-1] != history.loss[0]
