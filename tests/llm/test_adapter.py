"""A reader on disk: the standard layout, refused where it does not fit, nothing pickled."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from llm.small_models import LAYERS, random_shelf, speak, tiny_reader_settings, utilities, write_tiny_model
from malles.errors import ModelError, UsageError

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

from malles.llm.adapter import load_reader, read_facts, save_reader  # noqa: E402
from malles.llm.loading import load_model  # noqa: E402
from malles.llm.reader import Reader, choose_dtype  # noqa: E402

FACTS = {"data": "test | market\nof 2 lines", "seed": 7, "losses": {"choice": 1.0, "teacher": 0.5}}


@pytest.fixture
def prompts():
    rng = np.random.default_rng(0)
    return [random_shelf(rng, n) for n in (3, 5)]


@pytest.fixture
def saved(tiny_reader, tmp_path) -> Path:
    save_reader(tiny_reader, tmp_path / "adapter", FACTS)
    return tmp_path / "adapter"


def test_peft_merges_the_adapter_into_an_ordinary_folder_as_the_page_says(tiny_model, saved, tmp_path):
    """docs/method/alignment.md: base + adapter, merged and saved, has our weights and is a whole model."""
    whole = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        merged = peft.PeftModel.from_pretrained(whole, str(saved)).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    transformers.AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "merged")
    model, _ = load_model(tmp_path / "merged")
    theirs, compared = dict(model.named_parameters()), 0
    for name, ours in load_reader(saved).model.named_parameters():
        if ".layers." in name:
            other = theirs[name].detach().to(ours.dtype).float()
            np.testing.assert_allclose(other, ours.detach().float(), atol=1e-2)
            compared += 1
    assert compared >= 9 * LAYERS


def test_a_reader_that_is_saved_and_loaded_says_the_same(tiny_reader, saved, prompts):
    before = utilities(tiny_reader, prompts)
    for merged in (True, False):
        loaded = load_reader(saved, merged=merged)
        np.testing.assert_allclose(utilities(loaded, prompts), before, atol=1e-5)
        assert bool(loaded.adapter()) is not merged
        assert all(p.requires_grad is not merged for p in loaded.pointer.parameters())


def test_the_adapter_is_in_the_standard_layout_that_peft_reads(tiny_reader, tiny_model, saved, prompts):
    """The hidden states of peft's own model are those of ours."""
    from malles.llm.attention import register
    from malles.llm.encoding import collate

    assert {p.name for p in saved.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "pointer.safetensors", "reader.json", "README.md",
    }  # fmt: skip
    model, _ = load_model(tiny_model, layers=LAYERS)
    model.set_attn_implementation(register())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an older name
        other = peft.PeftModel.from_pretrained(model, str(saved))
    batch = collate([tiny_reader.encoder.encode(p) for p in prompts])
    with torch.inference_mode():
        ours = tiny_reader.hidden_states(batch)
        tiny_reader.model = other
        theirs = tiny_reader.hidden_states(batch)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_no_file_is_a_pickle_and_no_path_of_this_machine_is_kept(saved):
    for path in saved.rglob("*"):
        assert path.suffix in {".json", ".safetensors", ".md"}
        assert path.read_bytes()[:2] != b"\x80\x04"
    config = json.loads((saved / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"


def test_the_model_card_names_data_losses_and_seeds(saved):
    card = (saved / "README.md").read_text()
    assert "| data | test / market of 2 lines |" in card
    assert "| seed | 7 |" in card
    assert '| losses | {"choice": 1.0, "teacher": 0.5} |' in card
    assert card.startswith("---\nbase_model: ")
    assert read_facts(saved)["facts"] == FACTS


def renamed(saved: Path, model: Path) -> None:
    about = json.loads((saved / "reader.json").read_text())
    about["reader"]["model"] = str(model)
    (saved / "reader.json").write_text(json.dumps(about))


def test_another_base_model_is_refused(saved, tmp_path):
    deeper = write_tiny_model(tmp_path / "deeper", layers=3)
    renamed(saved, deeper)
    with pytest.raises(ModelError, match=r"a model with num_hidden_layers = 2, but .*deeper' has 3; name"):
        load_reader(saved)
    wider = write_tiny_model(tmp_path / "wider", hidden=64)
    renamed(saved, wider)
    with pytest.raises(ModelError, match=r"with hidden_size = 32, but .*wider' has 64"):
        load_reader(saved)
    about = json.loads((saved / "reader.json").read_text())
    del about["base"]  # adapters of earlier versions do not tell
    (saved / "reader.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match="trained on a model of width 32, but"):
        load_reader(saved)


def test_an_adapter_for_layers_that_are_not_read_is_refused(tiny_model, saved):
    about = json.loads((saved / "reader.json").read_text())
    about["reader"]["layers"] = 1
    (saved / "reader.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=r"changes layers that .* does not have"):
        load_reader(saved)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "pointer.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "missing", "lacks one"])
def test_a_damaged_file_is_refused_with_what_to_do(saved, name, damage):
    from safetensors.torch import load_file, save_file

    path = saved / name
    if damage == "cut":
        os.truncate(path, path.stat().st_size - 40)
    elif damage == "missing":
        path.unlink()
    else:
        weights = load_file(path)
        weights.pop(sorted(weights)[0])
        save_file(weights, path)
    with pytest.raises(
        ModelError, match=r"(is damaged or incomplete|lacks 1 of its weights).*fit it again or fetch"
    ):
        load_reader(saved)


def test_facts_that_cannot_be_read_are_refused(saved, tmp_path):
    with pytest.raises(ModelError, match=r"There is no aligned model in .* \(no reader\.json\)"):
        load_reader(tmp_path)
    path = saved / "reader.json"
    whole = json.loads(path.read_text())
    for content, words in (
        ("{", "cannot be read"),
        (json.dumps({**whole, "version": 99}), "is of version 99, expected 1"),
        ("[]", "is of"),
        (json.dumps({**whole, "reader": {"odd": 1}}), "is damaged"),
    ):
        path.write_text(content)
        with pytest.raises(ModelError, match=words):
            load_reader(saved)


def test_a_reader_without_an_adapter_is_only_its_pointer(tiny_model, tmp_path, prompts):
    reader = speak(Reader(tiny_reader_settings(tiny_model, tuned_layers=0), seed=3))
    save_reader(reader, tmp_path / "plain", {})
    assert not (tmp_path / "plain" / "adapter_model.safetensors").exists()
    loaded = load_reader(tmp_path / "plain")
    np.testing.assert_array_equal(utilities(loaded, prompts), utilities(reader, prompts))


def test_the_number_format_is_as_asked_and_others_are_refused(tiny_model):
    assert choose_dtype("float32") is torch.float32
    assert choose_dtype("auto") in (torch.float32, torch.bfloat16)
    with pytest.raises(UsageError, match="dtype = 'int8': expected 'auto', 'bfloat16'"):
        Reader(tiny_reader_settings(tiny_model, dtype="int8"))


def test_half_precision_reads_nearly_the_same(tiny_model, prompts):
    plain = speak(Reader(tiny_reader_settings(tiny_model), seed=3))
    half = speak(Reader(tiny_reader_settings(tiny_model, dtype="bfloat16"), seed=3))
    one, other = utilities(plain, prompts), utilities(half, prompts)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99
