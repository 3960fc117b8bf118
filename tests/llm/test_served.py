"""The engine `api` as a choice model: a server's answers as probabilities, and what happens without them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openai", reason="the extra `api` is not installed")

from llm.fault_server import FaultServer, utility
from llm.small_markets import named_market
from malles import pipeline
from malles.cli import run
from malles.config import ServedSettings, build_config
from malles.data.home import write_dataset
from malles.data.synthetic import MarketSettings, generate_market
from malles.engines import ENGINES, find_engine, load_engine, market_model
from malles.errors import ConfigError, ModelError, UsageError
from malles.llm.backends.letters import LETTERS
from malles.llm.backends.scripted import ScriptedBackend
from malles.llm.served import ServedModel, resolve
from malles.llm.wording import ChoicePrompts
from malles.vocabulary import Regime

CANARY = "sk-canary-5b20e9d4c1"
MODEL = "m"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("MALLES_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def market():
    return named_market(occasions=60)


@pytest.fixture(scope="module")
def fallback(market):
    return find_engine("popularity").fit(market, market, market.occasions.category, seed=1)


def served(url: str = "http://127.0.0.1:1/v1", **changes) -> ServedSettings:
    return ServedSettings(**{"model": MODEL, "base_url": url, "fallback": "popularity", **changes})


def truth(data) -> np.ndarray:
    """What the test server's logit says of every occasion."""
    prompts, out = ChoicePrompts(data), np.zeros(data.occasions.shape)
    for i in range(len(data)):
        columns = prompts.columns(i)
        lines = prompts.prompt(i).lettered(LETTERS).split("\n")[-len(columns) :]
        weight = np.exp([utility(line.partition(". ")[2]) for line in lines])
        out[i, columns] = weight / weight.sum()
    return out


def test_a_servers_answers_become_choice_probabilities(market, fallback):
    """Column by column what the server's own model says; nothing elsewhere."""
    part, told = market.take(np.arange(12)), []
    with FaultServer() as server:
        model = ServedModel(resolve(served(server.url)), market.regime, fallback)
        found = model.predict(part, progress=lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(found, truth(part), atol=1e-8)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found[~part.occasions.available] == 0).all()
    assert (found[part.occasions.available] > 0).all()
    assert told == [(0, 12), (12, 12)]
    assert (model.counts.asked, model.unusable) == (12, 0)
    assert model.remark() == "api gave no usable answer for 0 of 12 occasions."


def test_answers_are_kept_so_that_a_second_run_asks_nothing(market, fallback, tmp_path):
    part = market.take(np.arange(6))
    with FaultServer() as server:
        model = ServedModel(resolve(served(server.url)), market.regime, fallback)
        found = model.predict(part)
        calls = server.calls
        np.testing.assert_array_equal(model.predict(part), found)
        assert server.calls == calls > 0
    assert (tmp_path / "home" / "answers.sqlite").is_file()


def test_unusable_rows_are_the_fallbacks_counted_and_shown(market, fallback):
    """Every fifth answer is unusable: those rows are the fallback's, the others are not."""
    part, asked = market.take(np.arange(20)), []

    def script(prompt):
        asked.append(prompt)
        return None if len(asked) % 5 == 0 else list(range(len(prompt)))

    model = ServedModel(served(unusable_share=0.2), market.regime, fallback).with_backend(
        ScriptedBackend(script)
    )
    found, known = model.predict(part), fallback.predict(part)
    lost = np.arange(20) % 5 == 4
    np.testing.assert_array_equal(found[lost], known[lost])
    assert (np.abs(found[~lost] - known[~lost]).max(axis=1) > 0.01).all()
    assert model.unusable == 4
    assert model.remark() == (
        f"api gave no usable answer for 4 of 20 occasions (4 the script says nothing); {fallback.name} "
        "answered those."
    )
    strict = ServedModel(served(unusable_share=0.19), market.regime, fallback)
    with pytest.raises(ModelError, match=r"4 of 20 occasions .* more than the 19%.*the script says nothing"):
        strict.with_backend(ScriptedBackend(script)).predict(part)


