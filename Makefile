# Two commands: `make demo` shows Shopfloor, `make test` proves it. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What is too long for every push: hours. Results belong into docs/soak.md, with their date.
SOAK := build/soak

.PHONY: env demo test coverage soak check clean

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
	$(BIN)/pytest -n 4 --dist loadfile tests/contracts tests/flows tests/screens
	$(BIN)/pytest -n 3 --dist loadfile tests/stack
	$(BIN)/pytest tests/compose

# What these tests go through of delivery, the saga, ingest and the audit, in all their processes; below 95% it fails.
COVERED_BY := tests/contracts/test_delivery_*.py tests/contracts/test_dead_letters.py tests/unit/test_arrivals.py \
	tests/unit/test_orders_*.py tests/unit/test_ingest_rules.py tests/unit/test_audit_*.py tests/flows/test_audit*.py \
	tests/flows/test_ingest*.py

coverage: env
	rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest $(COVERED_BY)
	$(BIN)/coverage combine -q
	$(BIN)/coverage json -q -o build/coverage/report.json
	$(BIN)/python -m tests.coverage_bar build/coverage/report.json

soak: SHELL := /bin/bash
soak: .SHELLFLAGS := -o pipefail -c
soak: env
	mkdir -p $(SOAK)
	$(BIN)/shopfloor simulate --schedules 20000 --seed 1 --json | tee $(SOAK)/simulation.json
	$(BIN)/python -m tests.mutations.table | tee $(SOAK)/mutations.md
	SHOPFLOOR_FUZZ_EXAMPLES=50 $(BIN)/pytest tests/flows/test_fuzzing.py -s | tee $(SOAK)/fuzzing.txt
	$(BIN)/python -m tests.soak.ingest_kills --kills 1000 | tee $(SOAK)/ingest_kills.json
	$(BIN)/python -m tests.soak.rebuild_kills --kills 100 | tee $(SOAK)/rebuild_kills.json
	$(BIN)/python -m tests.soak.bounces | tee $(SOAK)/bounces.json
	$(BIN)/python -m tests.soak.chaos_table --keep $(SOAK)/chaos.jsonl | tee $(SOAK)/chaos.md

check: env
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache
