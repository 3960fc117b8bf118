"""Prompts laid end to end give what transformers gives for each of them; every kernel against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.small_models import random_shelf, shelf_of, speak, tiny_reader_settings, write_tiny_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from malles.llm import packed  # noqa: E402
from malles.llm.backends.local import LocalBackend  # noqa: E402
from malles.llm.encoding import ASKING, PADDED, SHARED, Batch, allowed, collate  # noqa: E402
from malles.llm.packing import EARLIER, HERE, pack, spans_of  # noqa: E402
from malles.llm.prefix import SharedShelf  # noqa: E402
from malles.llm.reader import Reader  # noqa: E402
from malles.llm.row_kernels import gate, normalise, rotate_columns, rotate_rows  # noqa: E402


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory):
    """Heads of 32 numbers, as the kernels need them; two query heads share a key."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "wide", hidden=128)


def wide_reader(folder, **changes):
    return speak(Reader(tiny_reader_settings(folder, **changes), seed=3))


def three_shelves(reader):
    rng = np.random.default_rng(1)
    return collate([reader.encoder.encode(random_shelf(rng, n)) for n in (6, 2, 17)])


def masked_states(reader, batch):
    """What the reader computes with all pairs of tokens and a mask, as it does under a gradient."""
    with torch.enable_grad():
        lines, question = reader.hidden_states(batch)
    return lines.detach(), question.detach()


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


# ---- who sees whom ----


@settings(max_examples=60)
@given(
    owner=st.lists(st.sampled_from([SHARED, 0, 1, 2, ASKING]), min_size=1, max_size=24),
    attention=st.sampled_from(["set", "causal"]),
    data=st.data(),
)
def test_spans_say_what_the_table_of_pairs_says(owner, attention, data):
    owners = np.array(owner, np.int32)
    cut = data.draw(st.integers(0, len(owners)))
    table = np.zeros((len(owners), len(owners)), bool)
    spans = spans_of(owners, attention, cut)
    for begin, end, seen in spans:
        assert not begin < cut < end
        for low, high in seen:
            assert not low < cut < high
            assert not table[begin:end, low:high].any()
            table[begin:end, low:high] = True
        table[begin:end, begin:end] = np.tril(np.ones((end - begin, end - begin), bool))
    np.testing.assert_array_equal(table, allowed(owners[None], attention)[0])


def test_a_pack_of_two_prompts_by_hand():
    """Prompts of 3 and 2 tokens after a shelf of 2: the second starts at token 3 and sees the same shelf."""
    shelf = np.array([SHARED, 0], np.int32)
    owner = np.array([[SHARED, 0, ASKING], [0, ASKING, PADDED]], np.int32)
    nothing = np.zeros(owner.shape, np.int32)
    end, last = np.array([[1], [0]], np.int32), np.array([2, 1], np.int32)
    batch = Batch(nothing, nothing, owner, nothing.astype(np.uint8), end, np.ones((2, 1), bool), last)
    made = pack(batch, "set", shelf)
    assert made.spans[:, :2].tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    seen = [made.ranges[a:b].tolist() for _, _, a, b in made.spans]
    assert seen[0] == [[EARLIER, 0, 1]]
    assert seen[1] == [[EARLIER, 0, 1], [EARLIER, 1, 2], [HERE, 0, 1]]
    assert seen[3] == [[EARLIER, 0, 1], [EARLIER, 1, 2]]
    assert seen[4] == [[EARLIER, 0, 2], [HERE, 3, 4]]
    assert made.rows.tolist() == [[1, 2], [3, 4]]
    assert made.room == 5
    assert made.pairs() == 2 + 4 + 5 + 3 + 4


# ---- kernels ----


def table(shape, dtype, seed=0, scale=1.0):
    draw = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(shape, generator=draw)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gate_is_silu_times_up_even_far_out(dtype):
    x, up = table((5, 48), dtype, scale=30.0), table((5, 48), dtype, seed=1)
    x[0, :4] = torch.tensor([0.0, -300.0, 300.0, -88.0])
    wide = x.double() / (1 + torch.exp(-x.double())) * up.double()
    gate(packed.bits(x), packed.bits(up))
    rtol = 2**-7.99 if dtype == torch.bfloat16 else 2e-5  # the exponent of a float32 has 24 bits too
    torch.testing.assert_close(x.double(), wide, rtol=rtol, atol=1e-35)


