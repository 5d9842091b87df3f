# `make demo` and `make test` set everything up themselves; a second time that takes no time.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.predgen-ready

.PHONY: help setup demo test lint docs notebooks results bench-inference bench-training

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make .venv with the tested set of packages

# torch first and alone: resolved beside others, pip may take a build several gigabytes larger.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "predgen needs Python 3.11 or newer; found %d.%d. Try: make PYTHON=python3.11" % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: setup ## Fit the three methods on real tweets, score, draw and report on them: runs/demo/
	$(BIN)/python -m predgen.demo recipes/demo.yaml

# A file's tests stay together, since they share fixtures; torch takes some 500 MB in each process.
test: setup lint ## Lint and run all tests, those with the real model too, on all cores
	$(BIN)/python -m pytest --require-model --numprocesses logical --maxprocesses 8 --dist loadfile $(PYTEST_FLAGS)

bench-inference: setup ## Inference beside a pooled head and what people otherwise do; BENCH=--quick for two cases
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python benchmarks/inference.py $(BENCH) --json benchmarks/results/inference.json --chart docs/images/inference.png

bench-training: setup ## A training step beside its peers'; BENCH=--quick for two cases in float32
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python benchmarks/training.py $(BENCH) --json benchmarks/results/training.json --chart docs/images/training.png

lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup ## The documentation site: build/site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

notebooks: setup ## Run the notebooks again and keep what they show; some minutes each
	$(BIN)/python notebooks/run.py

results: setup ## The tables of docs/results.md, from the cells in docs/results/cells
	$(BIN)/python -m predgen.reproduce.results_page docs/results.md docs/results/cells
