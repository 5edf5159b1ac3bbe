# Two commands: `make demo` shows Shopfloor, `make test` proves it. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TIERS := tests/architecture tests/unit tests/contracts tests/flows tests/screens tests/stack

.PHONY: env demo test check pure embedded real benchmarks clean

env: $(VENV)/.made

$(VENV)/.made: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Shopfloor needs Python 3.11 or newer; set PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: env
	$(BIN)/shopfloor up --demo

test: env
	$(BIN)/pytest tests/architecture tests/unit
	$(BIN)/pytest tests/contracts tests/flows tests/screens
	$(BIN)/pytest tests/stack

check: env
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache
