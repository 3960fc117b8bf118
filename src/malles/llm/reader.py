"""A language model that reads shelves: trunk, adapter, pointer; utilities of a batch of prompts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from malles.errors import UsageError
from malles.llm import attention, packed
from malles.llm.attention import Watch
from malles.llm.encoding import Attention, Batch, Encoder, allowed
from malles.llm.lean import make_lean
from malles.llm.packing import Pack, pack
from malles.llm.pointer import Pointer
from malles.llm.soft import SoftTokens
from malles.vocabulary import Embedding

PLACE = ":"
"""The token that a vector is added to."""

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class ReaderSettings:
    """Which model is read, how deep, and where it is adapted."""

    model: str = "smollm2"
    """A name known to `malles models list`, or a folder in the Hugging Face layout."""
    layers: int = 12
    """Layers that are read; 0 takes all."""
    tuned_layers: int = 12
    """Of those, the last ones that the adapter changes; 0 leaves the language model as it is."""
    rank: int = 8
    """Rank of the adapter."""
    targets: tuple[str, ...] = ALL_LINEAR
    """Which matrices of a layer it changes."""
    width: int = 64
    """Width of the pointer."""
    attention: Attention = "set"
    longest: int = 2048
    """Tokens of a prompt at most; longer ones are shortened by rule."""
    dtype: str = "auto"
    """'bfloat16', 'float32', or 'auto': bfloat16 where the machine multiplies it faster."""


class Reader:
    """A language model with an adapter and a pointer; `utilities` is differentiable."""

    def __init__(self, settings: ReaderSettings, seed: int = 0, device: str = "cpu") -> None:
        from malles.llm.loading import load_model
        from malles.llm.weights import find_weights

        self.settings = settings
        self.device = torch.device(device)
        folder = find_weights(settings.model)
        dtype = choose_dtype(settings.dtype, device)
        model, tokenizer = load_model(folder, layers=settings.layers or None, dtype=dtype)
        model.set_attn_implementation(attention.register())
        model.requires_grad_(False)
        if device == "cpu":
            make_lean(model)
        self.depth = int(model.config.num_hidden_layers)
        self.hidden = int(model.config.hidden_size)
        longest = min(settings.longest, int(getattr(model.config, "max_position_embeddings", 2048)))
        self.encoder = Encoder(tokenizer, settings.attention, longest)
        self.folder = folder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.pointer = Pointer(self.hidden, settings.width).to(self.device)
            self.model: Any = self._adapt(model).to(self.device)
        self.soft: SoftTokens | None = None
        self.model.eval()

    def add_soft(self, embeddings: Sequence[Embedding], seed: int = 0) -> SoftTokens:
        """Read the vectors of products as tokens from now on; what they say starts at nothing."""
        table = self.trunk.get_input_embeddings().weight
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.soft = SoftTokens(embeddings, self.hidden, float(table.float().std())).to(self.device)
        self.encoder.soft_first = len(table)
        return self.soft

    def words(self, token: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the trunk reads: tokens, or their vectors where embeddings stand among them."""
        if self.soft is None or not bool((token >= self.encoder.soft_first).any()):
            return {"input_ids": token}
        soft = token >= self.encoder.soft_first
        place = self.encoder.tokens(PLACE)[0]
        embedded = self.trunk.get_input_embeddings()(token.masked_fill(soft, place))
        said = self.soft(token[soft] - self.encoder.soft_first).to(embedded.dtype)
        return {"inputs_embeds": embedded.index_put((soft,), embedded[soft] + said)}

    def _adapt(self, model: Any) -> Any:
        tuned = self.tuned()
        if not tuned:
            return model
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=self.settings.rank,
            lora_alpha=2 * self.settings.rank,
            lora_dropout=0.0,
            target_modules=list(self.settings.targets),
            layers_to_transform=tuned,
            layers_pattern="layers",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an older name
            return get_peft_model(model, config, autocast_adapter_dtype=False)

    def tuned(self) -> list[int]:
        """Layers that the adapter changes."""
        return list(range(max(self.depth - self.settings.tuned_layers, 0), self.depth))

    @property
    def trunk(self) -> Any:
        """The decoder without its vocabulary head."""
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return model.model

    def adapter(self) -> dict[str, torch.nn.Parameter]:
        """Trainable weights inside the language model, by name."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def hidden_states(self, batch: Batch, watch: Watch | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """States at the ends of the lines [prompt, alternative, hidden] and of the question, as float32."""
        if watch is None and self.packs():
            state, _ = self.read_packed(pack(batch, self.settings.attention))
            return state[:, :-1].float(), state[:, -1].float()
        token, position = self._tensor(batch.token), self._tensor(batch.position)
        mask = torch.from_numpy(allowed(batch.owner, self.settings.attention)).to(self.device)[:, None]
        with attention.watching(watch):
            state = self.trunk(
                **self.words(token), position_ids=position, attention_mask=mask, use_cache=False
            ).last_hidden_state
        rows = torch.arange(len(token), device=self.device)
        lines = state[rows[:, None], self._tensor(batch.end)]
        question = state[rows, self._tensor(batch.last)]
        return lines.float(), question.float()

    def packs(self) -> bool:
        """Whether prompts are read by `packed`: no gradient is asked for, and the model is one it knows."""
        return not torch.is_grad_enabled() and packed.readable(self.trunk)

    def read_packed(
        self, prompts: Pack, earlier: packed.Earlier | None = None, *, keep: bool = False
    ) -> tuple[torch.Tensor, packed.Earlier]:
        """States of the rows that are read [prompt, row, hidden]; keys and values if they are kept."""
        words = self.words(self._tensor(prompts.token))
        x = (
            words["inputs_embeds"]
            if "inputs_embeds" in words
            else self.trunk.embed_tokens(words["input_ids"])
        )
        return packed.read(self.trunk, x, prompts, earlier, keep=keep)

    def utilities(self, batch: Batch, watch: Watch | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """V [prompt, alternative] and the states that units are read from."""
        lines, question = self.hidden_states(batch, watch)
        present = torch.from_numpy(batch.present).to(self.device)
        utility, state = self.pointer(lines, question, present)
        return utility.masked_fill(~present, 0.0), state

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device).long()


def choose_dtype(asked: str, device: str = "cpu") -> torch.dtype:
    """The number format: as asked, or the one in which this machine multiplies matrices faster."""
    if asked != "auto":
        known = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
        if asked not in known:
            raise UsageError(f"dtype = {asked!r}: expected 'auto', 'bfloat16', 'float16' or 'float32'.")
        return known[asked]
    if device != "cpu":
        return torch.bfloat16
    return torch.bfloat16 if _seconds(torch.bfloat16) < _seconds(torch.float32) else torch.float32


def _seconds(dtype: torch.dtype, n: int = 384) -> float:
    from time import perf_counter

    a = torch.ones(n, n, dtype=dtype)
    best = 1.0
    for _ in range(4):
        begin = perf_counter()
        a @ a
        best = min(best, perf_counter() - begin)
    return best


def pad(rows: Sequence[np.ndarray], width: int, fill: float = 0.0) -> np.ndarray:
    """Rows of unequal length as one table."""
    out = np.full((len(rows), width), fill, np.float32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out
