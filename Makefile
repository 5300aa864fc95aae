# Two commands set everything up themselves: `make compare` and `make test`.
# PYTHON may name another interpreter of version 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help compare test lint types tests torch nightly mutants rliable clean

help:
	@echo "make compare   the quick comparison (ARGS='--runs 10' adds flags)"
	@echo "make test      lint, types and tests"
	@echo "make torch     the extras torch and bo, and the tests that need them"
	@echo "make nightly   the long tests too"
	@echo "make rliable   our statistics beside rliable's own code, in an environment with pandas < 3"

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "policysearch needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing policysearch into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

compare: .venv/ready
	@$(BIN)/python -m policysearch.compare $(ARGS)

test: lint types tests

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/ready
	$(BIN)/mypy

tests: .venv/ready
	$(BIN)/pytest -n 2

torch: .venv/torch
	$(BIN)/pytest tests/autodiff
	$(BIN)/pytest tests/optimizers/test_contract.py -k bayesian

.venv/torch: .venv/ready
	@echo "installing torch and optuna into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,bo]'
	@touch $@

nightly: .venv/ready
	$(BIN)/pytest -n 2 -m "nightly or not nightly"

mutants: .venv/ready
	$(BIN)/pytest -n 2 -m nightly tests/test_mutants.py

rliable: .venv-rliable/ready
	.venv-rliable/bin/pytest -q tests/rliable_oracle.py

.venv-rliable/ready: pyproject.toml
	$(PYTHON) -m venv .venv-rliable
	.venv-rliable/bin/python -m pip install --quiet --disable-pip-version-check -e . 'pandas<3' rliable \
	  beartype hypothesis pytest
	@touch $@

clean:
	rm -rf .venv .venv-rliable
