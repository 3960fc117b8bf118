"""A model that is taught replies: it learns them, comes back from the disk, and nothing else is accepted."""

from __future__ import annotations

import json

import pytest
import torch

from malles.errors import ModelError
from malles.llm.backend import Message
from malles.llm.backends.local import LocalBackend
from malles.llm.taught import is_taught, load_taught, read_taught_facts, save_taught
from malles.llm.training.replies import ReplyExample, ReplySettings, encode_reply, teach_replies

SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["choice"],
    "properties": {"choice": {"type": "string", "enum": ["A", "B"]}},
}  # fmt: skip


def ask(word: str) -> tuple[Message, ...]:
    return (Message("system", "Choose."), Message("user", word))


WORDS = {"cola": "A", "flyer": "B", "ad": "A", "coupon": "B"}
LESSONS = [ReplyExample(ask(w), json.dumps({"choice": c}, separators=(",", ":"))) for w, c in WORDS.items()]


@pytest.fixture(scope="module")
def settings(tiny_model) -> ReplySettings:
    return ReplySettings(
        str(tiny_model), epochs=150, rate=1e-2, rank=16, tuned_layers=2, batch=4, dtype="float32"
    )


@pytest.fixture(scope="module")
def taught(settings):
    return teach_replies(LESSONS, settings)


def choices(backend: LocalBackend) -> list[str]:
    done = backend.complete([ask(w) for w in WORDS], max_tokens=16, schema=SCHEMA)
    return [json.loads(d.text)["choice"] for d in done]


def test_the_loss_is_that_of_the_reply_alone(tiny_model, settings):
    """Before a step: the mean of −log P over the reply's tokens and its end, by the model as it is."""
    from dataclasses import replace

    from malles.llm.loading import load_model

    model, tokenizer = load_model(tiny_model, dtype="float32")
    ids, reply = encode_reply(tokenizer, LESSONS[0])
    assert tokenizer.decode(ids[-reply:]) == '{"choice":"A"}<|im_end|>'
    with torch.no_grad():
        log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), dim=-1)
    at = range(len(ids) - reply, len(ids))
    by_hand = -sum(float(log_p[t - 1, ids[t]]) for t in at) / reply
    found = teach_replies(LESSONS[:1], replace(settings, epochs=1))
    assert found.loss == pytest.approx([by_hand], rel=1e-4)


def test_what_was_taught_is_said_also_from_the_disk(taught, settings, tmp_path):
    """Two words mean A and two mean B, which the untaught model does not know.

    The loss cannot fall to zero: embeddings of width 32, not taught, leave some chance to other tokens.
    """
    assert taught.loss[0] > 4
    assert taught.loss[-1] < 1.25
    assert choices(LocalBackend.untuned(settings.model)) != list(WORDS.values())
    save_taught(taught, tmp_path / "said", {"taught_on": 4})
    assert is_taught(tmp_path / "said") and not is_taught(tmp_path)
    assert choices(LocalBackend.taught(tmp_path / "said")) == list(WORDS.values())
    assert read_taught_facts(tmp_path / "said")["facts"] == {"taught_on": 4}
    assert not [p for p in (tmp_path / "said").iterdir() if p.suffix in (".bin", ".pkl", ".pt")]


def test_the_same_seed_learns_the_same(settings):
    from dataclasses import replace

    few = replace(settings, epochs=3)
    one, two = (teach_replies(LESSONS, few) for _ in range(2))
    assert one.loss == two.loss
    assert teach_replies(LESSONS, replace(few, seed=5)).loss != one.loss


def test_long_examples_are_left_out_and_counted(settings):
    from dataclasses import replace

    long = ReplyExample(ask("cola " * 2000), "{}")
    assert teach_replies([*LESSONS, long], replace(settings, epochs=1)).too_long == 1
    with pytest.raises(ModelError, match="None of 1 replies can be learnt"):
        teach_replies([long], settings)


def test_damaged_and_foreign_folders_are_refused(taught, tmp_path):
    folder = tmp_path / "said"
    save_taught(taught, folder, {})
    about = json.loads((folder / "writer.json").read_text())
    for changed, said in (
        ({"version": 99}, "of version 99"), ({"base": {"vocab_size": 7}}, "vocab_size = 7"),
        ({"settings": about["settings"] | {"tuned_layers": 1}}, "does not fit its settings"),
        ({"settings": about["settings"] | {"colour": 1}}, "damaged"),
    ):  # fmt: skip
        (folder / "writer.json").write_text(json.dumps(about | changed))
        with pytest.raises(ModelError, match=said):
            load_taught(folder)
    (folder / "writer.json").write_text(json.dumps(about))
    (folder / "adapter_model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="is damaged"):
        load_taught(folder)
    (folder / "writer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        read_taught_facts(folder)
