"""The losses of post-training, each a number per batch; weights stand in `LossWeights`, 0 switches one off.

choice        −log P(chosen)                            the choice likelihood, contrastive over the set
close         −log σ(V_chosen − V_rival)                rival: the likeliest other alternative
teacher       KL(teacher ‖ P)                           soft targets of a classical model, same prices
response      KL(teacher' ‖ P') under changed prices    so the model answers a price as the teacher does
change        Σ p (Δlog P − Δlog p)²                    p: the teacher; Δ from today to a changed price
quantity      r − (units − 1) log r                     Poisson units beyond the first
consistency   JS(P, P of a rewording)                   never between different prices
attention     KL(A ‖ A*)                                decision rows' attention over fields, and a prior
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from malles.llm.prompt import Field


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts; 0 switches it off."""

    choice: float = 1.0
    close: float = 0.0
    teacher: float = 0.0
    response: float = 0.0
    change: float = 0.0
    quantity: float = 0.0
    consistency: float = 0.0
    attention: float = 0.0


PRIOR = {
    Field.FRAME: 0.05,
    Field.NAME: 0.10,
    Field.PRICE: 0.25,
    Field.LIST_PRICE: 0.05,
    Field.DISCOUNT: 0.15,
    Field.PROMOTION: 0.10,
    Field.CROWD: 0.05,
    Field.HISTORY: 0.20,
    Field.CUSTOMER: 0.05,
}
"""Where a buyer's attention is expected: price, discount and own history before names and frame words."""


def log_probability(utility: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Logarithm of P [prompt, alternative]; very negative without an alternative."""
    return torch.log_softmax(utility.masked_fill(~present, -1e9), dim=1)


def choice_loss(log_p: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Mean of −log P(chosen) over prompts whose choice is known."""
    known = chosen >= 0
    picked = log_p.gather(1, chosen.clamp(min=0)[:, None])[:, 0]
    return -(picked * known).sum() / known.sum().clamp(min=1)


def close_loss(utility: torch.Tensor, present: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Pairwise contrast of the chosen alternative with its likeliest rival."""
    known = chosen >= 0
    mine = utility.gather(1, chosen.clamp(min=0)[:, None])[:, 0]
    others = present.clone()
    others.scatter_(1, chosen.clamp(min=0)[:, None], False)
    rival = utility.masked_fill(~others, -1e9).max(dim=1).values
    some = known & others.any(dim=1)
    loss = torch.nn.functional.softplus(rival - mine)
    return (loss * some).sum() / some.sum().clamp(min=1)


def teacher_loss(log_p: torch.Tensor, teacher: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Mean KL(teacher ‖ P), the teacher renormalised over the alternatives that are present."""
    target = torch.log_softmax(teacher.masked_fill(~present, -1e9), dim=1)
    each = (target.exp() * (target - log_p)).masked_fill(~present, 0.0)
    return each.sum(dim=1).mean()


def change_loss(
    log_p: torch.Tensor,
    log_p_before: torch.Tensor,
    teacher: torch.Tensor,
    teacher_before: torch.Tensor,
    present: torch.Tensor,
) -> torch.Tensor:
    """Mean squared gap between the model's and the teacher's change of log-probabilities.

    Where one price has changed, this is the squared error of own and cross elasticities, times the squared
    size of the change, weighted by the teacher's probabilities.
    """
    after = torch.log_softmax(teacher.masked_fill(~present, -1e9), dim=1)
    before = torch.log_softmax(teacher_before.masked_fill(~present, -1e9), dim=1)
    gap = ((log_p - log_p_before) - (after - before)).masked_fill(~present, 0.0)
    return (before.exp() * gap.square()).sum(dim=1).mean()


def consistency_loss(first: torch.Tensor, second: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Mean Jensen–Shannon divergence between two readings of the same occasions; 0 to log 2."""
    middle = torch.logaddexp(first, second) - math.log(2)
    parts = [(p.exp() * (p - middle)).masked_fill(~present, 0.0).sum(dim=1) for p in (first, second)]
    return 0.5 * (parts[0] + parts[1]).mean()


def quantity_loss(log_rate: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    """Poisson loss of the units beyond the first, over prompts whose units are known."""
    known = units >= 1
    beyond = (units - 1).clamp(min=0).float()
    each = log_rate.exp() - beyond * log_rate
    return (each * known).sum() / known.sum().clamp(min=1)


def attention_loss(
    mass: list[torch.Tensor], present: torch.Tensor, offered: torch.Tensor, prior: torch.Tensor
) -> torch.Tensor:
    """Mean KL(A ‖ A*) of the decision rows over the fields that their prompt has.

    Args:
        mass: by watched layer [prompt, row, field]; rows are the ends of the lines.
        present: bool [prompt, row].
        offered: bool [prompt, field]: fields that occur in the prompt.
        prior: [field], positive.
    """
    target = (prior * offered).clamp(min=1e-6)
    target = (target / target.sum(dim=1, keepdim=True)).log()[:, None]
    total = torch.zeros((), device=prior.device)
    for seen in mass:
        floored = seen.clamp(min=1e-6)
        a = floored / floored.sum(dim=2, keepdim=True)
        divergence = (a * (a.log() - target)).sum(dim=2)
        total = total + (divergence * present).sum() / present.sum()
    return total / max(len(mass), 1)


def prior_vector() -> torch.Tensor:
    """`PRIOR` as a vector over all fields."""
    return torch.tensor([PRIOR.get(f, 1e-3) for f in Field], dtype=torch.float32)
