"""One shelf, many customers: opening and shelf are read once, each customer pays for its own words only.

The prompt puts the shelf before the customer, so everyone who stands before the same shelf shares a prefix.
Its keys and values are kept; a customer's suffix (profile, remarks, question) attends to them. The answers
are those of reading every prompt from the start, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from malles.llm.encoding import Batch, Encoded, allowed, collate
from malles.llm.packed import Earlier
from malles.llm.packing import pack

if TYPE_CHECKING:
    from malles.llm.reader import Reader

LEAST = 3
"""Prompts with a common shelf from which the shared reading is used."""


def group_by_shelf(encoded: Sequence[Encoded]) -> list[list[int]]:
    """Rows whose opening and shelf are the same tokens, in order of first appearance."""
    groups: dict[bytes, list[int]] = {}
    for i, e in enumerate(encoded):
        groups.setdefault(e.token[: e.shared].tobytes(), []).append(i)
    return list(groups.values())


class SharedShelf:
    """The keys and values of one shelf."""

    def __init__(self, reader: Reader, first: Encoded) -> None:
        from transformers import DynamicCache

        self.reader = reader
        self.length = first.shared
        self.owner = first.owner[: first.shared]
        self.earlier: Earlier | None = None
        with torch.inference_mode():
            if reader.packs():
                shelf = pack(collate([_prefix(first)]), reader.settings.attention)
                self.earlier = reader.read_packed(shelf, keep=True)[1]
                return
        mask = torch.from_numpy(allowed(self.owner[None], reader.settings.attention))[:, None]
        cache = DynamicCache()
        with torch.inference_mode():
            reader.trunk(
                **reader.words(_long(first.token[None, : self.length], reader)),
                position_ids=_long(first.position[None, : self.length], reader),
                attention_mask=mask.to(reader.device),
                **{cache_name(reader.trunk): cache},
                use_cache=True,
            )
        layers: list[Any] = cache.layers
        self.states = [(layer.keys, layer.values) for layer in layers]

    def utilities(self, customers: Sequence[Encoded]) -> torch.Tensor:
        """V [customer, alternative] of customers before this shelf."""
        from transformers import DynamicCache

        reader, n = self.reader, len(customers)
        batch = collate([_suffix(e, self.length) for e in customers])
        if self.earlier is not None:
            return self._from_pack(batch)
        owner = np.concatenate([np.broadcast_to(self.owner, (n, self.length)), batch.owner], axis=1)
        mask = torch.from_numpy(allowed(owner, reader.settings.attention)[:, self.length :])[:, None]
        cache: Any = DynamicCache()
        for layer, (key, value) in enumerate(self.states):
            cache.update(key.expand(n, -1, -1, -1), value.expand(n, -1, -1, -1), layer)
        with torch.inference_mode():
            state = reader.trunk(
                **reader.words(_long(batch.token, reader)),
                position_ids=_long(batch.position, reader),
                attention_mask=mask.to(reader.device),
                **{cache_name(reader.trunk): cache},
                use_cache=True,
            ).last_hidden_state.float()
            rows = torch.arange(n, device=reader.device)
            lines, question = (
                state[rows[:, None], _long(batch.end, reader)],
                state[rows, _long(batch.last, reader)],
            )
            present = torch.from_numpy(batch.present).to(reader.device)
            utility: torch.Tensor = reader.pointer(lines, question, present)[0]
        return utility

    def _from_pack(self, batch: Batch) -> torch.Tensor:
        reader = self.reader
        with torch.inference_mode():
            suffixes = pack(batch, reader.settings.attention, self.owner)
            state, _ = reader.read_packed(suffixes, self.earlier)
            state = state.float()
            utility: torch.Tensor = reader.pointer(
                state[:, :-1], state[:, -1], torch.from_numpy(batch.present)
            )[0]
        return utility


def cache_name(model: Any) -> str:
    """What this version of transformers calls the argument for keys and values.

    Args:
        model: a decoder, with or without its vocabulary head.
    """
    return "cache" if "cache" in signature(model.forward).parameters else "past_key_values"


def _prefix(e: Encoded) -> Encoded:
    """Opening and shelf alone; no states are read of them but the last."""
    cut = slice(e.shared)
    return replace(
        e,
        token=e.token[cut],
        position=e.position[cut],
        owner=e.owner[cut],
        field=e.field[cut],
        end=e.end[:0],
    )


def _suffix(e: Encoded, shared: int) -> Encoded:
    """What comes after the shelf; the ends of the remarks move with it."""
    return replace(
        e,
        token=e.token[shared:],
        position=e.position[shared:],
        owner=e.owner[shared:],
        field=e.field[shared:],
        end=e.end - shared,
        shared=0,
    )


def _long(values: np.ndarray, reader: Reader) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(reader.device).long()
