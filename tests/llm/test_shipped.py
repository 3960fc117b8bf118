"""The adapters that come with malles, on the real weights: eight real occasions, against stored answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from malles.llm.aligning import SHIPPED, fixed_sample
from malles.llm.prompt import Field, Line, ShelfPrompt

ASSET = Path(__file__).parent.parent / "assets" / "eight_occasions.json"
MOST_MEGABYTES = 10


def stored() -> list[dict]:
    found: list[dict] = json.loads(ASSET.read_text(encoding="utf-8"))
    return found


def line_of(pieces: list) -> Line:
    return tuple((Field(kind), text) for kind, text in pieces)


def prompt_of(kept: dict) -> ShelfPrompt:
    return ShelfPrompt(
        line_of(kept["opening"]),
        tuple(line_of(x) for x in kept["shelf"]),
        line_of(kept["customer"]),
        tuple(line_of(x) for x in kept["remarks"]),
    )


def test_all_shipped_adapters_together_are_small_and_say_where_they_come_from():
    total, cards = 0, 0
    for path in SHIPPED.rglob("*"):
        total += path.stat().st_size if path.is_file() else 0
        if path.name == "README.md":
            card = path.read_text(encoding="utf-8")
            assert all(word in card for word in ("dunnhumby", "MIT", "malles fit", "seed", "losses"))
            cards += 1
    assert cards == len([p for p in SHIPPED.iterdir() if p.is_dir()]) >= 1
    assert total <= MOST_MEGABYTES * 2**20


@pytest.mark.weights
@pytest.mark.parametrize("name", sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()))
def test_a_shipped_adapter_answers_eight_real_occasions_as_it_did_when_it_was_made(name):
    """In the precision of use, which processors round differently: probabilities alone."""
    compared = 0
    for kept, found in zip(stored(), answers(SHIPPED / name), strict=True):
        wanted = np.array(kept["answers"][name]["log_probability"])
        np.testing.assert_allclose(np.exp(found), np.exp(wanted), atol=0.03)
        compared += 1
    assert compared == 8


@pytest.mark.weights
@pytest.mark.parametrize("name", sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()))
def test_in_float32_a_shipped_adapter_gives_the_stored_numbers_on_any_processor(name, tmp_path):
    for kept, found in zip(stored(), answers(in_float32(SHIPPED / name, tmp_path)), strict=True):
        np.testing.assert_allclose(found, np.array(kept["answers"][name]["float32"]), atol=2e-3)


def in_float32(folder: Path, out: Path) -> Path:
    """A copy of an adapter that is read in float32."""
    copy = Path(shutil.copytree(folder, out / folder.name))
    about = json.loads((copy / "reader.json").read_text("utf-8"))
    about["reader"]["dtype"] = "float32"
    (copy / "reader.json").write_text(json.dumps(about), "utf-8")
    return copy


def answers(folder: Path) -> list[np.ndarray]:
    """Log-probabilities of an adapter on the stored occasions."""
    from malles.llm.adapter import load_reader
    from malles.llm.backends.local import LocalBackend

    name = folder.name
    backend = LocalBackend(load_reader(folder))
    out = []
    for kept in stored():
        answer = kept["answers"][name]
        said = backend.utilities([backend.reader.encoder.encode(prompt_of(kept))])[0]
        v = (said + np.array(answer["skip"])) / answer["temperature"]
        v = v - v.max()
        out.append(v - np.log(np.exp(v).sum()))
    return out


def test_the_fixed_sample_is_the_same_every_time_and_in_order():
    rows = fixed_sample(10_000, 300)
    assert len(rows) == len(set(rows.tolist())) == 300
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, fixed_sample(10_000, 300))
