"""Norms and gates in fewer passes give what transformers gives, with and without a gradient."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm  # noqa: E402

from malles.llm.lean import make_lean  # noqa: E402


def norms(dtype):
    plain, lean = LlamaRMSNorm(16, eps=1e-5), LlamaRMSNorm(16, eps=1e-5)
    for norm in (plain, lean):
        norm.weight.data = torch.linspace(0.5, 2, 16).to(dtype)
        norm.requires_grad_(False)
    assert make_lean(lean) == 1
    return plain, lean


def test_the_norm_is_that_of_transformers_with_its_gradient():
    plain, lean = norms(torch.float32)
    one, two = (torch.linspace(-3, 5, 160).view(2, 5, 16).requires_grad_() for _ in range(2))
    torch.testing.assert_close(lean(one), plain(two))
    weight = torch.cos(torch.arange(160.0)).view(2, 5, 16)
    (lean(one) * weight).sum().backward()
    (plain(two) * weight).sum().backward()
    torch.testing.assert_close(one.grad, two.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 3e3])
def test_the_norm_in_half_precision_is_exact_to_its_last_bit_or_so(scale):
    """Against float32 arithmetic: a bfloat16 has 8 bits, so rounding to nearest errs by 2^-8 at most."""
    _, lean = norms(torch.bfloat16)
    draw = torch.Generator().manual_seed(0)
    x = (scale * torch.randn(3, 7, 16, generator=draw)).to(torch.bfloat16)
    wide = x.float()
    exact = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5) * lean.weight.float()
    with torch.inference_mode():
        got = lean(x)
    assert got.dtype == torch.bfloat16
    assert got.shape == x.shape
    torch.testing.assert_close(got.float(), exact, rtol=2**-7.99, atol=0)
    trained = lean(x.clone().requires_grad_())
    torch.testing.assert_close(trained.float(), exact, rtol=2**-6, atol=0)


def test_a_part_of_a_tensor_is_normalised_like_a_copy_of_it():
    _, lean = norms(torch.bfloat16)
    x = torch.randn(4, 6, 32, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    with torch.inference_mode():
        torch.testing.assert_close(
            lean(x[:, ::2, :16]), lean(x[:, ::2, :16].contiguous()), rtol=2**-6, atol=0
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gate_is_that_of_transformers_and_its_input_stays_as_it_was(dtype):
    config = transformers.LlamaConfig(hidden_size=16, intermediate_size=24, num_attention_heads=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gate = LlamaMLP(config).to(dtype).requires_grad_(False)
        x = torch.randn(2, 5, 16).to(dtype)
    before, kept = gate(x), x.clone()
    make_lean(gate)
    with torch.inference_mode():
        torch.testing.assert_close(
            gate(x), before, rtol=2**-6, atol=1e-2 if dtype == torch.bfloat16 else 1e-6
        )
    assert torch.equal(x, kept)
    given = x.clone().requires_grad_()
    gate(given).sum().backward()
    assert given.grad is not None
    assert given.grad.abs().max() > 0


def test_norms_that_are_trained_stay_as_they_are():
    assert make_lean(LlamaRMSNorm(8)) == 0