def test_a_server_that_is_not_there_is_an_error_not_the_fallback(market, fallback):
    model = ServedModel(served(deadline=2.0), market.regime, fallback)
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:1/v1 cannot be used .no connection"):
        model.predict(market.take(np.arange(3)))


def test_fitting_asks_the_server_first_and_fails_in_one_sentence(market, tmp_path, monkeypatch, capsys):
    """Exit code 1, with the address, what happened and what to set; the fallback is not fitted in vain."""
    dataset, _ = generate_market(MarketSettings(customers=40, weeks=20), seed=4)
    write_dataset(replace(dataset, name="small"), tmp_path / "home")
    config = tmp_path / "served.toml"
    config.write_text(
        '[data]\nname = "small"\n[occasions]\nslate_size = 6\nfirst_week = 5\nfit_until = 12\n'
        "valid = [13, 14]\ntest = [15, 16]\nsample = 100\n[market]\nweeks = [13, 14]\n"
        "[calibration]\nweeks = [11, 12]\nfit_until = 10\n"
        '[models]\nnames = ["popularity", "api"]\n[api]\nmodel = "m"\nfallback = "popularity"\n'
        f'base_url = "http://127.0.0.1:1/v1"\n[run]\nroot = "{tmp_path / "runs"}"\n'
    )
    assert run(["fit", str(config)]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        "The model server 127.0.0.1:1/v1 cannot be used (no connection: All connection attempts failed)"
        in said
    )
    assert said.endswith(
        "start it, or set base_url ([api] base_url in a configuration, else $OPENAI_BASE_URL) to where it "
        "listens."
    )
    assert not list((tmp_path / "runs").glob("*/03-models/*"))


def test_a_dry_run_checks_the_section_api_and_asks_nothing():
    with FaultServer() as server:
        said = find_engine("api").check("api", "small", served(server.url, fallback="popularity"))
        assert server.calls == 0
    assert said == (
        f"api asks m at {server.url} with the key of $OPENAI_API_KEY, 2 orders of each shelf; popularity is "
        "fitted for what it does not answer"
    )
    with pytest.raises(ConfigError, match="needs the name of a model"):
        find_engine("api").check("api", "small")


def test_features_of_another_regime_are_refused(market, fallback):
    model = ServedModel(served(), Regime.LAUNCH, fallback)
    with pytest.raises(ModelError, match=r"regime 'launch', but the features are of 'full'"):
        model.predict(market)


def test_long_shelves_are_counted_and_can_be_shortened_by_the_fallback():
    """24 alternatives: two parts and a final are six calls; the fallback's twenty are two."""
    data = named_market(width=23, occasions=30)
    full = np.flatnonzero(data.occasions.available.sum(axis=1) > 20)[:4]
    assert len(full) == 4
    part = data.take(full)
    fallback = find_engine("popularity").fit(data, data, data.occasions.category, seed=1)
    calls = {}
    for how in ("parts", "fallback"):
        with FaultServer() as server:
            settings = served(server.url, shortlist_by=how, cache=Path(os.environ["MALLES_HOME"]) / how)
            model = ServedModel(settings, data.regime, fallback)
            found = model.predict(part)
            calls[how] = server.calls
        assert model.counts.long == 4
        assert "4 shelves were longer than one question" in model.remark()
        np.testing.assert_allclose(found.sum(axis=1), 1.0)
        if how == "parts":
            np.testing.assert_allclose(found, truth(part), atol=1e-7)
        else:  # what was not asked about keeps what the fallback gives it
            known = fallback.predict(part)
            same = np.isclose(found, known, atol=1e-9) & part.occasions.available
            assert (same.sum(axis=1) >= part.occasions.available.sum(axis=1) - 20).all()
    assert calls["fallback"] < calls["parts"] / 2


