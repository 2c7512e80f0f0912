PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-all lint wheel

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/ctdenoise demo -o ctdenoise-demo

test: install
	$(BIN)/python -m pytest -m 'not slow'

test-all: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy ctdenoise

wheel: install
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
