"""A post-trained reader on disk: the standard Hugging Face adapter, our pointer, and a model card.

    adapter_config.json, adapter_model.safetensors    as peft writes and reads them
    pointer.safetensors                               the readout
    soft.safetensors                                  how embedding vectors are read, if they are
    reader.json                                       how the model is read; checked before anything is loaded
    README.md                                         the model card: data, terms, losses, seeds, scores

Nothing is pickled; weights of another base model are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from malles.errors import ModelError
from malles.llm.reader import Reader, ReaderSettings
from malles.llm.soft import load_soft, save_soft

VERSION = 1
BASE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
"""Settings of a base model that an adapter is bound to."""


def save_reader(reader: Reader, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the adapter and the pointer of `reader` into an existing or new folder.

    Args:
        reader: a trained reader.
        folder: where to.
        facts: data, losses, seeds, scores: what the model card says; plain JSON values.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if reader.tuned():
        reader.model.save_pretrained(str(folder), safe_serialization=True)
        forget_paths(folder / "adapter_config.json", reader.settings.model)
    weights = {k: v.detach().cpu().contiguous() for k, v in reader.pointer.state_dict().items()}
    save_file(weights, folder / "pointer.safetensors")
    if reader.soft is not None:
        save_soft(reader.soft, folder)
    about = {
        "version": VERSION,
        "reader": asdict(reader.settings),
        "hidden": reader.hidden,
        "base": base_facts(reader.folder),
        "facts": dict(facts),
    }
    (folder / "reader.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(reader.settings, facts), encoding="utf-8")


def load_reader(folder: Path, *, merged: bool = True) -> Reader:
    """Read what `save_reader` wrote.

    Args:
        folder: of the adapter.
        merged: add the adapter to the weights once, which is faster; False keeps it apart, to train on.

    Raises:
        ModelError: the folder holds no adapter, one of another version or another base model, or is damaged.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    about = read_facts(folder)
    try:
        settings = ReaderSettings(**{**about["reader"], "targets": tuple(about["reader"]["targets"])})
        width = int(about["hidden"])
    except (KeyError, TypeError, ValueError) as problem:
        raise ModelError(
            f"{folder / 'reader.json'} is damaged ({problem}); fit the model again."
        ) from problem
    reader = Reader(settings)
    check_base(reader.folder, settings.model, about.get("base", {}), folder)
    try:
        if reader.hidden != width:
            raise ModelError(
                f"{folder} was trained on a model of width {width}, but {settings.model!r} has "
                f"{reader.hidden}; name the model that its model card names."
            )
        with torch.no_grad():
            reader.pointer.load_state_dict(load_file(folder / "pointer.safetensors"))
            if reader.tuned():
                from peft import set_peft_model_state_dict

                found = load_file(folder / "adapter_model.safetensors")
                outcome: Any = set_peft_model_state_dict(reader.model, found)
                if outcome.unexpected_keys:
                    raise ModelError(
                        f"{folder} changes layers that {settings.model!r} does not have, for example "
                        f"{outcome.unexpected_keys[0]}; name the model that its model card names."
                    )
                lacking = set(reader.adapter()) & set(outcome.missing_keys)
                if lacking:
                    raise ModelError(
                        f"The adapter in {folder} lacks {len(lacking)} of its weights, for example "
                        f"{min(lacking)}; fit it again or fetch it anew."
                    )
            if (folder / "soft.safetensors").exists():
                load_soft(reader, folder)
    except (OSError, SafetensorError, RuntimeError, ValueError) as problem:
        raise ModelError(
            f"The adapter in {folder} is damaged or incomplete ({' '.join(str(problem).split())[:160]}); "
            "fit it again or fetch it anew."
        ) from problem
    if merged and reader.tuned():
        reader.model = reader.model.merge_and_unload()
    reader.pointer.requires_grad_(not merged)
    if reader.soft is not None:
        reader.soft.requires_grad_(not merged)
    return reader


def base_facts(folder: Path) -> dict[str, Any]:
    """What tells one base model from another, of its `config.json`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return {name: config[name] for name in BASE if name in config}


def check_base(weights: Path, model: str, expected: Mapping[str, Any], folder: Path) -> None:
    """Refuse weights of another base model than the one an adapter was trained on.

    Args:
        weights: folder of the base model on this machine.
        model: its name, for the message.
        expected: what `base_facts` said when the adapter was saved.
        folder: of the adapter, for the message.

    Raises:
        ModelError: a setting differs; it says which.
    """
    found = base_facts(weights)
    for name, value in expected.items():
        if found.get(name) != value:
            raise ModelError(
                f"{folder} was trained on a model with {name} = {value}, but {model!r} has "
                f"{found.get(name)}; name the model that its model card names."
            )


def read_facts(folder: Path) -> dict[str, Any]:
    """What `reader.json` says.

    Raises:
        ModelError: there is none, or it is of another version.
    """
    path = folder / "reader.json"
    try:
        about: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise ModelError(
            f"There is no aligned model in {folder} (no reader.json). Fit one with: malles fit"
        ) from problem
    except (OSError, ValueError) as problem:
        raise ModelError(f"{path} cannot be read ({problem}); fit the model again.") from problem
    version = about.get("version") if isinstance(about, dict) else None
    if version != VERSION:
        raise ModelError(f"{path} is of version {version}, expected {VERSION}; fit the model again.")
    found: dict[str, Any] = about
    return found


def forget_paths(path: Path, model: str) -> None:
    """Let an `adapter_config.json` name its base model, not the folder where that lay on this machine."""
    values = json.loads(path.read_text(encoding="utf-8"))
    values["base_model_name_or_path"] = model if not Path(model).is_absolute() else Path(model).name
    path.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def model_card(settings: ReaderSettings, facts: Mapping[str, Any]) -> str:
    """The model card as Markdown."""
    adapted = ", ".join(settings.targets) if settings.tuned_layers else "none"
    lines = [
        "---",
        f"base_model: {settings.model}",
        "library_name: peft",
        "tags: [malles, discrete-choice]",
        "---",
        "# A language model that has learnt to choose",
        "",
        f"The first {settings.layers or 'all'} layers of `{settings.model}`, an adapter of rank "
        f"{settings.rank} on the last {settings.tuned_layers} of them ({adapted}), and a pointer readout of "
        f"width {settings.width}; attention: {settings.attention}.",
        "",
        "| | |",
        "|---|---|",
    ]
    for name, value in facts.items():
        said = json.dumps(value) if isinstance(value, dict | list | tuple) else str(value)
        lines.append(f"| {name.replace('_', ' ')} | {' '.join(said.replace('|', '/').split())} |")
    lines += [
        "",
        "Load with `malles.llm.adapter.load_reader(folder)`; the adapter alone loads with peft. It answers "
        "how these customers chose in the past; it does not know causes.",
        "",
    ]
    return "\n".join(lines)