def test_what_is_not_a_number_stays_so():
    """A broken weight must show: no kernel turns NaN into a number."""
    x, up = torch.full((1, 16), torch.nan), torch.ones(1, 16)
    gate(packed.bits(x), packed.bits(up))
    assert torch.isnan(x).all()
    out = torch.zeros(1, 16)
    normalise(packed.bits(torch.full((1, 16), torch.nan)), np.ones(16, np.float32), 1e-5, packed.bits(out))
    assert torch.isnan(out).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rotation_is_that_of_transformers_by_rows_and_by_columns(dtype):
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    x, angle = table((32, 3 * 64), dtype), table((9, 32), torch.float32, seed=1)
    position = np.arange(32, dtype=np.int32) % 9
    cosine, sine = angle.cos().numpy(), angle.sin().numpy()
    full = [torch.from_numpy(np.tile(t[position], 2))[None] for t in (cosine, sine)]
    heads = x.float().view(1, 32, 3, 64).transpose(1, 2)
    expected = apply_rotary_pos_emb(heads, heads, *full)[0].transpose(1, 2).reshape(32, 3 * 64)
    across = x.t().contiguous()
    rotate_rows(packed.bits(x), cosine, sine, position)
    turned = [np.ascontiguousarray(t[position].T) for t in (cosine, sine)]
    rotate_columns(packed.bits(across), *turned)
    rtol, atol = (2**-7.99, 1e-6) if dtype == torch.bfloat16 else (1e-5, 1e-6)
    torch.testing.assert_close(x.float(), expected, rtol=rtol, atol=atol)
    assert torch.equal(across.t(), x)


# ---- the whole reading ----


@pytest.mark.parametrize("attention", ["set", "causal"])
def test_packed_prompts_give_the_states_that_masked_ones_give(wide_model, attention):
    """Prompts of unlike lengths and numbers of alternatives, none of them padded in the pack."""
    reader = wide_reader(wide_model, tuned_layers=0, attention=attention)
    batch = three_shelves(reader)
    lines, question = masked_states(reader, batch)
    with torch.inference_mode():
        assert reader.packs()
        got, asked = reader.hidden_states(batch)
    close(got[batch.present], lines[batch.present])
    close(asked, question)


@pytest.mark.parametrize("attention", ["set", "causal"])
def test_in_half_precision_packed_prompts_err_no_more_than_masked_ones(wide_model, attention):
    """Against float32 arithmetic with the same rounded weights; both err, for other sums are rounded."""
    half = wide_reader(wide_model, tuned_layers=0, attention=attention, dtype="bfloat16")
    exact = wide_reader(wide_model, tuned_layers=0, attention=attention)
    with torch.no_grad():
        for weight, rounded in zip(exact.trunk.parameters(), half.trunk.parameters(), strict=True):
            weight.copy_(rounded)
    batch = three_shelves(half)
    truth, masked = (masked_states(r, batch)[0][batch.present] for r in (exact, half))
    with torch.inference_mode():
        packed_ = half.hidden_states(batch)[0][batch.present]
    errors = [float((states - truth).square().mean().sqrt()) for states in (packed_, masked)]
    assert errors[0] < 1.1 * errors[1]
    assert errors[1] < 0.1 * float(truth.square().mean().sqrt())


def test_an_adapter_that_is_not_merged_is_read_too(wide_model):
    reader = wide_reader(wide_model, tuned_layers=1)
    batch = collate([reader.encoder.encode(random_shelf(np.random.default_rng(2), 5))])
    lines, _ = masked_states(reader, batch)
    with torch.no_grad():
        close(reader.hidden_states(batch)[0], lines)
        for name, weight in reader.adapter().items():
            if "lora_B" in name:
                weight.zero_()
    with torch.inference_mode():
        assert float((reader.hidden_states(batch)[0] - lines).abs().max()) > 1e-3


@pytest.mark.parametrize("attention", ["set", "causal"])
def test_a_shelf_read_before_its_customers_changes_nothing(wide_model, attention):
    """Two different customers and one twice; a customer before the shelf alone, and with others."""
    reader = wide_reader(wide_model, attention=attention)
    prompts = [
        shelf_of(("big", "small", "red"), (2.5, 3.0, 1.25), customer=said, habit=habit)
        for said, habit in (("new", (3, 44, 9)), ("bought 4 here, weeks ago", ()), ("new", (3, 44, 9)))
    ]
    encoded = [reader.encoder.encode(p) for p in prompts]
    fresh = LocalBackend(reader).utilities(encoded, share=False)
    shelf = SharedShelf(reader, encoded[0])
    assert shelf.earlier is not None
    together, alone = shelf.utilities(encoded).numpy(), shelf.utilities(encoded[1:2]).numpy()
    np.testing.assert_allclose(together, fresh, atol=2e-4)
    np.testing.assert_allclose(alone[0], fresh[1], atol=2e-4)
    np.testing.assert_allclose(together[0], together[2], atol=1e-5)


def test_models_that_are_not_known_are_read_as_before(tiny_model, wide_model):
    """Heads of 8 numbers do not fit; a gradient is not kept by the kernels."""
    batch_of = lambda reader: collate([reader.encoder.encode(random_shelf(np.random.default_rng(3), 3))])  # noqa: E731
    narrow = wide_reader(tiny_model)
    with torch.inference_mode():
        assert not narrow.packs()
        assert torch.isfinite(narrow.utilities(batch_of(narrow))[0]).all()
    wide = wide_reader(wide_model)
    assert not wide.packs()
    wide.utilities(batch_of(wide))[0].sum().backward()
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in wide.adapter().values())
    other = transformers.GPT2Model(transformers.GPT2Config(n_embd=32, n_layer=1, n_head=1, vocab_size=50))
    assert not packed.readable(other)
