# Each target makes the virtual environment it needs.
#
#   make demo     run the chat of trio_ws/demo; with REDIS_URL in the environment several of them
#                 share their rooms
#   make test     run the tests; ARGS goes to pytest: make test ARGS='-k close'
#   make lint     check style and format
#   make types    check types: mypy and pyright, both strict
#   make docs     build the documentation into docs/_build
#   make bench    run the benchmarks beside other libraries, about ten minutes; ARGS goes to them:
#                 make bench ARGS=--quick
#
# PYTHON chooses the interpreter, VENV the directory of its environment:
#   make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

BIN := $(VENV)/bin
# It asks the first python on PATH where packages are, and --verifytypes asks nothing else.
PYRIGHT := PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright
# Touched when the environment has what pyproject.toml asks for.
STAMP := $(VENV)/.stamp

.DEFAULT_GOAL := test
.PHONY: demo test lint types docs bench

$(STAMP): pyproject.toml $(wildcard trio_ws/protocol/*.pyx)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/python -m trio_ws demo

test: $(STAMP)
	$(BIN)/python -W error -m pytest $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy --strict trio_ws tests examples
	$(PYRIGHT) --project pyproject.toml
	$(PYRIGHT) --verifytypes trio_ws --ignoreexternal

docs: $(STAMP)
	@command -v dot >/dev/null || { echo "make docs: the diagrams are drawn by 'dot': install graphviz (apt-get install graphviz)"; exit 1; }
	$(BIN)/python -m sphinx -W -n --keep-going -b html docs docs/_build/html

$(VENV)/.stamp-bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@

bench: $(VENV)/.stamp-bench
	$(BIN)/python -m benchmarks $(ARGS)
