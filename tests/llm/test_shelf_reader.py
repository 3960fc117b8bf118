"""The pointer as a reader of long shelves: tokens counted line by line, and no prompt is shortened."""

from __future__ import annotations

import numpy as np
import pytest

from llm.small_models import random_shelf
from malles.discussion.shelf_reader import PointerShelfReader
from malles.discussion.shelves import read_alone, talk_over_shelves
from malles.discussion.specialists import SPECIALISTS, fixed_tokens, line_tokens
from malles.errors import OccasionError


def test_tokens_of_the_lines_add_up_to_those_of_the_prompt(tiny_reader):
    """Counted without laying a prompt out, they are what the encoder makes of it; for every specialist."""
    reader, prompt = PointerShelfReader(tiny_reader), random_shelf(np.random.default_rng(2), 9)
    views = [prompt, *(one.view(prompt, [4, 0, 7]) for one in SPECIALISTS)]
    for view in views:
        counted = fixed_tokens(view, reader) + sum(line_tokens(view, reader))
        assert counted == len(tiny_reader.encoder.encode(view))


def test_with_tokens_for_everything_the_decider_says_what_one_reader_says(tiny_reader):
    """The union is then the whole shelf, read in another order, which the attention `set` does not see."""
    reader, prompt = PointerShelfReader(tiny_reader), random_shelf(np.random.default_rng(3), 8)
    order = list(range(8))
    alone = read_alone([prompt], [order], reader, reader.context)[0]
    talk = talk_over_shelves([prompt], [order], [10**6], reader)[0]
    assert sorted(talk.union) == order and talk.dropped == alone.dropped == 0
    assert np.ptp(alone.decider) > 0
    np.testing.assert_allclose(talk.decider, alone.decider, atol=1e-4)


def test_no_prompt_exceeds_the_context_and_none_is_shortened(tiny_reader):
    reader, prompt = PointerShelfReader(tiny_reader, context=100), random_shelf(np.random.default_rng(4), 30)
    seen = []
    ask = reader.utilities
    reader.utilities = lambda prompts: (seen.extend(prompts), ask(prompts))[1]  # type: ignore[method-assign]
    talk_over_shelves([prompt], [list(range(30))], [10**6], reader)
    assert max(len(tiny_reader.encoder.encode(p)) for p in seen) <= 100
    assert len(seen) > len(SPECIALISTS) + 1
    tiny_reader.encoder.longest = 60
    with pytest.raises(OccasionError, match="lose fields"):
        ask([prompt.reorder(list(range(4)))])
