# `make reproduce` and `make test` work on a fresh machine that has Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
BASE := .venv-base/bin
BASE_TESTS := tests/cli/test_start.py tests/cli/test_without_pytorch.py tests/experiments \
	tests/metrics tests/networks tests/test_*.py
OUT ?= results

.PHONY: reproduce test test-base test-slow test-cluster test-zoo test-page fuzz lint format bench docs clean

reproduce: .venv/installed
	$(BIN)/largestep reproduce --out $(OUT)

test: .venv/installed-test
	$(BIN)/pytest -n auto --dist worksteal

# What `pip install largestep` gives, without the extra.
test-base: .venv-base/installed
	$(BASE)/pytest -m 'not slow' --ignore-glob '*deep*' $(BASE_TESTS)

test-slow: .venv/installed-test
	$(BIN)/pytest -m slow

test-cluster: .venv/installed-test
	$(BIN)/pytest -m cluster

fuzz: .venv/installed-test
	nice $(BIN)/python -m tests.border

# MONAI and x-transformers are tried too if they are installed.
test-zoo: .venv/installed-test
	$(BIN)/pytest -m zoo tests/deep/test_zoo.py

# The page and the documentation in a real browser: what it takes is installed into .page only.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
PAGE ?= .page/results/report.html

test-page: .page/node_modules docs
	@test -n "$(CHROMIUM)" || { echo "test-page needs Chromium: apt-get install chromium, or CHROMIUM=path"; exit 1; }
	@test "$(PAGE)" != .page/results/report.html || $(BIN)/largestep reproduce --quick --seeds 3 \
		--out .page/results diagonal surface one-dimension teacher-student
	cp tests/page/check.mjs .page/
	node .page/check.mjs "$(CHROMIUM)" "$(PAGE)" site

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
	rm -rf .venv .venv-base .page results site

.page/node_modules: tests/page/package.json
	@command -v npm > /dev/null || { echo "test-page needs Node.js with npm, 20 or newer"; exit 1; }
	mkdir -p .page
	cp tests/page/package.json .page/
	npm install --prefix .page --silent --no-audit --no-fund
	touch $@

%/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "largestep needs Python 3.11 or newer")'
	$(PYTHON) -m venv $*

# PyTorch comes first, under its exact pin: what is installed after it then finds it in place.
.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch]'
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[torch,cluster,test]'
	touch $@

.venv-base/installed: .venv-base/bin/python pyproject.toml constraints.txt
	$(BASE)/python -m pip install --quiet --constraint constraints.txt --editable . \
		beartype hypothesis pytest pyyaml
	touch $@
