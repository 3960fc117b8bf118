"""Local weights that write: all layers, adapter off, drawn by seed; what cannot be answered is a value."""

from __future__ import annotations

import numpy as np
import pytest

from llm.small_models import LAYERS, cheapest_of_four, random_shelf, tiny_reader_settings, utilities
from malles.errors import ModelError
from malles.llm.backend import Backend, Message
from malles.llm.weights import find_weights

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from malles.llm.adapter import load_reader, save_reader  # noqa: E402
from malles.llm.backends.local import LocalBackend  # noqa: E402
from malles.llm.reader import Reader, ReaderSettings  # noqa: E402
from malles.llm.training.loop import TrainingSettings, train  # noqa: E402

TALK = [[Message("user", "cola or tea?")], [Message("system", "be brief"), Message("user", "why?")]]


@pytest.fixture(scope="module")
def backend(tiny_model):
    """Reads one layer; writes with both."""
    return LocalBackend(Reader(tiny_reader_settings(tiny_model, layers=1)))


def test_it_is_a_backend_and_writes_with_all_layers(backend):
    assert isinstance(backend, Backend)
    assert backend.reader.depth == 1
    assert len(backend.writer[0].model.layers) == LAYERS


def test_greedy_replies_are_those_of_the_model_token_by_token(backend):
    """The likeliest next token, again and again, by the plain forward pass."""
    (reply,) = backend.complete(TALK[:1], max_tokens=5)
    model, tokenizer = backend.writer
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "cola or tea?"}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    prompt = len(ids)
    with torch.inference_mode():
        for _ in range(5):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
    assert reply.text == tokenizer.decode(ids[prompt:], skip_special_tokens=True).strip()
    assert (reply.prompt_tokens, reply.completion_tokens) == (prompt, len(ids) - prompt)
    assert reply.finish in {"length", "stop"}


def test_a_draw_depends_on_the_seed_and_the_place_alone(backend):
    def draw(conversations, seed):
        return [r.text for r in backend.complete(conversations, max_tokens=6, temperature=1.0, seed=seed)]

    both = draw(TALK, 1)
    assert draw(TALK, 1) == both
    assert draw(TALK[:1], 1) == both[:1]
    assert draw(TALK, 2) != both


def test_a_conversation_that_does_not_fit_is_a_value_with_the_reason(backend):
    long = [Message("user", "q" * 3000)]
    refused, answered = backend.complete([long, TALK[0]], max_tokens=3)
    assert refused.text == ""
    assert "and a reply of 3 do not fit into 1024" in refused.problem
    assert answered.completion_tokens >= 1


def test_a_tokenizer_that_cuts_letters_in_two_is_refused(backend):
    """The tiny tokenizer spells ' A' as a space and a letter, so one token cannot be the answer."""
    with pytest.raises(ModelError, match="needs 2 tokens for ' A'; letters cannot be scored with it"):
        backend.score_letters([random_shelf(np.random.default_rng(0), 3)])


def test_an_impossible_schema_and_a_missing_chat_template_are_refused(backend, monkeypatch):
    with pytest.raises(ModelError, match="cannot be turned into a grammar"):
        backend.complete(TALK, max_tokens=1, schema={"type": "nothing"})
    monkeypatch.setattr(backend.writer[1], "chat_template", None)
    with pytest.raises(ModelError, match="has no chat template"):
        backend.complete(TALK, max_tokens=1)


# ---- the embedded model ----


@pytest.mark.weights
def test_the_embedded_model_learns_the_cheapest_and_says_the_same_after_reloading(tmp_path):
    """Twenty steps of `cheapest of four`: the mean loss of the last five is below that of the first five."""
    find_weights("smollm2")
    reader = Reader(ReaderSettings(layers=6, tuned_layers=3, dtype="float32"), seed=1)
    settings = TrainingSettings(
        steps=20, batch=4, alternatives=0, rate=1e-3, pointer_rate=3e-3, averaging=0.0, look=0, seed=1
    )
    examples = cheapest_of_four(0)
    history = train(reader, examples, settings)
    assert np.mean(history.loss[-5:]) < np.mean(history.loss[:5]) - 0.1
    save_reader(reader, tmp_path / "adapter", {"data": "a game"})
    prompts = [examples.render(row) for row in range(4)]
    before = utilities(reader, prompts)
    apart = load_reader(tmp_path / "adapter", merged=False)
    np.testing.assert_allclose(utilities(apart, prompts), before, atol=0.05)
    merged = utilities(load_reader(tmp_path / "adapter"), prompts)
    assert np.corrcoef(merged.ravel(), before.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(merged, before, atol=1e-3)  # in bfloat16 merging rounds weights once more


@pytest.mark.weights
def test_the_embedded_model_writes_with_all_layers_and_scores_letters():
    backend = LocalBackend.untuned()
    talk = [[Message("user", "What is the capital of France?")]]
    (reply,) = backend.complete(talk, max_tokens=12)
    assert "Paris" in reply.text
    assert len(backend.writer[0].model.layers) == 30
    prompt = cheapest_of_four(0).render(0)
    one, many = (backend.score_letters([prompt], rotations=k)[0] for k in (1, 4))
    for scored in (one, many):
        assert scored.log_probability is not None
        assert np.exp(scored.log_probability).sum() == pytest.approx(1, abs=1e-3)
    too_many = backend.score_letters([random_shelf(np.random.default_rng(0), 27)])[0]
    assert too_many.log_probability is None
    assert "27 alternatives" in too_many.problem
