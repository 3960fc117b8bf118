"""Replies of local weights: alone or among others the same, inside their schema, drawn by key."""

from __future__ import annotations

import json
import re

import pytest

from llm.small_models import write_tiny_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llguidance")

from malles.discussion.turn import CLAIM, WORDS  # noqa: E402
from malles.errors import ModelError  # noqa: E402
from malles.llm.backend import Message  # noqa: E402
from malles.llm.backends.local import LocalBackend  # noqa: E402
from malles.llm.beginnings import Beginnings, chat_tokens, repeated_tokens  # noqa: E402
from malles.llm.reader import Reader, ReaderSettings  # noqa: E402
from malles.llm.row_cache import RowCache  # noqa: E402

SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["choice", "units"],
    "properties": {
        "choice": {"type": "string", "enum": ["A", "B", "none"]},
        "units": {"type": "integer", "minimum": 0, "maximum": 99},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def backend(tmp_path_factory) -> LocalBackend:
    folder = write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    reader = Reader(ReaderSettings(model=str(folder), layers=0, tuned_layers=0, dtype="float32"))
    return LocalBackend(reader)


def talks(count: int) -> list[list[Message]]:
    return [[Message("user", f"bought {i} here {'cola ' * (i % 4)}")] for i in range(count)]


def test_every_reply_of_a_random_model_lies_inside_the_schema(backend):
    replies = backend.complete(talks(20), max_tokens=40, temperature=1.0, schema=SCHEMA)
    for reply in replies:
        value = json.loads(reply.text)
        assert value["choice"] in ("A", "B", "none")
        assert 0 <= value["units"] <= 99
        assert reply.finish == "stop"
    assert len({r.text for r in replies}) > 5  # and the model, not the grammar, chooses among them


def test_a_conversation_is_answered_alone_as_among_others(backend):
    for schema, temperature in ((None, 0.0), (SCHEMA, 0.0), (SCHEMA, 1.0)):
        together = backend.complete(talks(17), max_tokens=24, temperature=temperature, schema=schema, seed=3)
        first = backend.complete(talks(17)[:1], max_tokens=24, temperature=temperature, schema=schema, seed=3)
        assert together[0].text == first[0].text


def test_greedy_replies_are_those_of_the_plain_generator(backend):
    model, tokenizer = backend.writer
    reply = backend.complete(talks(3), max_tokens=12)[2]
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": talks(3)[2][0].content}], add_generation_prompt=True, return_dict=True,
        return_tensors="pt",
    )["input_ids"]  # fmt: skip
    with torch.inference_mode():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
    plain = tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True).strip()
    assert reply.text == plain


def rounds(words: str, said: str = "") -> list[Message]:
    """A conversation whose first words come again in the next round."""
    known = f"Shelf: {words} - big 2.49"
    return [Message("system", "Choose."), Message("user", f"{known}\n{said}now", again=len(known))]


def test_a_beginning_that_comes_again_is_read_once_and_changes_no_word(backend):
    """Round 1 of two cases, then round 2: as many tokens fewer are read as the beginnings have."""
    one, two = [rounds("cola"), rounds("coupon")], [rounds("cola", "A\n"), rounds("coupon", "B\n")]
    _, tokenizer = backend.writer
    fresh = [LocalBackend(backend.reader) for _ in range(2)]
    fresh[0].complete(one, max_tokens=12, schema=SCHEMA)
    before = fresh[0].pace.read_tokens
    known = [fresh[0].complete(two, max_tokens=12, temperature=t, schema=SCHEMA) for t in (0.0, 1.0)]
    read = fresh[0].pace.read_tokens - before
    anew = [fresh[1].complete(two, max_tokens=12, temperature=t, schema=SCHEMA) for t in (0.0, 1.0)]
    assert [[r.text for r in part] for part in known] == [[r.text for r in part] for part in anew]
    ids = [chat_tokens(tokenizer, c) for c in two]
    again = [repeated_tokens(tokenizer, c, i) for c, i in zip(two, ids, strict=True)]
    assert tokenizer.decode(ids[0][: again[0]]).endswith("Shelf: cola - big 2.49")
    assert read == 2 * sum(len(i) - a for i, a in zip(ids, again, strict=True))
    assert known[0][0].prompt_tokens == len(ids[0])  # what was said counts in full
    plain = [[Message(m.role, m.content) for m in c] for c in two]
    assert [r.text for r in fresh[1].complete(plain, max_tokens=12, schema=SCHEMA)] == [
        r.text for r in known[0]
    ]  # in float32 two parts say what one says


def test_beginnings_beyond_the_memory_are_forgotten_and_read_again(backend):
    """Room for one of two beginnings: in turns, each is read anew; the words stay."""
    talks_ = [rounds("cola"), rounds("coupon")]
    whole, tight = LocalBackend(backend.reader), LocalBackend(backend.reader)
    tight.beginnings = Beginnings(most_bytes=1)
    for turn in range(2):
        said = [b.complete(talks_, max_tokens=8) for b in (whole, tight)]
        assert [r.text for r in said[0]] == [r.text for r in said[1]]
        if turn:
            assert tight.pace.read_tokens > whole.pace.read_tokens


