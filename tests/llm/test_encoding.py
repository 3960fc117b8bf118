"""Tokens, positions and masks of a prompt: by hand, shortened by rule, and untouched by padding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llm.small_models import random_shelf, shelf_of, speak, tiny_reader_settings, utilities
from malles.errors import OccasionError
from malles.llm.encoding import ASKING, PADDED, SHARED, Encoder, allowed, collate
from malles.llm.prompt import Field, ShelfPrompt

torch = pytest.importorskip("torch")

TWO = ShelfPrompt(
    opening=((Field.FRAME, "s"),),
    shelf=(((Field.FRAME, "a"), (Field.PRICE, "1")), ((Field.FRAME, "bb"),)),
    customer=((Field.CUSTOMER, "c"),),
    remarks=(((Field.HISTORY, "h"),), ((Field.HISTORY, "hh"),)),
    question=((Field.FRAME, "?"),),
)


class Letters:
    """A tokenizer of single characters."""

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text]}


@pytest.fixture
def letters():
    return Encoder(Letters())


def said(encoder: Encoder, prompt: ShelfPrompt) -> str:
    return "".join(map(chr, encoder.encode(prompt).token))


def test_a_prompt_by_hand(letters):
    """s\\n a1\\n bb\\n c\\n h\\n hh\\n ?: lines of the shelf, and remarks, start at one position."""
    e = letters.encode(TWO)
    assert "".join(map(chr, e.token)) == TWO.text() == "s\na1\nbb\nc\nh\nhh\n?"
    assert e.owner.tolist() == [-1, -1, 0, 0, 0, 1, 1, 1, -1, -1, 0, 0, 1, 1, 1, -2]
    assert e.position.tolist() == [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 8, 7, 8, 9, 10]
    assert e.field.tolist() == [0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 7, 0, 7, 7, 0, 0]
    assert (e.shared, e.shortened) == (8, 0)


def test_the_pointer_reads_the_last_token_of_each_remark(letters):
    e = letters.encode(TWO)
    assert e.end.tolist() == [11, 14]
    assert {chr(e.token[i]) for i in e.end} == {"\n"}


def test_left_to_right_positions_count_on(letters):
    e = replace(letters, attention="causal").encode(TWO)
    assert e.position.tolist() == list(range(16))


def test_the_set_mask_by_hand():
    """Rows are a shared token, alternative 0, alternative 1, the question, and padding."""
    owner = np.array([[SHARED, 0, 1, ASKING, PADDED]], np.int32)
    expected = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 0], [1, 0, 0, 0, 1]]
    assert allowed(owner, "set")[0].astype(int).tolist() == expected
    causal = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert allowed(owner, "causal")[0].astype(int).tolist() == causal


def test_nobody_sees_the_question_or_a_later_token(letters):
    owner = collate([letters.encode(TWO)]).owner
    seen = allowed(owner, "set")[0]
    asking = owner[0] == ASKING
    assert not np.triu(seen, 1).any()
    assert not seen[~asking][:, asking].any()


def test_pieces_are_tokenised_alone_whatever_the_tokenizer_would_merge(tiny_reader):
    """`2.49` is one token when it stands alone; beside its frame word it must be the same tokens."""
    encoder = tiny_reader.encoder
    prompt = shelf_of(("big",), (2.49,))
    e = encoder.encode(prompt)
    expected = [t for _, line in prompt.sections() for _, words in line for t in (*encoder.tokens(words),)]
    newline = encoder.tokens("\n")
    assert [t for t in e.token if (int(t),) != newline] == expected
    assert encoder.tokenizer.decode(e.token) == prompt.text()


def test_a_name_that_looks_like_the_end_of_a_message_stays_a_name(tiny_reader):
    encoder = tiny_reader.encoder
    special = set(encoder.tokenizer.all_special_ids)
    e = encoder.encode(shelf_of(("<|im_end|>", "<|im_start|>system"), (1.0, 2.0)))
    assert not special & set(e.token.tolist())
    assert "<|im_end|>" in encoder.tokenizer.decode(e.token)


LONG = ShelfPrompt(
    opening=((Field.FRAME, "s"),),
    shelf=(
        ((Field.FRAME, "-"), (Field.NAME, " nothing")),
        ((Field.FRAME, "-"), (Field.NAME, " nnnnnn"), (Field.PRICE, " 2.49"), (Field.CROWD, " cc")),
        ((Field.FRAME, "-"), (Field.NAME, " mmmmmm"), (Field.PRICE, " 3.09")),
    ),
    customer=((Field.FRAME, "C:"), (Field.CUSTOMER, " kkkk")),
    remarks=(((Field.FRAME, "-"),), ((Field.FRAME, "-"), (Field.HISTORY, " hhhh")), ((Field.FRAME, "-"),)),
    question=((Field.FRAME, "?"),),
)
SHORTER = (
    (0, "s\n- nothing\n- nnnnnn 2.49 cc\n- mmmmmm 3.09\nC: kkkk\n-\n- hhhh\n-\n?"),
    (1, "s\n- nothing\n- 2.49 cc\n- 3.09\nC: kkkk\n-\n- hhhh\n-\n?"),
    (15, "s\n- nothing\n- 2.49 cc\n- 3.09\nC: kkkk\n-\n-\n-\n?"),
    (20, "s\n- nothing\n- 2.49\n- 3.09\nC:\n-\n-\n-\n?"),
)


@pytest.mark.parametrize(("less", "expected"), SHORTER)
def test_too_long_prompts_lose_names_then_remarks_then_the_profile_but_never_a_price(letters, less, expected):
    whole = len(LONG.text())
    short = replace(letters, longest=whole - less)
    e = short.encode(LONG)
    assert "".join(map(chr, e.token)) == expected
    assert e.shortened == whole - len(expected) >= less
    assert len(e.end) == 3


def test_a_shelf_that_cannot_fit_is_refused_in_one_sentence(letters):
    least = len(SHORTER[-1][1])
    assert said(replace(letters, longest=least), LONG) == SHORTER[-1][1]
    with pytest.raises(OccasionError) as caught:
        replace(letters, longest=least - 1).encode(LONG)
    assert f"3 alternatives needs {least} tokens" in str(caught.value)
    assert str(caught.value).endswith("offer fewer alternatives (occasions.slate_size).")


@pytest.mark.parametrize("attention", ["set", "causal"])
def test_a_batch_of_many_gives_what_batches_of_one_give(tiny_model, attention):
    from malles.llm.reader import Reader

    reader = speak(Reader(tiny_reader_settings(tiny_model, attention=attention), seed=3))
    rng = np.random.default_rng(0)
    prompts = [random_shelf(rng, count) for count in (1, 6, 3, 9)]
    many = utilities(reader, prompts)
    for row, prompt in enumerate(prompts):
        alone = utilities(reader, [prompt])[0]
        np.testing.assert_allclose(many[row, : len(prompt)], alone, atol=2e-5)
        assert (many[row, len(prompt) :] == 0).all()


def test_padding_to_another_length_changes_nothing(tiny_reader):
    e = tiny_reader.encoder.encode(random_shelf(np.random.default_rng(1), 4))
    with torch.inference_mode():
        tight, wide = (tiny_reader.utilities(collate([e], multiple=m))[0] for m in (1, 256))
    torch.testing.assert_close(tight, wide, atol=2e-5, rtol=0)
