"""Tiny language models, prompts without data, and the game `cheapest of four`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from malles.llm.prompt import Field, ShelfPrompt
from malles.llm.wording import CANONICAL, Wording

HIDDEN, LAYERS = 32, 2
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<unk>", "<|im_start|>", "<|im_end|>"]
WORDS = """Shelf: cola - big 2.49 was 3.09 -19% display ad coupon crowd 12% Customer: bought 4 here, last 2
weeks ago habit 38% trips ago Choice: buy nothing another product USD Choose from: regular off in flyer"""


def write_tiny_model(
    folder: Path, *, hidden: int = HIDDEN, layers: int = LAYERS, seed: int = 1, context: int = 1024
) -> Path:
    """Random weights, two attention heads that share one key, a byte-level tokenizer with a few merges."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokens.train_from_iterator(WORDS.splitlines() * 5, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokens, unk_token="<unk>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = CHAT
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_reader_settings(folder: Path, **changes: Any) -> Any:
    """Both layers, the last one adapted, float32."""
    from malles.llm.reader import ReaderSettings

    usual: dict[str, Any] = {
        "model": str(folder),
        "layers": LAYERS,
        "tuned_layers": 1,
        "rank": 2,
        "width": 16,
        "longest": 1024,
        "dtype": "float32",
    }
    return ReaderSettings(**(usual | changes))


def speak(reader: Any, seed: int = 5, size: float = 1.0) -> Any:
    """Give the readouts of the pointer random weights, so that utilities are not zero."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in (reader.pointer.read.weight, reader.pointer.units.weight, reader.pointer.match):
            weight.copy_(size * torch.randn(weight.shape, generator=draw))
        for name, weight in reader.adapter().items():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=draw))
    return reader


def shelf_of(
    names: tuple[str, ...], prices: tuple[float, ...], *, customer: str = "new", habit: tuple[int, ...] = ()
) -> ShelfPrompt:
    """A prompt with the fields that occasions have."""
    remarks = [((Field.FRAME, "-"),) for _ in names]
    for j, percent in enumerate(habit):
        remarks[j] = (*remarks[j], (Field.HISTORY, f" habit {percent}%"))  # type: ignore[assignment]
    return ShelfPrompt(
        opening=((Field.FRAME, "Shelf: "), (Field.NAME, "cola")),
        shelf=tuple(
            ((Field.FRAME, "-"), (Field.NAME, f" {n}"), (Field.PRICE, f" {p:.2f}"))
            for n, p in zip(names, prices, strict=True)
        ),
        customer=((Field.FRAME, "Customer:"), (Field.CUSTOMER, f" {customer}")),
        remarks=tuple(remarks),
    )


def random_shelf(rng: np.random.Generator, count: int) -> ShelfPrompt:
    """A shelf of so many alternatives with names, prices and habits drawn at random."""
    names = tuple(
        "".join(chr(97 + c) for c in rng.integers(26, size=rng.integers(2, 7))) for _ in range(count)
    )
    prices = tuple(float(p) for p in rng.uniform(1, 9, count).round(2))
    habit = tuple(int(h) for h in rng.integers(1, 99, count))
    return shelf_of(names, prices, customer=f"bought {rng.integers(1, 20)} here", habit=habit)


def cheapest_of_four(seed: int, count: int = 64) -> Any:
    """A game without noise: the cheapest of four is always taken; prices are 1 to 9."""
    from malles.llm.training.examples import Examples

    rng = np.random.default_rng(seed)
    prices = np.stack([rng.choice(np.arange(1, 10), 4, replace=False) for _ in range(count)])

    def render(row: int, wording: Wording = CANONICAL) -> ShelfPrompt:
        del wording
        return shelf_of(("big", "small", "red", "blue"), tuple(float(p) for p in prices[row]))

    return Examples(
        render=render,
        chosen=prices.argmin(axis=1).astype(np.int32),
        skip=np.zeros((count, 4), np.float32),
        group=np.zeros(count, np.int32),
    )


def utilities(reader: Any, prompts: list[ShelfPrompt]) -> np.ndarray:
    """V [prompt, alternative] of one batch."""
    import torch

    from malles.llm.encoding import collate

    with torch.inference_mode():
        return reader.utilities(collate([reader.encoder.encode(p) for p in prompts]))[0].numpy()
