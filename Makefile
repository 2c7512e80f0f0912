PYTHON ?= python3
BIN := .venv/bin
TESTS := $(BIN)/python -m pytest -n 2 --dist worksteal
DEBIAN := dicom3tools dcmtk libgdcm-tools dcm2niix orthanc orthanc-dicomweb

.PHONY: install demo test test-all conformance coverage lint man docs wheel test-wheel

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/ctdenoise demo -o ctdenoise-demo

test: install
	$(TESTS) -m 'not slow'

# The default tests with the share of lines that they run; pyproject.toml has the least share.
coverage: install
	$(TESTS) -m 'not slow' --cov=ctdenoise --cov-report=term

test-all: install
	$(TESTS)

# What other programs say: Debian's validators and a PACS, then the tests that ask them.
conformance: install
	@(for program in dciodvfy dcmftest gdcminfo dcm2niix storescu Orthanc; do command -v $$program || exit 1; done) >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq $(DEBIAN); }
	$(BIN)/python -m pytest tests/conformance

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy ctdenoise
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/proselint check $$(git ls-files '*.md')

# The man page, from the commands' own help.
man: install
	mkdir -p dist && $(BIN)/python packaging/man.py > dist/ctdenoise.1

# The site in site/, readable from disk; nothing is fetched, and a warning is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

wheel: install
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# The wheel in a fresh environment, used from an empty folder.
test-wheel:
	packaging/check_wheel.sh $(PYTHON)
