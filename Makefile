# `make reproduce` and `make test` work on a fresh machine that has Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
OUT ?= results

.PHONY: reproduce test test-slow test-cluster lint format bench docs clean

reproduce: .venv/installed
	$(BIN)/largestep reproduce --out $(OUT)

test: .venv/installed-test
	$(BIN)/pytest

test-slow: .venv/installed-test
	$(BIN)/pytest -m slow

test-cluster: .venv/installed-test
	$(BIN)/pytest -m cluster

lint: .venv/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/installed-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/installed-test
	$(BIN)/python -m benchmarks

docs: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv results site

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "largestep needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

# PyTorch comes first, under its exact pin: what is installed after it then finds it in place.
.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch]'
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch,cluster,test]'
	touch $@
