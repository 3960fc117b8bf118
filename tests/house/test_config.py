"""Settings: shipped files load, mistakes are answered with a sentence."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from house.source_tree import CLONE, SOURCE
from malles.config import Config, build_config, change_config, config_values, load_config, setting_names
from malles.errors import ConfigError

SHIPPED = sorted((CLONE / "configs").rglob("*.toml"))
RUNS = [p for p in SHIPPED if p.parent.name == "configs"]


def test_every_shipped_config_loads():
    assert len(RUNS) == 6
    for path in RUNS:
        config = load_config(path)
        assert config.run.name == path.stem.replace("_", "-")


def test_a_resolved_configuration_reads_back_as_itself():
    config = load_config(CLONE / "configs" / "demo.toml")
    assert build_config(config_values(config)) == config


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[market]\ndrawz = 3", "unknown setting 'market.drawz'. Did you mean 'market.draws'?"),
        ("[markett]\ndraws = 3", "unknown setting 'markett'. Did you mean 'market'?"),
        ("[run]\nqqqqq = 3", "unknown setting 'run.qqqqq'. [run] knows: name, root, seed, workers."),
        ("[run]\nworkers = 0", "run.workers = '0' is impossible; expected: greater than or equal to 1."),
        (
            "[occasions]\nvalid = [44, 41]",
            "valid = [44, 41] ends before it begins; write the first week first.",
        ),
        ("[occasions]\nfit_until = 50", "overlap; the weeks must follow each other in this order."),
        ("[models]\nnames = ['a', 'a']", "names lists 'a' more than once"),
        ("[models", "is not valid TOML"),
    ],
)
def test_a_mistake_is_one_clear_sentence(tmp_path, text, sentence):
    path = tmp_path / "demo.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"There is no configuration file .*nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load_config(tmp_path / "bad.toml")


def test_none_leaves_a_setting_alone():
    assert change_config(Config(), {"run.seed": None, "run.workers": 3}).run.workers == 3


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Config().run.seed = 3


def test_every_setting_has_a_sentence_under_it():
    files = sorted((SOURCE / "config").glob("*.py"))
    body = [node for file in files for node in ast.parse(file.read_text()).body]
    missing, seen = [], 0
    for kind in (n for n in body if isinstance(n, ast.ClassDef) and n.name.endswith("Settings")):
        for here, after in zip(kind.body, [*kind.body[1:], None], strict=True):
            if isinstance(here, ast.AnnAssign):
                seen += 1
                if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
                    missing.append(f"{kind.name}.{ast.unparse(here.target)}")
    assert not missing
    assert seen == len(setting_names())


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5) | st.none(), max_size=3))
def test_any_table_is_accepted_or_refused_with_a_sentence(values):
    """Nothing but ConfigError ever comes out, and the sentence is never empty."""
    try:
        build_config({"occasions": values, **{k: v for k, v in values.items() if k != "occasions"}})
    except ConfigError as refused:
        assert str(refused)
