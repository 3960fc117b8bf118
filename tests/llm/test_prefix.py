"""Many customers before one shelf, and several processes, give what one prompt after another gives."""

from __future__ import annotations

import numpy as np
import pytest

from llm.small_models import random_shelf, shelf_of, speak, tiny_reader_settings
from malles.llm.prompt import Field, ShelfPrompt

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from malles.llm.adapter import save_reader  # noqa: E402
from malles.llm.backends.local import LocalBackend  # noqa: E402
from malles.llm.prefix import SharedShelf, group_by_shelf  # noqa: E402
from malles.llm.reader import Reader  # noqa: E402
from malles.llm.workers import Workers  # noqa: E402


def customers(shelf: ShelfPrompt, count: int, rng: np.random.Generator) -> list[ShelfPrompt]:
    """One shelf, customers with pasts of their own."""
    found = []
    for k in range(count):
        remarks = tuple(
            ((Field.FRAME, "-"), (Field.HISTORY, f" habit {rng.integers(1, 99)}%"))
            if rng.random() < 0.7
            else ((Field.FRAME, "-"),)
            for _ in range(len(shelf))
        )
        said = ((Field.FRAME, "Customer:"), (Field.CUSTOMER, f" number {k}" * int(rng.integers(1, 4))))
        found.append(ShelfPrompt(shelf.opening, shelf.shelf, said, remarks))
    return found


@pytest.fixture
def prompts():
    """Shelves of 3, 5 and 4 alternatives with 6, 5 and 1 customers, mixed."""
    rng = np.random.default_rng(0)
    made = [
        p for count, many in ((3, 6), (5, 5), (4, 1)) for p in customers(random_shelf(rng, count), many, rng)
    ]
    return [made[i] for i in rng.permutation(len(made))]


@pytest.mark.parametrize("attention", ["set", "causal"])
def test_sharing_the_reading_of_a_shelf_changes_no_utility(tiny_model, prompts, attention):
    reader = speak(Reader(tiny_reader_settings(tiny_model, attention=attention), seed=3))
    backend = LocalBackend(reader)
    encoded = [reader.encoder.encode(p) for p in prompts]
    shared, fresh = backend.utilities(encoded), backend.utilities(encoded, share=False)
    assert [len(v) for v in shared] == [len(p) for p in prompts]
    for one, other in zip(shared, fresh, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert np.std(np.concatenate(fresh)) > 0.1


def test_prompts_are_grouped_by_their_shelf_in_order_of_first_appearance(tiny_reader, prompts):
    groups = group_by_shelf([tiny_reader.encoder.encode(p) for p in prompts])
    assert sorted(i for g in groups for i in g) == list(range(12))
    assert [g[0] for g in groups] == sorted(g[0] for g in groups)
    assert sorted(map(len, groups)) == [1, 5, 6]
    for group in groups:
        assert len({prompts[i].shelf for i in group}) == 1


def test_another_price_is_another_shelf(tiny_reader):
    shelves = [shelf_of(("big", "small"), (2.49, price)) for price in (1.0, 1.0, 1.01)]
    assert group_by_shelf([tiny_reader.encoder.encode(s) for s in shelves]) == [[0, 1], [2]]


def test_the_shelf_is_read_once_however_many_stand_before_it(tiny_reader, monkeypatch):
    read = []
    start = SharedShelf.__init__
    monkeypatch.setattr(
        SharedShelf, "__init__", lambda self, *given: (read.append(1), start(self, *given))[1]
    )
    rng = np.random.default_rng(0)
    made = customers(random_shelf(rng, 5), 40, rng)
    LocalBackend(tiny_reader).utilities([tiny_reader.encoder.encode(p) for p in made])
    assert len(read) == 1


def test_what_was_used_is_counted_and_progress_ends_at_all(tiny_reader, prompts):
    backend, told = LocalBackend(tiny_reader), []
    encoded = [tiny_reader.encoder.encode(p) for p in prompts]
    backend.utilities(encoded, lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    assert backend.usage.calls == 12
    assert backend.usage.prompt_tokens == sum(map(len, encoded))


def test_scores_are_distributions_and_tell_what_was_left_out(tiny_model, prompts):
    reader = speak(Reader(tiny_reader_settings(tiny_model), seed=3))
    reader.encoder.longest = max(len(reader.encoder.encode(p)) for p in prompts) - 1
    scored = LocalBackend(reader).score(prompts)
    for s, p in zip(scored, prompts, strict=True):
        assert s.log_probability is not None
        assert len(s.log_probability) == len(p)
        assert np.exp(s.log_probability).sum() == pytest.approx(1)
    assert sum(s.shortened > 0 for s in scored) >= 1


@pytest.mark.slow
def test_one_process_and_two_give_the_same_numbers(tiny_reader, tmp_path):
    """Blocks are cut by prompt, so the batches are the same and so is every bit."""
    save_reader(tiny_reader, tmp_path, {})
    rng = np.random.default_rng(0)
    prompts = [random_shelf(rng, int(rng.integers(2, 6))) for _ in range(150)]
    encoded = [tiny_reader.encoder.encode(p) for p in prompts]
    found = []
    for count in (1, 2):
        told: list[int] = []
        with Workers(tmp_path, count) as workers:
            found.append(workers.utilities(encoded, lambda done, total, told=told: told.append(done)))
        assert told == [64, 128, 150]
    here = LocalBackend(tiny_reader).utilities(encoded)
    for one, two, alone in zip(*found, here, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, alone, atol=1e-4)
