# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv here and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all parity lint types clean install bench

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("hilum needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

demo: install
	$(BIN)/hilum demo demo

test: install
	$(BIN)/python -m pytest -q -n auto -m "not slow and not gpu"

test-all: install
	$(BIN)/python -m pytest -q -n auto -m "not gpu"

parity: install
	$(BIN)/python -m tests.parity

lint: install
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/ruff check src tests benchmarks docs

types: install
	$(BIN)/mypy

bench: install
	for script in archive_read augmentation bootstrap gloria_loss ingest pair_sampling probe zero_shot; do $(BIN)/python benchmarks/$$script.py || exit 1; done

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache dist build
