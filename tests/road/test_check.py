"""Before a run: what is wrong is said before anything is computed, and a dry run says what would be done."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from malles.baselines.random_choice import FittedRandom
from malles.cli import run
from malles.config import build_config
from malles.data.home import register_file, write_dataset
from malles.data.synthetic import MarketSettings, generate_market
from malles.engines import AlignedEngine
from malles.errors import ConfigError, DataError, MissingExtra, ModelError, UsageError
from malles.road import Road, be_silent
from malles.stages import models
from malles.stages.check import check_config
from malles.store import Manifest, write_manifest

TINY = {"model_type": "llama", "num_hidden_layers": 2}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A data home with the data set 'small', and no models."""
    monkeypatch.setenv("MALLES_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MALLES_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    dataset, _ = generate_market(MarketSettings(customers=20, weeks=10), seed=4)
    write_dataset(replace(dataset, name="small"), tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def language(tmp_path) -> Path:
    """A folder in the Hugging Face layout, as far as it is looked at before a run."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY))
    (folder / "tokenizer.json").write_text("{}")
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    return folder


def check(names=("popularity",), **sections) -> list[str]:
    return check_config(
        build_config({"data": {"name": "small"}, "models": {"names": list(names)}, **sections})
    )


def test_names_of_data_sets_and_models_are_checked(tmp_path):
    assert check() == [
        "small: models learn from 60,000 occasions of weeks 9 to 40",
        "popularity is fitted",
    ]
    with pytest.raises(UsageError, match=r"There is no data set 'smal' .* Did you mean 'small'\?"):
        check(data={"name": "smal"})
    with pytest.raises(ConfigError, match=r"no model 'popularty'. Did you mean .*'popularity'"):
        check(["popularty"])
    (tmp_path / "lines.csv").write_text("a\n1\n")
    register_file("shop", tmp_path / "lines.csv")
    (tmp_path / "lines.csv").unlink()
    with pytest.raises(DataError, match=r"registered at .*lines\.csv, which is not there .* data add shop"):
        check(data={"name": "shop"})


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtra, match=r"'lightgbm' needs lightgbm.*pip install 'malles\[models\]'"):
        check(["popularity", "lightgbm"])


def test_a_language_model_is_checked_by_the_name_of_its_setting(language):
    pytest.importorskip("peft")
    said = check(["hf"], llm={"model": str(language), "layers": 2, "minutes": 3})
    assert said[1] == (
        f"hf is post-trained for 3 processor-minutes on top of the set model: {language} in {language}"
    )
    with pytest.raises(ConfigError) as refused:
        check(["hf"], llm={"model": "smolm2"})
    assert str(refused.value) == (
        "[llm] model = 'smolm2' is not there: There is no language model 'smolm2'. Did you mean 'smollm2'? "
        "It may be smollm2, an owner/name that was pulled (malles models list), or a folder in the Hugging "
        "Face layout."
    )
    with pytest.raises(ModelError, match=r"\[llm\] model = 'smollm2' is not there: .*models pull smollm2"):
        check(["hf"], llm={"model": "smollm2"})
    with pytest.raises(ConfigError, match=r"\[llm\] layers = 12, but .* has 2 layers; take at most 2, or 0"):
        check(["hf"], llm={"model": str(language)})


def test_an_adapter_is_checked_and_so_is_the_model_it_needs(language, tmp_path):
    pytest.importorskip("peft")
    with pytest.raises(ModelError, match=r"shipped for the data set 'small', only for complete_journey"):
        check(["hf"], llm={"adapter": "shipped"})
    with pytest.raises(
        ModelError, match=r"\[llm\] adapter = 'no' holds no adapter \(no reader\.json there\)"
    ):
        check(["hf"], llm={"adapter": "no"})
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "reader.json").write_text(json.dumps({"reader": {"model": str(language)}}))
    said = check(["hf"], llm={"adapter": str(adapter)})
    assert said[1] == f"hf is read: the adapter in {adapter} on {language} in {language}"
    (adapter / "reader.json").write_text(json.dumps({"reader": {"model": "smollm2"}}))
    with pytest.raises(ModelError, match=r"The model of this adapter is not there: .*models pull smollm2"):
        check(["hf"], llm={"adapter": str(adapter)})


def test_the_settings_of_a_server_are_checked(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    section = {"model": "m", "base_url": "http://127.0.0.1:1/v1", "fallback": "popularity"}
    assert check(["api"], api=section)[1].startswith("api asks m at http://127.0.0.1:1/v1 without a key")
    for wrong, sentence in (
        ({"model": ""}, r"write \[api\] model"),
        ({"base_url": "127.0.0.1"}, "must be http:// or https://"),
        ({"fallback": "hf"}, "is a language model itself"),
        ({"fallback": "populrity"}, "Did you mean"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            check(["api"], api=section | wrong)


def test_an_adapter_that_is_read_needs_no_features_of_training_occasions(monkeypatch):
    asked, read = [], FittedRandom(outside_share=0.0, other_share=0.0)
    road = Road.__new__(Road)
    road.config, road.tell = build_config({"llm": {"adapter": "shipped"}}), be_silent
    monkeypatch.setattr(Road, "features", lambda self, part: asked.append(part))
    monkeypatch.setattr(AlignedEngine, "read", lambda self, options, data: read)
    assert models._fit(road, "hf") is read
    assert asked == ["valid"]


@pytest.mark.parametrize("command", ["fit", "run"])
def test_a_dry_run_prints_settings_and_plan_and_makes_nothing(tmp_path, capsys, command):
    config = tmp_path / "small.toml"
    config.write_text('[data]\nname = "small"\n[models]\nnames = ["popularity"]\n')
    assert run([command, str(config), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["data"]["name"] == "small"
    after = {"fit": "nothing after the models", "run": "scores, the market, a what-if and the report"}
    assert f"Then {after[command]}, in a new folder runs/run-N." in err
    assert "Nothing was computed, no server was asked, and no folder was made." in err
    config.write_text('[data]\nname = "other"\n')
    for dry in ([], ["--dry-run"]):
        assert run([command, str(config), *dry]) == 2
        assert "There is no data set 'other'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_run_that_was_only_fitted_is_not_sent_in_a_circle(tmp_path, capsys):
    config = build_config({"data": {"name": "small"}, "models": {"names": ["popularity"]}})
    for command, sentence in (
        (
            "fit",
            "Run 'x-fit' was made by `malles fit` and has only models; scores come from: malles run CONFIG",
        ),
        ("run", "Run 'x-run' has no scores yet; go on with: malles runs resume x-run"),
    ):
        folder = tmp_path / "runs" / f"x-{command}"
        (folder / "03-models" / "popularity").mkdir(parents=True)
        manifest = Manifest(id=folder.name, command=command, config=config.model_dump(mode="json"))
        write_manifest(folder, replace(manifest, status="success"))
        assert run(["evaluate", folder.name]) == 1
        assert sentence in capsys.readouterr().err
