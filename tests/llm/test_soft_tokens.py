"""Soft tokens: vectors of products between the words of a prompt; nothing changes where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from malles.errors import ModelError
from malles.llm.adapter import load_reader, save_reader
from malles.llm.backends.local import LocalBackend
from malles.llm.encoding import collate
from malles.llm.prompt import Field, ShelfPrompt, soft_piece
from malles.llm.training.examples import Examples
from malles.llm.training.loop import TrainingSettings, mean_loss, train
from malles.llm.wording import CANONICAL
from malles.vocabulary import Embedding

VECTORS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
IMAGE = Embedding("image", VECTORS, np.arange(40) % 10 != 9)
WORDS = Embedding("words", -VECTORS[:, :2].copy(), np.arange(40) % 7 != 6)
DASH = (Field.FRAME, "-")


def shelf(*products, columns=1, soft=True):
    """A shelf of products without names: their vectors are all there is to read."""
    lines = tuple(
        (DASH, *(soft_piece(int(p) * columns + k) for k in range(columns) if soft), (Field.PRICE, " 2.49"))
        for p in products
    )
    return ShelfPrompt(
        ((Field.FRAME, "Shelf:"),), lines, ((Field.FRAME, "Customer:"),), ((DASH,),) * len(lines)
    )


def utility(reader, *prompts):
    with torch.no_grad():
        return reader.utilities(collate([reader.encoder.encode(p) for p in prompts]))[0].numpy()


def spoken(reader, *embeddings):
    """Let vectors say something, as if it had been learnt."""
    soft = reader.add_soft(embeddings, seed=1)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(2)
        soft.scale.normal_()
        soft.missing.normal_()
    return soft


def test_a_reader_without_vectors_leaves_their_places_out(tiny_reader):
    with_, without = (tiny_reader.encoder.encode(shelf(0, 1, 2, soft=s)) for s in (True, False))
    for name in ("token", "position", "owner", "field", "end"):
        np.testing.assert_array_equal(getattr(with_, name), getattr(without, name))


def test_prompts_without_vectors_are_read_as_before(tiny_reader):
    before = utility(tiny_reader, shelf(0, 1, 2, soft=False))
    spoken(tiny_reader, IMAGE)
    assert set(tiny_reader.words(torch.zeros(1, 4, dtype=torch.long))) == {"input_ids"}
    np.testing.assert_array_equal(utility(tiny_reader, shelf(0, 1, 2, soft=False)), before)


def test_vectors_say_nothing_before_training(tiny_reader):
    tiny_reader.add_soft([IMAGE])
    found = utility(tiny_reader, shelf(0, 1, 9))[0]
    np.testing.assert_allclose(found, found[0], atol=1e-5)


def test_every_vector_takes_one_token_of_its_own_field(tiny_reader):
    tiny_reader.add_soft([IMAGE, WORDS])
    plain = tiny_reader.encoder.encode(shelf(3, 4, soft=False))
    encoded = tiny_reader.encoder.encode(shelf(3, 4, columns=2))
    assert len(encoded) == len(plain) + 4
    places = encoded.field == Field.SOFT
    vocabulary = len(tiny_reader.trunk.get_input_embeddings().weight)
    assert (encoded.token[places] - vocabulary).tolist() == [6, 7, 8, 9]
    assert encoded.owner[places].tolist() == [0, 0, 1, 1]


def test_the_formula_by_hand(tiny_reader):
    """GAIN · spread · s · norm(W (v - mean) / deviation + a) if known, GAIN · spread · m if missing."""
    soft = spoken(tiny_reader, IMAGE)
    found = soft(torch.tensor([3, 9])).detach()
    known = VECTORS[IMAGE.known].astype(np.float64)
    mean = known.mean(axis=0)
    x = torch.tensor((VECTORS[3] - mean) / np.sqrt(((known - mean) ** 2).mean()), dtype=torch.float32)
    projected = soft.project[0].weight @ x + soft.project[0].bias
    normed = (projected - projected.mean()) / torch.sqrt(projected.var(unbiased=False) + 1e-5)
    spread = tiny_reader.trunk.get_input_embeddings().weight.float().std()
    torch.testing.assert_close(
        found[0], (10 * spread * soft.scale[0] * normed).detach(), rtol=1e-3, atol=1e-5
    )
    torch.testing.assert_close(found[1], (10 * spread * soft.missing[0]).detach(), rtol=1e-3, atol=1e-5)


def test_the_order_of_alternatives_does_not_matter_and_batches_change_nothing(tiny_reader):
    spoken(tiny_reader, IMAGE)
    one = utility(tiny_reader, shelf(0, 1, 9, 3))[0]
    assert np.ptp(one) > 1e-3
    np.testing.assert_allclose(utility(tiny_reader, shelf(3, 9, 1, 0))[0], one[::-1], atol=1e-4)
    together = utility(tiny_reader, shelf(0, 1, 9, 3), shelf(5, 6), shelf(0, 1, soft=False))
    np.testing.assert_allclose(together[0], one, atol=1e-4)


def test_shelves_that_differ_only_in_vectors_are_not_shared(tiny_reader):
    spoken(tiny_reader, IMAGE)
    encoded = [tiny_reader.encoder.encode(p) for p in [shelf(0, 1, 2)] * 3 + [shelf(2, 5, 9)] * 3]
    shared = LocalBackend(tiny_reader).utilities(encoded)
    alone = LocalBackend(tiny_reader).utilities(encoded, share=False)
    np.testing.assert_allclose(np.array(shared), np.array(alone), atol=1e-4)
    assert np.abs(shared[0] - shared[3]).max() > 1e-3


def test_a_letter_answers_without_vectors():
    assert "vector" in shelf(0).text()
    assert "vector" not in shelf(0).lettered(("A",))


def test_a_saved_reader_reads_the_vectors_of_the_products_it_is_given(tiny_reader, tmp_path):
    spoken(tiny_reader, IMAGE, WORDS)
    before = utility(tiny_reader, shelf(0, 9, 3, columns=2))
    save_reader(tiny_reader, tmp_path, {})
    loaded = load_reader(tmp_path)
    with pytest.raises(ModelError, match="has vectors of 0 products"):
        utility(loaded, shelf(0, 9, 3, columns=2))
    with pytest.raises(ModelError, match="reads the embedding columns"):
        loaded.soft.attach([IMAGE])
    loaded.soft.attach([IMAGE, WORDS])
    np.testing.assert_allclose(utility(loaded, shelf(0, 9, 3, columns=2)), before, atol=1e-4)
    turned = np.arange(40)[::-1]
    loaded.soft.attach([replace(e, vector=e.vector[turned], known=e.known[turned]) for e in (IMAGE, WORDS)])
    np.testing.assert_allclose(utility(loaded, shelf(39, 30, 36, columns=2)), before, atol=1e-4)


def test_a_reader_without_vectors_saves_what_it_did_before(tiny_reader, tmp_path):
    save_reader(tiny_reader, tmp_path, {})
    assert not (tmp_path / "soft.safetensors").exists()


def test_a_taste_for_a_vector_is_learnt_and_holds_for_new_products(tiny_reader):
    """The product with the largest first number is always taken; training never sees products 30 to 39."""

    def game(first, last, n, seed):
        rng = np.random.default_rng(seed)
        products = np.stack([rng.permutation(np.arange(first, last))[:4] for _ in range(n)])
        chosen = VECTORS[products, 0].argmax(axis=1).astype(np.int32)

        def render(row, wording=CANONICAL):
            return shelf(*products[row])

        return Examples(render, chosen, np.zeros((n, 4), np.float32), np.zeros(n, np.int32))

    tiny_reader.add_soft([Embedding("image", VECTORS, np.ones(40, bool))])
    settings = TrainingSettings(
        steps=250, batch=16, alternatives=0, rate=3e-3, pointer_rate=1e-2, rewording=0.0, look=0
    )
    train(tiny_reader, game(0, 30, 500, 1), settings)
    assert mean_loss(tiny_reader, game(30, 40, 100, 2)) < 0.8 * np.log(4)
