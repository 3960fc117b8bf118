"""A model that was taught to reply, on disk: the adapter as peft writes it, and what it was taught.

    adapter_config.json, adapter_model.safetensors
    writer.json                                       base model, settings, facts; checked before loading
    README.md                                         the model card

Nothing is pickled; weights of another base model are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from malles.errors import ModelError

if TYPE_CHECKING:
    from malles.llm.training.replies import ReplySettings, Taught

VERSION = 1
FILE = "writer.json"


def save_taught(taught: Taught, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the adapter and what it rests on.

    Args:
        taught: from `teach_replies`.
        folder: new or existing.
        facts: plain JSON values for whoever reads `writer.json`.
    """
    from malles.llm.adapter import base_facts, forget_paths
    from malles.llm.weights import find_weights

    folder.mkdir(parents=True, exist_ok=True)
    taught.model.save_pretrained(str(folder), safe_serialization=True)
    forget_paths(folder / "adapter_config.json", taught.settings.model)
    about = {
        "version": VERSION, "settings": asdict(taught.settings),
        "base": base_facts(find_weights(taught.settings.model)),
        "examples_read": taught.examples, "last_loss": taught.loss[-1] if taught.loss else None,
        "facts": dict(facts),
    }  # fmt: skip
    (folder / FILE).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    write_card(folder, taught.settings, {**facts, "examples_read": taught.examples})


def write_card(
    folder: Path, settings: ReplySettings, facts: Mapping[str, Any], measured: Sequence[str] = ()
) -> None:
    """Write the model card over the blank one that peft leaves.

    Args:
        folder: of the adapter.
        settings: how it was taught.
        facts: what it was taught on, by name.
        measured: Markdown lines on how well it agrees with its teacher, and what it costs.
    """
    base = Path(settings.model).name if Path(settings.model).is_absolute() else settings.model
    facts = {**facts, "epochs": settings.epochs, "learning_rate": settings.rate, "seed": settings.seed}
    lines = [
        "---",
        f"base_model: {base}",
        "library_name: peft",
        "tags: [malles, negotiation, distillation]",
        "---",
        "# A discussion in one call",
        "",
        f"An adapter of rank {settings.rank} on the last {settings.tuned_layers} layers of `{base}`. It was "
        "taught to say at once what recorded discussions of roles decided: an option, and units.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {value} |" for name, value in facts.items()),
        "",
        *(measured or ["How often it agrees with discussions that it was not taught was not measured."]),
        "",
        "It is as good as its teacher and no better: it was taught what the roles decided, not what was "
        "right. Whether it helps to discuss is another question: with the embedded model it added nothing on "
        "real reorders (docs/results.md of malles). Its claims, `agreed` and `not agreed`, say whether the "
        "roles would have come to the same proposal; they are no reasons.",
        "",
        "Use: `malles negotiate ORDER.toml --model FOLDER` with this folder; packs, minimum, budget and the "
        "other limits of the order hold whatever it says. In Python: "
        "`malles.llm.taught.load_taught(folder)`. The adapter alone loads with peft.",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")


def is_taught(folder: Path) -> bool:
    """Whether a folder holds a model that was taught to reply."""
    return (folder / FILE).is_file()


def read_taught_facts(folder: Path) -> dict[str, Any]:
    """What `writer.json` says.

    Raises:
        ModelError: there is none, it is damaged, or of another version.
    """
    path = folder / FILE
    try:
        about: Any = json.loads(path.read_text(encoding="utf-8"))
        version, model = about["version"], about["settings"]["model"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ModelError(
            f"{path} cannot be read ({problem}); teach the model again: malles distil"
        ) from problem
    if version != VERSION or not isinstance(model, str):
        raise ModelError(
            f"{path} is of version {version}, expected {VERSION}; teach the model again: malles distil"
        )
    found: dict[str, Any] = about
    return found


def load_taught(folder: Path) -> tuple[Any, Any]:
    """(Model, tokenizer) with the adapter added to the weights.

    Raises:
        ModelError: the folder holds none, one of another base model, or a damaged one.
    """
    from peft import set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from malles.llm.adapter import check_base
    from malles.llm.loading import load_model
    from malles.llm.reader import choose_dtype
    from malles.llm.training.replies import ReplySettings, adapt_writer
    from malles.llm.weights import find_weights

    about = read_taught_facts(folder)
    try:
        settings = ReplySettings(**about["settings"])
    except TypeError as problem:
        raise ModelError(f"{folder / FILE} is damaged ({problem}); teach the model again.") from problem
    weights = find_weights(settings.model)
    check_base(weights, settings.model, about.get("base", {}), folder)
    model, tokenizer = load_model(weights, dtype=choose_dtype(settings.dtype))
    adapted = adapt_writer(model, settings)
    wanted = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    try:
        found = load_file(folder / "adapter_model.safetensors")
        outcome: Any = set_peft_model_state_dict(adapted, found)
    except (OSError, SafetensorError, RuntimeError, ValueError) as problem:
        said = " ".join(str(problem).split())[:160]
        raise ModelError(f"The adapter in {folder} is damaged ({said}); teach the model again.") from problem
    lacking = wanted & set(outcome.missing_keys)
    if outcome.unexpected_keys or lacking:
        first = [*outcome.unexpected_keys, *sorted(lacking)][0]
        raise ModelError(
            f"The adapter in {folder} does not fit its settings ({first}); teach the model again."
        )
    return adapted.merge_and_unload().eval(), tokenizer
