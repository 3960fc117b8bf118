"""Writes tests/assets/eight_occasions.json: eight real occasions in words, and what the shipped adapters say.

    python scripts/write_stored_occasions.py

The tests compare a machine's answers with these: in float32 to 0.002 in log-probability, and in the precision
of use to 0.03 in probability, for processors round bfloat16 differently. Renew it with the adapters.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from malles.data.loading import load_dataset
from malles.engines import load_engine
from malles.llm.adapter import load_reader
from malles.llm.aligning import SHIPPED
from malles.llm.backends.local import LocalBackend
from malles.llm.choice_examples import by_line
from malles.llm.choice_model import FittedAligned, log_of
from malles.llm.reader import Reader
from malles.llm.wording import ChoicePrompts
from malles.occasions.build import build_occasions
from malles.occasions.catalogue import build_catalogue
from malles.occasions.splits import build_split
from malles.profiles.features import FeatureStore
from malles.vocabulary import Regime

OUT = Path(__file__).parent.parent / "tests" / "assets" / "eight_occasions.json"


def main() -> None:
    """Eight occasions of week 41, evenly spread."""
    catalogue = build_catalogue(load_dataset("complete_journey"), fit_until_week=40)
    cold = build_split(catalogue)
    later = build_occasions(catalogue, None, (41, 41), ~cold.cold_customer, ~cold.cold_category).occasions
    rows = np.linspace(0, len(later) - 1, 8).astype(int)
    data = FeatureStore(catalogue).build(later.take(rows), Regime.FULL)
    prompts = ChoicePrompts(data)
    kept = []
    models, exact = {}, {}
    for folder in sorted(p for p in SHIPPED.iterdir() if p.is_dir()):
        models[folder.name] = FittedAligned.load(
            folder, partial(load_engine, name="head", regime=Regime.FULL)
        )
        exact[folder.name] = _read_in_float32(folder)
    for i in range(len(data)):
        prompt = prompts.prompt(i)
        available = data.occasions.available[i : i + 1]
        answers = {}
        for name, model in models.items():
            said = LocalBackend(model.reader).utilities([model.reader.encoder.encode(prompt)])[0]
            skip = np.zeros(len(prompt))
            if model.skip is not None:
                skip = by_line(log_of(model.skip.predict(data.take(np.array([i])))), available, len(prompt))[
                    0
                ]
            apart = LocalBackend(exact[name])
            exactly = apart.utilities([apart.reader.encoder.encode(prompt)])[0]
            answers[name] = {
                "skip": [round(float(x), 5) for x in skip],
                "temperature": model.temperature,
                "log_probability": _log_probability(said, skip, model.temperature),
                "float32": _log_probability(exactly, skip, model.temperature),
            }
        kept.append(
            {
                "opening": prompt.opening,
                "shelf": prompt.shelf,
                "customer": prompt.customer,
                "remarks": prompt.remarks,
                "answers": answers,
            }
        )
    OUT.write_text(json.dumps(kept, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")


def _log_probability(said: np.ndarray, skip: np.ndarray, temperature: float) -> list[float]:
    v = (said + skip) / temperature
    v = v - v.max()
    return [round(float(x), 4) for x in v - np.log(np.exp(v).sum())]


def _read_in_float32(folder: Path) -> Reader:
    """The adapter read in float32, which every processor rounds alike up to 1e-3."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(folder, Path(scratch) / folder.name))
        about = json.loads((copy / "reader.json").read_text("utf-8"))
        about["reader"]["dtype"] = "float32"
        (copy / "reader.json").write_text(json.dumps(about), "utf-8")
        return load_reader(copy)


if __name__ == "__main__":
    main()
