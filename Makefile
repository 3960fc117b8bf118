# malles: `make demo` shows the whole road on real data; `make test` proves it. Both set the environment up first.
#   PYTHON=python3.12   the interpreter to start from      TORCH_INDEX=URL   another wheel index for torch
#   VENV=.venv          where the environment goes         FULL=1            demo on all data instead of a sample

VENV ?= .venv
PYTHON ?=
TORCH_INDEX ?=
FULL ?=
BIN := $(VENV)/bin

.PHONY: setup check test test-all demo bench bench-peers docs clean

setup:
	@VENV='$(VENV)' PYTHON='$(PYTHON)' TORCH_INDEX='$(TORCH_INDEX)' sh scripts/setup.sh

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python scripts/write_cli_docs.py --check
	$(BIN)/python scripts/write_table_docs.py --check

test: setup
	$(BIN)/python -m pytest

test-all: setup
	$(BIN)/python -m pytest -m 'not network'

demo: setup
	@$(BIN)/malles demo $(if $(FULL),--full)

bench: setup
	$(BIN)/malles bench choice
	@set -e; for file in benchmarks/*.py; do [ -e "$$file" ] || continue; echo "== $$file"; $(BIN)/python "$$file"; done

bench-peers: setup
	sh scripts/setup_peers.sh .peers
	$(BIN)/python benchmarks/population.py --peers .peers

docs: setup
	$(BIN)/python scripts/write_cli_docs.py
	$(BIN)/python scripts/write_table_docs.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
