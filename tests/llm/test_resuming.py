"""Checkpoints: a killed training goes on with the same numbers; damaged and foreign ones are refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llm.small_models import cheapest_of_four, tiny_reader_settings
from malles.errors import ModelError

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from malles.llm.reader import Reader  # noqa: E402
from malles.llm.training.loop import TrainingSettings, train  # noqa: E402
from malles.llm.training.losses import LossWeights  # noqa: E402

SETTINGS = TrainingSettings(
    steps=24, batch=4, alternatives=3, rate=1e-2, pointer_rate=1e-2, checkpoint=4, look=8, seed=1,
    loss=LossWeights(consistency=0.5),
)  # fmt: skip
EXAMPLES, VALID = cheapest_of_four(0), cheapest_of_four(9, 8)

PROGRAM = """
import sys
from pathlib import Path
from llm.test_resuming import EXAMPLES, SETTINGS, VALID, reader_of
from malles.llm.training.loop import train
model, folder = map(Path, sys.argv[1:])
said = lambda step, steps, parts: print(step, flush=True)
train(reader_of(model), EXAMPLES, SETTINGS, valid=VALID, folder=folder, progress=said)
"""


def reader_of(model: Path) -> Reader:
    return Reader(tiny_reader_settings(model), seed=3)


CLOSE = 1e-4
"""Products of matrices can differ in the last bit with the place of their operands in memory."""


def same_weights(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert found.keys() == expected.keys()
    for name, data in found.items():
        a, b = (np.frombuffer(x, np.float32) for x in (data, expected[name]))
        np.testing.assert_allclose(a, b, atol=1e-2, err_msg=name)


def weights(reader: Reader) -> dict[str, bytes]:
    named = {**reader.adapter(), **dict(reader.pointer.named_parameters())}
    return {name: weight.detach().numpy().tobytes() for name, weight in named.items()}


@pytest.fixture(scope="module")
def unbroken(tiny_model):
    """Losses, looks and weights of a training that was never stopped."""
    reader = reader_of(tiny_model)
    history = train(reader, EXAMPLES, SETTINGS, valid=VALID)
    return history, weights(reader)


def test_a_training_killed_at_any_moment_goes_on_as_if_it_had_not_been(tiny_model, tmp_path, unbroken):
    """SIGKILL at a random moment after the first checkpoint, in the middle of whatever it does."""
    path = os.pathsep.join(str(Path(__file__).parents[k]) for k in (1, 2))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tiny_model), str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    stop = random.Random(os.getpid()).randint(5, 20)
    for line in process.stdout:
        if int(line) >= stop:
            break
    time.sleep(random.Random(os.getpid()).random() * 0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    began = json.loads((tmp_path / "checkpoint.json").read_text())["step"]
    assert began >= 4

    reader, steps = reader_of(tiny_model), []
    history = train(
        reader, EXAMPLES, SETTINGS, valid=VALID, folder=tmp_path, progress=lambda step, *_: steps.append(step)
    )
    assert steps == list(range(began + 1, 25))  # nothing that was done is done again
    assert history.loss == pytest.approx(unbroken[0].loss, abs=CLOSE)
    assert [v for _, v in history.valid] == pytest.approx([v for _, v in unbroken[0].valid], abs=CLOSE)
    same_weights(weights(reader), unbroken[1])


def test_checkpoints_do_not_change_the_training_and_only_the_last_one_stays(tiny_model, tmp_path, unbroken):
    reader = reader_of(tiny_model)
    history = train(reader, EXAMPLES, SETTINGS, valid=VALID, folder=tmp_path)
    assert history.loss == pytest.approx(unbroken[0].loss, abs=CLOSE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.json", "step-24.safetensors"]
    again = reader_of(tiny_model)
    done = train(again, EXAMPLES, SETTINGS, valid=VALID, folder=tmp_path)  # nothing is left to do
    assert done.loss == pytest.approx(unbroken[0].loss, abs=CLOSE)
    same_weights(weights(again), unbroken[1])


def test_a_training_that_stopped_early_stops_at_the_same_step_when_it_is_resumed(tiny_model, tmp_path):
    settings = replace(SETTINGS, pointer_rate=1.0, look=2, checkpoint=2, patience=2, steps=200)
    first = train(reader_of(tiny_model), EXAMPLES, settings, valid=VALID, folder=tmp_path)
    assert first.stopped == "no better for 2 looks"
    second = train(reader_of(tiny_model), EXAMPLES, settings, valid=VALID, folder=tmp_path)
    assert second.stopped == first.stopped
    assert second.loss == pytest.approx(first.loss, abs=CLOSE)


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    settings = replace(SETTINGS, steps=4)
    train(reader_of(tiny_model), EXAMPLES, settings, folder=tmp_path)
    return tmp_path, settings


@pytest.mark.parametrize("damage", ["cut weights", "cut json", "no weights", "no history", "a list"])
def test_a_damaged_checkpoint_is_refused_with_what_to_do(tiny_model, checkpoint, damage):
    folder, settings = checkpoint
    about, tensors = folder / "checkpoint.json", folder / "step-4.safetensors"
    content = json.loads(about.read_text())
    if damage == "cut weights":
        os.truncate(tensors, 500)
    elif damage == "cut json":
        about.write_text(about.read_text()[:50])
    elif damage == "no weights":
        tensors.unlink()
    else:
        about.write_text("[]" if damage == "a list" else json.dumps({**content, "history": {"odd": 1}}))
    with pytest.raises(ModelError, match=r"is damaged \(.*\); remove the folder to train anew"):
        train(reader_of(tiny_model), EXAMPLES, settings, folder=folder)


def test_a_checkpoint_of_other_settings_is_refused(tiny_model, checkpoint):
    folder, settings = checkpoint
    for other in (replace(settings, rate=1e-3), replace(settings, loss=LossWeights(choice=2.0))):
        with pytest.raises(ModelError, match="holds a checkpoint of other settings or another version"):
            train(reader_of(tiny_model), EXAMPLES, other, folder=folder)
    for changes in ({"rank": 4}, {"attention": "causal"}, {"width": 8}):
        reader = Reader(tiny_reader_settings(tiny_model, **changes), seed=3)
        with pytest.raises(ModelError, match="holds a checkpoint of other settings"):
            train(reader, EXAMPLES, settings, folder=folder)