def test_the_engine_is_fitted_saved_and_read_back_without_the_key(market, tmp_path):
    assert ENGINES["api"].slow
    assert market_model(["head", "api"]) == "head"
    part = market.take(np.arange(5))
    with FaultServer(key=CANARY) as server:
        engine = find_engine("api")
        fitted = engine.fit(market, market, market.occasions.category, seed=1, options=served(server.url))
        fitted.save(tmp_path / "api")
        loaded = load_engine(tmp_path / "api", "api")
        np.testing.assert_array_equal(loaded.predict(part), fitted.predict(part))
    kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert len(kept) > 1000
    assert CANARY.encode() not in kept
    assert CANARY not in repr(loaded) + repr(fitted) + loaded.remark()


def test_a_damaged_or_missing_model_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match=r"served\.json is missing or damaged"):
        load_engine(tmp_path, "api")
    (tmp_path / "served.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(ModelError, match=r"format 9, this malles reads 1"):
        ServedModel.read_about(tmp_path)


def test_what_cannot_be_asked_is_refused_before_anything_is_fitted(market, monkeypatch):
    fit = partial(find_engine("api").fit, market, market, market.occasions.category, seed=1)
    with pytest.raises(ConfigError, match="needs the name of a model as its server knows it"):
        fit()
    with pytest.raises(ConfigError, match="is a language model itself"):
        fit(options=served(fallback="hf"))
    with pytest.raises(ConfigError, match="link-local, metadata"):
        fit(options=served("http://169.254.169.254/v1"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert resolve(ServedSettings(model=MODEL)).base_url == "http://127.0.0.1:9/v1"
    assert resolve(served("http://127.0.0.1:8/v1")).base_url == "http://127.0.0.1:8/v1"


def test_the_budget_of_the_section_is_kept(market, fallback):
    with FaultServer() as server:
        model = ServedModel(served(server.url, budget_tokens=300), market.regime, fallback)
        with pytest.raises(UsageError, match="above the budget of 300"):
            model.predict(market)
        assert server.calls == 0


def test_the_section_api_is_read_and_checked():
    section = {"model": MODEL, "rotations": 4, "unusable_share": 0.1}
    assert build_config({"api": section, "models": {"names": ["head", "api"]}}).api.rotations == 4
    for name, value in (("rotations", 1), ("deadline", 0), ("api_key", CANARY)):
        with pytest.raises(ConfigError, match=f"api.{name}") as refused:
            build_config({"api": {name: value}})
        if name == "api_key":
            assert CANARY not in str(refused.value)


@pytest.mark.slow
def test_a_whole_run_scores_the_server_beside_the_others_and_shows_what_it_lost(tmp_path, monkeypatch):
    """The road on a small market: same fixed occasions, counts in the note, no key in the run folder."""
    monkeypatch.setenv("MALLES_HOME", str(tmp_path / "home"))
    dataset, _ = generate_market(MarketSettings(customers=120, weeks=30), seed=4)
    write_dataset(replace(dataset, name="small"), tmp_path / "home")
    with FaultServer(share=0.1, faults=("500", "html"), key=CANARY) as server:
        config = build_config(
            {
                "data": {"name": "small"},
                "occasions": {
                    "slate_size": 6, "first_week": 6, "fit_until": 20, "valid": [21, 22], "test": [23, 24],
                    "sample": 0,
                },
                "models": {"names": ["popularity", "api"]},
                "api": {"model": MODEL, "base_url": server.url, "fallback": "popularity", "deadline": 30},
                "llm": {"score": 20},
                "market": {"weeks": [21, 22]},
                "calibration": {"weeks": [17, 18], "fit_until": 16},
                "evaluation": {"bootstrap": 20},
                "run": {"name": "small", "root": str(tmp_path / "runs"), "workers": 1},
            }
        )  # fmt: skip
        folder = pipeline.start(config)
    scores = json.loads((folder / "05-language-scores.json").read_text())
    assert {s["model"] for s in scores["scores"]} == {"popularity", "api"}
    assert "api gave no usable answer for 0 of 20 occasions." in scores["note"]
    assert "gave no usable answer" in (folder / "report.html").read_text()
    kept = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(kept) > 10
    assert not [p for p in kept if CANARY.encode() in p.read_bytes()]
