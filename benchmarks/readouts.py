"""How a choice is read, and what pretraining is worth: pointer, letters, from scratch, on equal budgets.

    python benchmarks/readouts.py [--occasions 40000 500] [--minutes 3] [--test 500]

Text only, Complete Journey, regime `full`, fitted on weeks 9 to 40, scored on the `lite` occasions of weeks
41 to 44. All three learn from the same choices, in the same processor-minutes:

    pointer        pretrained, causal adapter of rank 8, a query against the end of each line
    letters        pretrained, the same adapter, lines lettered, the letter read from the vocabulary
    from scratch   a small decoder with random weights, all of them trained, read by the same pointer

Few-shot: `--occasions` gives the number of known choices; the logit and the set model learn from the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from malles.data.loading import load_dataset
from malles.engines import find_engine
from malles.evaluation.comparison import compare_models
from malles.llm.backends.letters import LETTERS
from malles.llm.backends.local import LocalBackend
from malles.llm.choice_examples import build_examples, by_column
from malles.llm.choice_model import softmax
from malles.llm.encoding import Batch, Encoded
from malles.llm.prompt import Field, ShelfPrompt
from malles.llm.reader import Reader, ReaderSettings
from malles.llm.training.loop import TrainingSettings, train
from malles.llm.training.losses import LossWeights
from malles.llm.weights import find_weights
from malles.llm.wording import ChoicePrompts
from malles.occasions.benchmark import select_scored
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split, category_groups
from malles.profiles.features import FeatureStore
from malles.vocabulary import ChoiceData, Regime

TARGETS = ("q_proj", "v_proj", "o_proj", "down_proj")


class LetterReader(Reader):
    """Reads the letter that follows the question instead of pointing at a line."""

    def __init__(self, settings: ReaderSettings, seed: int) -> None:
        super().__init__(settings, seed)
        self.letter = [self.encoder.tokens(f" {name}")[0] for name in LETTERS]
        plain = self.encoder.encode

        def encode(prompt: ShelfPrompt) -> Encoded:
            shelf = tuple(((Field.FRAME, f"{LETTERS[j]}."), *line[1:]) for j, line in enumerate(prompt.shelf))
            remarks = tuple(
                ((Field.FRAME, f"{LETTERS[j]}."), *line[1:]) for j, line in enumerate(prompt.remarks)
            )
            return plain(replace(prompt, shelf=shelf, remarks=remarks))

        self.encoder.encode = encode  # type: ignore[method-assign]

    def utilities(self, batch: Batch, watch: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the letters at the question's end."""
        lines, question = self.hidden_states(batch, watch)
        present = torch.from_numpy(batch.present)
        table = self.trunk.get_input_embeddings().weight[self.letter[: present.shape[1]]].float()
        unused = self.pointer(lines, question, present)[0].sum() * 0.0  # keeps the pointer in the graph
        return (question @ table.T + unused).masked_fill(~present, 0.0), question


def write_small(folder: Path, seed: int) -> Path:
    """A decoder of 6 layers of 256 with random weights and the tokenizer of the embedded model."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(find_weights("smollm2"), local_files_only=True)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=768, num_hidden_layers=6,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=2048, tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    """Fit all on the same occasions, score them on the same."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--occasions", type=int, nargs="+", default=[40_000, 500])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--test", type=int, default=500)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=500)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold = build_split(catalogue)
    warm = (~cold.cold_customer, ~cold.cold_category)
    store = FeatureStore(catalogue)
    groups = category_groups(catalogue)
    occasions = build_occasions(catalogue, None, (9, 40), *warm).occasions
    later = build_occasions(catalogue, None, (41, 44), *warm).occasions
    scored = select_scored(later)
    valid = store.build(later.take(scored.rows[scored.lite][: asked.test]), Regime.FULL)
    out = {}
    for count in asked.occasions:
        rng = np.random.default_rng([asked.seed, count])
        rows = np.sort(rng.choice(len(occasions), count, replace=False))
        data = store.build(occasions.take(rows), Regime.FULL)
        out[f"{count} known choices"] = compare(data, valid, groups, asked)
    print(json.dumps(out, indent=1))


def compare(
    data: ChoiceData, valid: ChoiceData, groups: np.ndarray, asked: argparse.Namespace
) -> dict[str, object]:
    """Log-loss and hit rate of every reader, paired with the set model fitted on the same choices."""
    group = groups[data.occasions.category]
    answers: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    for name in ("conditional_logit", "head"):
        began = process_time()
        answers[name] = np.asarray(find_engine(name).fit(data, valid, group, seed=asked.seed).predict(valid))
        seconds[name] = process_time() - began
    examples = build_examples(data, group)
    settings = TrainingSettings(
        steps=100_000, batch=4, alternatives=0, minutes=asked.minutes, rate=1e-3, pointer_rate=2e-3,
        rewording=0.0, seed=asked.seed, loss=LossWeights(choice=1.0),
    )  # fmt: skip
    plain = ReaderSettings(layers=asked.layers, tuned_layers=6, targets=TARGETS)
    with TemporaryDirectory() as place:
        small = replace(
            plain, model=str(write_small(Path(place) / "small", asked.seed)), layers=0, tuned_layers=0
        )
        for name in ("pointer", "letters", "from scratch"):
            if name == "pointer":
                reader, used = Reader(plain, asked.seed), settings
            elif name == "letters":
                reader, used = LetterReader(replace(plain, attention="causal"), asked.seed), settings
            else:
                reader, used = (
                    Reader(replace(small, dtype="float32"), asked.seed),
                    replace(settings, rate=5e-4),
                )
                reader.trunk.requires_grad_(True)
            learnt = train(reader, examples, used)
            seconds[name] = learnt.seconds
            answers[name] = score(reader, valid)
            print(f"{name}: {len(learnt.loss)} steps", file=sys.stderr, flush=True)
    made = compare_models(
        answers, valid.occasions, "head", np.random.default_rng(asked.seed), draws=asked.draws
    ).to_dict()
    kept = ("log_loss", "hit_rate_score")
    return {
        "scores": [s for s in made["scores"] if s["metric"] in kept],
        "differences": [d for d in made["differences"] if d["metric"] == "log_loss"],
        "processor_seconds": {name: round(value) for name, value in seconds.items()},
    }


def score(reader: Reader, valid: ChoiceData) -> np.ndarray:
    """Probabilities by column; shelves are read whole, in their own order."""
    prompts = ChoicePrompts(valid)
    encoded = [reader.encoder.encode(prompts.prompt(i)) for i in range(len(valid))]
    available = valid.occasions.available
    table = np.zeros((len(valid), int(available.sum(axis=1).max())), np.float32)
    for i, v in enumerate(LocalBackend(reader).utilities(encoded, share=False)):
        table[i, : len(v)] = v
    return softmax(by_column(table, available), available)


if __name__ == "__main__":
    main()
