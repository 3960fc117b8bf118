"""A language model from a local folder into memory: checked first, never running its code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from malles.errors import ModelError, UsageError
from malles.llm.folders import count_weights, verify_weights
from malles.llm.libraries import check_installed, quiet_transformers

ROOM = 1.2
"""Memory needed per byte of weights: loading smollm2 in float32 took 1.003, the rest is for a batch."""
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
"""The number of the decoder layer in the name of a tensor."""


def load_model(folder: Path, *, layers: int | None = None, dtype: Any = "float32") -> tuple[Any, Any]:
    """The causal language model and the tokenizer of a local folder, in evaluation mode; no network is used.

    Args:
        folder: what `find_weights` gave.
        layers: keep only the first so many decoder layers; all if None.
        dtype: of the weights in memory: a torch dtype or its name, such as 'bfloat16'.

    Returns:
        `(model, tokenizer)`. Whether it can be talked to says `check_chat(tokenizer)`.

    Raises:
        MissingExtra: transformers or torch is not installed.
        ModelError: a file is damaged, needs code of its own, or the memory does not suffice.
        UsageError: there are not so many layers, or no such dtype.

    Example::

        model, tokenizer = load_model(find_weights("smollm2"), layers=12)
    """
    check_installed("a local language model", "torch", "transformers")
    verify_weights(folder)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise UsageError(f"dtype = {dtype!r} is no type of weights. Use 'float32' or 'bfloat16'.")
    with quiet_transformers(), _explained(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        _truncate(config, layers, folder)
        check_memory(folder, layers=layers, item_bytes=kind.itemsize)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        check_lines(tokenizer, folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=kind,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    return model.eval(), tokenizer


def check_chat(tokenizer: Any, name: str) -> None:
    """Refuse to talk to a model whose tokenizer has no chat template; scoring does not need one.

    Raises:
        ModelError: there is no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(
            f"{name} has no chat template, so it cannot hold a conversation; it can score alternatives. "
            "Take an instruction-tuned model, for example smollm2."
        )


def check_lines(tokenizer: Any, folder: Path) -> None:
    """Refuse a tokenizer that does not say where its tokens lie, or that joins a line to the next one.

    A choice is read at the last token of each alternative's line. A token may hold several newlines, but none
    that holds a newline may hold anything behind it.

    Raises:
        ModelError: such a tokenizer.
    """
    text = "a\n\nb\nc"
    trouble = "does not report where its tokens lie in the text (it has no fast version)"
    if getattr(tokenizer, "is_fast", False):
        offsets = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
        pieces = [text[a:b] for a, b in offsets]
        mixed = [p for p in pieces if "\n" in p and p.rpartition("\n")[2]]
        if not mixed and all(any(letter in p for p in pieces) for letter in "abc"):
            return
        trouble = f"joins the end of a line and the next line in one token ({[*mixed, *pieces][0]!r})"
    raise ModelError(
        f"The tokenizer of {folder} {trouble}, so alternatives on lines of their own cannot be told apart. "
        "Take another model, for example smollm2."
    )


def needed_bytes(folder: Path, *, layers: int | None, item_bytes: int) -> int:
    """Bytes of memory that the weights take, from the headers of the safetensors files alone.

    sum over tensors of (numbers × item_bytes), without the layers from `layers` on, times `ROOM`
    """
    numbers = 0
    for name, count in count_weights(folder).items():
        layer = LAYER.search(name)
        if layers is None or layer is None or int(layer.group(1)) < layers:
            numbers += count
    return int(numbers * item_bytes * ROOM)


def check_memory(folder: Path, *, layers: int | None, item_bytes: int) -> None:
    """Refuse before loading if the weights do not fit into the memory that is free now.

    Raises:
        ModelError: with what is needed, what is free, and what to set.
    """
    needed, free = needed_bytes(folder, layers=layers, item_bytes=item_bytes), available_bytes()
    if free is not None and needed > free:
        smaller = "" if item_bytes <= 2 else " or dtype = 'bfloat16'"
        raise ModelError(
            f"Loading {folder} needs about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free. "
            f"Set fewer `layers`{smaller}, or free some memory."
        )


def available_bytes(source: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes of memory a new program can use; None where the system does not say it in this way."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", source.read_text(), re.M)
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """One sentence instead of a library's."""
    try:
        yield
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as problem:
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise ModelError(f"{folder} cannot be loaded as a language model: {first}") from problem


def _truncate(config: Any, layers: int | None, folder: Path) -> None:
    """Let the configuration describe only the first `layers` decoder layers."""
    if layers is None:
        return
    text = config.get_text_config()
    if not 1 <= layers <= text.num_hidden_layers:
        raise UsageError(
            f"layers = {layers}, but {folder} has 1 to {text.num_hidden_layers}. Set another number."
        )
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):  # one kind of attention per layer
        text.layer_types = list(text.layer_types)[:layers]