def test_draws_depend_on_the_seed_and_the_number_of_the_conversation(backend):
    say = {seed: backend.complete(talks(8), max_tokens=12, temperature=1.5, seed=seed) for seed in (1, 1, 2)}
    again = backend.complete(talks(8), max_tokens=12, temperature=1.5, seed=1)
    assert [r.text for r in say[1]] == [r.text for r in again]
    assert [r.text for r in say[1]] != [r.text for r in say[2]]


def test_tokens_are_drawn_in_proportion_to_their_probability():
    """Two tokens at odds of 3 to 1 under temperature 1: numbers below 3/4 take the first."""
    from malles.llm.writing import _next

    logits = torch.log(torch.tensor([[0.75, 0.25]] * 4))
    assert _next(logits, 1.0, [0.1, 0.74, 0.76, 0.99], None, [True] * 4) == [0, 0, 1, 1]


def test_a_reply_that_would_not_fit_the_context_is_counted_and_not_cut(backend):
    long = [[Message("user", "cola " * 2000)], talks(1)[0]]
    first, second = backend.complete(long, max_tokens=8)
    assert "do not fit into 1024" in first.problem
    assert second.completion_tokens > 0


def test_every_row_begins_at_place_0_and_grows_at_its_own_end():
    """Rows of 2 and 3 places: the next tokens stand in places 2 and 3, and each row sees its own alone."""
    from transformers import DynamicCache

    alone = []
    for row, length in enumerate((2, 3)):
        cache = DynamicCache()
        cache.update(*(torch.full((1, 1, length, 1), 10.0 * row + k) for k in (1, 2)), 0)
        alone.append(cache)
    rows = RowCache(alone, 80)
    assert rows.positions.tolist() == [[2], [3]]
    keys, values = rows.update(torch.tensor([7.0, 8.0]).reshape(2, 1, 1, 1), torch.zeros(2, 1, 1, 1), 0)
    assert keys.shape == (2, 1, 64, 1)
    assert keys[:, 0, :5, 0].tolist() == [[1, 1, 7, 0, 0], [11, 11, 11, 8, 0]]
    assert values[:, 0, :5, 0].tolist() == [[2, 2, 0, 0, 0], [12, 12, 12, 0, 0]]
    assert rows.mask().shape == (2, 1, 1, 64)
    assert rows.mask().sum(dim=-1).flatten().tolist() == [3, 4]
    for _ in range(62):
        rows.advance()
    assert rows.mask().shape == (2, 1, 1, 128)  # place 65 of the longer row needs a second block


def test_a_talk_longer_than_the_window_of_some_layers_is_refused():
    """4,000 tokens before layers that look back 512; without such layers, or within 512, all is well."""
    from types import SimpleNamespace

    from malles.llm.writing import _check_window

    gemma = SimpleNamespace(sliding_window=512, layer_types=["sliding_attention", "full_attention"])
    with pytest.raises(
        ModelError, match="take 4000 tokens, but some layers of this model look back only 512"
    ):
        _check_window(gemma, 4000)
    _check_window(gemma, 512)
    _check_window(SimpleNamespace(sliding_window=512, layer_types=["full_attention"]), 4000)
    _check_window(SimpleNamespace(), 4000)


@pytest.mark.weights
def test_the_embedded_model_writes_every_word_alone_as_among_others():
    """In the number format of this machine; padded on the left, three of these four differed in bfloat16."""
    asked = [
        [Message("user", f"Say in one sentence why {thing} sells well{' in May' * k}.")]
        for k, thing in enumerate(("plum jam", "mint tea", "a lantern", "soap"))
    ]
    backend = LocalBackend.untuned()
    together = backend.complete(asked, max_tokens=32)
    alone = [backend.complete([one], max_tokens=32)[0] for one in asked]
    assert [r.text for r in together] == [r.text for r in alone]


@pytest.mark.weights
@pytest.mark.parametrize("between", [" ", "  ", ", ", ". "])
def test_a_claim_as_long_as_it_may_be_leaves_room_for_the_rest_of_a_turn_of_48_tokens(between):
    """Single letters take the most tokens, here with the longest of everything else."""
    claim = between.join("ABCDEFGHIJKLMNOPQRSTUVWXYZ")[:CLAIM].rstrip(" ,.")
    assert re.fullmatch(WORDS, claim)
    turn = {"claim": claim, "evidence": ["f10", "f12"], "choice": "none", "units": 99_999}
    tokenizer = LocalBackend.untuned().writer[1]
    text = json.dumps(turn, separators=(",", ":"))
    assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= 48


def test_a_claim_has_neither_digits_nor_marks_in_a_row():
    """Those that ran out of tokens before, and those that did not."""
    refused = ["", "A.A.B.C.D.E", "A,B", "A, , B", "A   B", " A", "24 jars", "say <b>", "so,"]
    assert not any(re.fullmatch(WORDS, claim) for claim in refused)
    assert all(re.fullmatch(WORDS, claim) for claim in ["A", "it sells", "A, B. C", "A  B  ", "it sells."])
