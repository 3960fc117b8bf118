"""A shelf is a set; the fast arithmetic is that of PyTorch and transformers; watched attention is real."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.small_models import random_shelf, speak, tiny_reader_settings, utilities

torch = pytest.importorskip("torch")

from malles.llm import attention  # noqa: E402
from malles.llm.encoding import allowed, collate  # noqa: E402
from malles.llm.prompt import Field  # noqa: E402
from malles.llm.reader import Reader  # noqa: E402
from malles.llm.training.batches import watch_lines  # noqa: E402


@pytest.fixture(scope="module")
def by_attention(tiny_model):
    return {
        a: speak(Reader(tiny_reader_settings(tiny_model, attention=a), seed=3)) for a in ("set", "causal")
    }


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(6)))
def test_any_order_of_the_shelf_gives_every_alternative_its_own_utility(by_attention, seed, order):
    prompt = random_shelf(np.random.default_rng(seed), 6)
    straight = utilities(by_attention["set"], [prompt])[0]
    turned = utilities(by_attention["set"], [prompt.reorder(order)])[0]
    np.testing.assert_allclose(turned, straight[order], atol=1e-5)


def test_a_shelf_read_left_to_right_changes_when_it_is_reordered(by_attention):
    prompt, order = random_shelf(np.random.default_rng(0), 6), [5, 4, 3, 2, 1, 0]
    straight = utilities(by_attention["causal"], [prompt])[0]
    turned = utilities(by_attention["causal"], [prompt.reorder(order)])[0]
    assert np.abs(turned - straight[order]).max() > 1e-2


# ---- the fast arithmetic ----


def drawn(n: int = 2, heads: int = 4, keys: int = 2, t: int = 7, width: int = 8):
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(n, h, t, width, generator=draw, requires_grad=True) for h in (heads, keys, keys)
    )
    mask = (torch.rand(n, 1, t, t, generator=draw) < 0.5) | torch.eye(t, dtype=torch.bool)
    return query, key, value, mask


@pytest.mark.parametrize("kind", ["bool", "added"])
@pytest.mark.parametrize("keys", [1, 2, 4])
def test_attention_by_two_products_is_that_of_pytorch(keys, kind):
    query, key, value, mask = drawn(keys=keys)
    if kind == "added":
        mask = torch.zeros(mask.shape).masked_fill(~mask, -1e9)
    out = attention._plain(query, key, value, mask, 0.3, 4 // keys)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True
    )
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    weight = torch.linspace(-1, 1, out.numel()).view_as(out)
    got = torch.autograd.grad((out * weight).sum(), (query, key, value))
    wanted = torch.autograd.grad((expected * weight).sum(), (query, key, value))
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_masks_what_is_hidden(dtype):
    """One visible token of two: the answer is its value, whatever the other holds."""
    query, key = torch.ones(1, 1, 1, 4, dtype=dtype), torch.ones(1, 1, 2, 4, dtype=dtype)
    value = torch.tensor([[[[2.0] * 4, [1000.0] * 4]]], dtype=dtype)
    out = attention._plain(query, key, value, torch.tensor([[[[True, False]]]]), 1.0, 1)
    assert out.flatten().tolist() == [2.0] * 4


def test_long_prompts_take_the_kernel_and_give_the_same(monkeypatch):
    query, key, value, mask = drawn()
    plain, _ = attention.attend(None, query, key, value, mask)
    monkeypatch.setattr(attention, "PLAIN", 3)
    kernel, _ = attention.attend(None, query, key, value, mask)
    torch.testing.assert_close(plain, kernel, atol=1e-6, rtol=1e-5)
    assert plain.shape == (2, 7, 4, 8)


def test_the_reader_computes_what_transformers_computes(tiny_model):
    """Our attention, our norms, positions and mask against an eager model given the same mask as numbers."""
    from malles.llm.loading import load_model

    reader = Reader(tiny_reader_settings(tiny_model, tuned_layers=0))
    batch = collate([reader.encoder.encode(random_shelf(np.random.default_rng(2), 4))])
    model, _ = load_model(tiny_model)
    model.set_attn_implementation("eager")
    seen = torch.from_numpy(allowed(batch.owner, "set"))[:, None]
    with torch.inference_mode():
        state = model.model(
            torch.from_numpy(batch.token).long(),
            position_ids=torch.from_numpy(batch.position).long(),
            attention_mask=torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min),
        ).last_hidden_state
        lines, question = reader.hidden_states(batch)
    torch.testing.assert_close(lines[0], state[0, batch.end[0]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(question[0], state[0, batch.last[0]], atol=1e-4, rtol=1e-4)


# ---- what is looked at ----


def test_watched_attention_is_that_of_an_eager_model_by_field(tiny_model):
    """Both layers: the mean over heads of the attention of the line ends, added up by field."""
    from malles.llm.loading import load_model

    reader = Reader(tiny_reader_settings(tiny_model, tuned_layers=0))
    rng = np.random.default_rng(3)
    batch = collate([reader.encoder.encode(random_shelf(rng, n)) for n in (4, 4)])
    watch = watch_lines(reader, batch)
    watch.layers = frozenset({0, 1})
    model, _ = load_model(tiny_model)
    model.set_attn_implementation("eager")
    seen = torch.from_numpy(allowed(batch.owner, "set"))[:, None]
    with torch.inference_mode():
        reader.utilities(batch, watch)
        maps = model.model(
            torch.from_numpy(batch.token).long(),
            position_ids=torch.from_numpy(batch.position).long(),
            attention_mask=torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min),
            output_attentions=True,
        ).attentions
    assert len(watch.mass) == len(maps) == 2
    for mass, weight in zip(watch.mass, maps, strict=True):
        rows = weight.mean(dim=1)[torch.arange(2)[:, None], torch.from_numpy(batch.end).long()].numpy()
        by_field = np.stack(
            [(rows * (batch.field == f)[:, None]).sum(axis=2) for f in range(len(Field))], axis=2
        )
        np.testing.assert_allclose(mass.numpy(), by_field, atol=1e-5)
        np.testing.assert_allclose(mass.sum(dim=2).numpy(), 1, atol=1e-5)


def test_nothing_is_watched_outside_the_block():
    watch = attention.Watch(torch.zeros(1, 1), torch.zeros(1, 1, 1), frozenset())
    with pytest.raises(RuntimeError, match="inside"), attention.watching(watch):
        raise RuntimeError("inside")
    assert attention._watch is None
