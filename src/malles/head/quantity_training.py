"""Fits one member of the quantity head with PyTorch; predictions need numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from malles.errors import MissingExtra
from malles.head.quantity import BIN_START, QuantitySettings
from malles.profiles.quantity import CAP

LOG_CAP = float(np.log(CAP))


def fit_member(
    settings: QuantitySettings,
    z: Float32[ndarray, "row input"],
    units: Int64[ndarray, " row"],
    bins: Int64[ndarray, " row"],
    seed: int,
    worlds: Sequence[tuple[Float32[ndarray, "row input"], int]],
    bin_mean: Float32[ndarray, " bin"],
) -> dict[str, ndarray]:
    """Minimise Poisson loss of the mean head plus log-loss of the bins, by AdamW with a cosine rate.

    loss = mean of (m1 - u log m1) - mean of log p[bin of u]
           + price_sign x mean of max(0, sign (log mean - log mean'))    one other world a batch, in turn

    mean' is the forecast in the other world; one row's penalty counts up to 1.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("fitting the quantity head", "PyTorch", "torch") from error
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    inputs, hidden, outputs = z.shape[1], settings.hidden, 1 + len(BIN_START)

    def uniform(rows: int, columns: int) -> torch.Tensor:
        start: torch.Tensor = (torch.rand(rows, columns, generator=generator) * 2 - 1) * rows**-0.5
        return start.requires_grad_()

    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros(*shape, requires_grad=True)

    w = {"first": uniform(inputs, hidden), "first_bias": zeros(hidden)}
    w |= {"second": uniform(hidden, hidden // 2), "second_bias": zeros(hidden // 2)}
    w |= {"last": uniform(hidden // 2, outputs), "last_bias": zeros(outputs), "skip": zeros(inputs, outputs)}
    optimiser = torch.optim.AdamW(list(w.values()), lr=settings.rate, weight_decay=settings.weight_decay)
    Z, u, k = torch.from_numpy(z), torch.from_numpy(units.astype(np.float32)), torch.from_numpy(bins)
    batch = min(settings.batch, len(z))
    batches = len(z) // batch
    total, at = settings.epochs * batches, 0
    keep = 1 - settings.dropout
    others = [(torch.from_numpy(then), sign) for then, sign in worlds] if settings.price_sign else []
    average = torch.from_numpy(bin_mean)

    def log_forecast(x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(torch.relu(x @ w["first"] + w["first_bias"]) @ w["second"] + w["second_bias"])
        out = h @ w["last"] + x @ w["skip"] + w["last_bias"]
        return (out[:, 0].clamp(0, LOG_CAP).exp() + out[:, 1:].softmax(1) @ average).log()

    for _ in range(settings.epochs):
        order = torch.from_numpy(rng.permutation(len(z)))
        for b in range(batches):
            rows = order[b * batch : (b + 1) * batch]
            x = Z[rows]
            h = torch.relu(x @ w["first"] + w["first_bias"])
            h = h * (torch.rand(h.shape, generator=generator) < keep) / keep
            h = torch.relu(h @ w["second"] + w["second_bias"])
            h = h * (torch.rand(h.shape, generator=generator) < keep) / keep
            out = h @ w["last"] + x @ w["skip"] + w["last_bias"]
            log_mean = out[:, 0].clamp(-4, 4)
            loss = (log_mean.exp() - u[rows] * log_mean).mean()
            loss = loss + torch.nn.functional.cross_entropy(out[:, 1:], k[rows])
            if others:
                there, sign = others[at % len(others)]
                wrong = sign * (log_forecast(x) - log_forecast(there[rows]))
                loss = loss + settings.price_sign * wrong.clamp(0, 1).mean()
            for part in optimiser.param_groups:
                part["lr"] = settings.rate * 0.5 * (1 + np.cos(np.pi * at / total))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            at += 1
    return {name: value.detach().numpy().copy() for name, value in w.items()}
