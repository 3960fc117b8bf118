"""The pointer: silent at first, blind to order, for any number of alternatives."""

from __future__ import annotations

import numpy as np
import pytest

from malles.errors import UsageError

torch = pytest.importorskip("torch")

from malles.llm.pointer import Pointer  # noqa: E402


def drawn(n: int = 3, count: int = 5, hidden: int = 12, seed: int = 0):
    draw = torch.Generator().manual_seed(seed)
    lines, question = torch.randn(n, count, hidden, generator=draw), torch.randn(n, hidden, generator=draw)
    return lines, question, torch.ones(n, count, dtype=torch.bool)


def taught(hidden: int = 12, width: int = 8) -> Pointer:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        pointer = Pointer(hidden, width)
        for weight in pointer.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    return pointer.requires_grad_(False)


def test_utilities_start_at_exactly_zero_so_training_starts_from_the_skip():
    utility, _ = Pointer(12, 8)(*drawn())
    assert utility.abs().max() == 0


def test_the_first_expected_units_are_those_of_the_bias():
    """Weights are zero and the bias is -1: the rate beyond the first unit is exp(-1) for everyone."""
    pointer = Pointer(12, 8)
    _, state = pointer(*drawn())
    rate = pointer.log_rate(state, torch.zeros(3, 5)).exp()
    np.testing.assert_allclose(rate.detach().numpy(), np.exp(-1), rtol=1e-6)


def test_reordering_the_lines_reorders_the_utilities():
    pointer, (lines, question, present) = taught(), drawn()
    order = torch.tensor([3, 0, 4, 1, 2])
    first, _ = pointer(lines, question, present)
    second, _ = pointer(lines[:, order], question, present)
    assert first.std() > 0.1
    torch.testing.assert_close(second, first[:, order], atol=1e-5, rtol=0)


def test_any_number_of_alternatives_can_be_read_and_absent_ones_do_not_matter():
    pointer, (lines, question, present) = taught(), drawn(count=7)
    for count in (1, 2, 7):
        alone, _ = pointer(lines[:, :count], question, present[:, :count])
        seen = present.clone()
        seen[:, count:] = False
        among, _ = pointer(lines, question, seen)
        torch.testing.assert_close(among[:, :count], alone, atol=1e-5, rtol=0)


def test_every_alternative_sees_the_others():
    """The utility of the first moves when only the last line changes: this is not a logit of single lines."""
    pointer, (lines, question, present) = taught(), drawn()
    other = lines.clone()
    other[:, -1] += 1 + torch.arange(12.0)
    moved = (pointer(other, question, present)[0] - pointer(lines, question, present)[0])[:, 0]
    assert moved.abs().min() > 1e-3


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(UsageError, match=r"llm\.width = 10 cannot be cut into 4 heads; take a multiple of 4"):
        Pointer(12, 10)


def test_names_of_the_weights_are_those_of_saved_models():
    """Adapters on disk name them so; a change would make them unreadable."""
    names = {n.partition(".")[0] for n in Pointer(12, 8).state_dict()}
    assert names == {
        *(
            "norm",
            "line",
            "ask",
            "block_norm",
            "query",
            "key",
            "value",
            "out",
            "mlp",
            "read",
            "units",
            "match",
        )
    }
