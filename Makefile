# Two commands set everything up themselves: `make compare` and `make test`.
# PYTHON may name another interpreter of version 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
# What pytest and Python compile is kept, also where a user's shell says otherwise: it is a third of the collection.
unexport PYTHONDONTWRITEBYTECODE

# The parts of the tests: folders and files. What stands in none of them belongs to `make test`.
# What a user asks of the engine: a tuning, a gradient by experiment, a policy to deploy.
TUNE := tests/tune tests/estimates tests/asking tests/deploy
# Robots and people.
LAB := tests/aibo tests/exoskeleton tests/hitl
CONSOLE := tests/watch
# Processes, on this machine and on others, and what is left when they end.
ENGINE := tests/engines tests/evaluators/test_pool.py tests/evaluators/test_workers.py tests/test_wire.py \
  tests/test_closing.py tests/compare/test_interrupted.py tests/compare/test_session.py tests/test_ledger.py \
  tests/test_ledger_faults.py
TORCH := tests/autodiff
DOCS := tests/test_pages.py tests/test_notebooks.py tests/test_readme.py tests/test_docs.py tests/test_results.py \
  tests/experiments
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist worksteal
WORKERS := 2
# Many of these tests wait for processes.
lab engine: WORKERS := 3

.PHONY: help compare check test lint types tests tune lab console engine torch nightly mutants kills recipes rliable \
  otherpython thirdparty docs site docs-outputs clean

help:
	@echo "make compare   the quick comparison (ARGS='--runs 10' adds flags)"
	@echo "make check     all of the next seven, one after the other, as the gate does"
	@echo "make test      lint, types and the tests of the package"
	@echo "make tune      the tests of tuning, of gradients by experiment, and of policies that are deployed"
	@echo "make lab       the tests of robots and of sessions with people"
	@echo "make console   the pages of sessions and studies, in a browser where there is one (chromium, or CHROMIUM)"
	@echo "make engine    the tests of processes, on several machines too, and of what continues after their end"
	@echo "make torch     the extras torch and bo, and the tests that need them"
	@echo "make docs      the tests of what the pages say, and the site"
	@echo "make site      the documentation as a site in site/; read site/index.html in a browser"
	@echo "make docs-outputs   run the blocks of all pages and write what they print (PAGES='docs/a.md' names some)"
	@echo "make kills     2,000 kills of commands at random times, continued where it was stopped"
	@echo "make nightly   the long tests too, in parts: those that this commit has passed are not run again"
	@echo "make mutants   every planted bug of tests/mutants.md, in parts as well"
	@echo "               (PART=3/8 runs one part, PARTS=20 makes more of them)"
	@echo "make recipes   comparisons on Ray and MPI too, in an environment that has them"
	@echo "make rliable   our statistics compared with rliable's own code, in an environment with pandas < 3"
	@echo "make otherpython   studies of this Python continued by another (OTHER=python3.13), and back"
	@echo "make thirdparty   environments and plants of other packages, in an environment that has them"

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "policysearch needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing policysearch into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

compare: .venv/ready
	@$(BIN)/python -m policysearch.compare $(ARGS)

# Each part takes less than five minutes on two processors.
check: .venv/ready
	@set -e; for part in test tune lab console engine torch docs; do $(MAKE) --no-print-directory $$part; done

# Types need one processor for as long as the first tests need the other.
test: lint
	@$(MAKE) --no-print-directory -j 2 types tests

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/ready
	$(BIN)/mypy

tests: .venv/ready
	$(PYTEST) tests $(addprefix --ignore=,$(TUNE) $(LAB) $(CONSOLE) $(ENGINE) $(TORCH) $(DOCS))

tune: .venv/ready
	$(PYTEST) $(TUNE)

lab: .venv/ready
	$(PYTEST) $(LAB)

console: .venv/ready
	$(PYTEST) $(CONSOLE)

engine: .venv/dask
	$(PYTEST) $(ENGINE)

.venv/dask: .venv/ready
	@echo "installing Dask into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dask]'
	@touch $@

torch: .venv/torch
	$(PYTEST) $(TORCH)
	$(PYTEST) -k bayesian tests/optimizers tests/test_ask_tell.py

.venv/torch: .venv/ready
	@echo "installing torch and optuna into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,bo]'
	@touch $@

docs: site
	$(PYTEST) $(DOCS)

# Why Sphinx: see docs/conf.py. Warnings, and links to pages or headings that do not exist, are errors.
site: .venv/docs
	$(BIN)/python -m sphinx -W --keep-going -q -E -a -b html -d build/doctrees docs site
	@echo "wrote site/index.html"

# What the blocks of pages print, and pictures that they draw, are written into the pages again.
docs-outputs: .venv/ready
	$(BIN)/python tests/pages.py $(PAGES)
	$(BIN)/python tests/notebooks.py

.venv/notebooks: .venv/ready
	@echo "installing what runs the notebooks into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	@touch $@

.venv/docs: .venv/ready
	@echo "installing what builds the pages into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# A part is a share of the tests by the hash of their names (see tests/conftest.py). That it has passed is a file named
# after the commit; with uncommitted changes nothing is remembered.
nightly: .venv/notebooks
PARTS ?= 8
COMMIT := $(shell git diff --quiet HEAD 2>/dev/null && git rev-parse --short HEAD)
nightly mutants: .venv/ready
ifdef PART
	@set -e; passed=.nightly/$(COMMIT)-$@-$(subst /,-of-,$(PART)); \
	if test -n "$(COMMIT)" -a -e $$passed; then echo "$@ $(PART): passed by $(COMMIT)"; exit 0; fi; \
	$(PYTEST) --part $(PART) $(WHAT_$@); \
	if test -n "$(COMMIT)"; then mkdir -p .nightly; touch $$passed; fi
else
	@set -e; for i in $$(seq $(PARTS)); do $(MAKE) --no-print-directory $@ PART=$$i/$(PARTS); done
endif

WHAT_nightly := --all-types -m "nightly or not nightly" --deselect tests/test_mutants.py::test_the_planted_bug_is_killed
WHAT_mutants := -m nightly tests/test_mutants.py

# Runs of which a command is killed up to three times each; those that this commit has made are not made again.
kills: .venv/ready
	PYTHONPATH=.:tests $(BIN)/python tests/crash_random.py 0 1000 .nightly/kills-$(COMMIT)

# Engines that are not in the extras, by their recipes.
recipes: .venv-recipes/ready
	.venv-recipes/bin/pytest -q -m nightly tests/engines/test_recipes.py

.venv-recipes/ready: pyproject.toml tests/engines/requirements.txt
	$(PYTHON) -m venv .venv-recipes
	.venv-recipes/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dask]' \
	  -r tests/engines/requirements.txt
	@touch $@

rliable: .venv-rliable/ready
	.venv-rliable/bin/pytest -q tests/rliable_oracle.py

.venv-rliable/ready: pyproject.toml
	$(PYTHON) -m venv .venv-rliable
	.venv-rliable/bin/python -m pip install --quiet --disable-pip-version-check -e . 'pandas<3' rliable \
	  beartype hypothesis pytest
	@touch $@

# Another minor version of Python, in an environment with the same versions of everything else.
OTHER ?= python3.12
otherpython: .venv/ready .venv-$(OTHER)/ready
	OTHER_PYTHON=.venv-$(OTHER)/bin/python $(BIN)/pytest -q -m nightly tests/test_other_python.py

.venv-$(OTHER)/ready: pyproject.toml constraints.txt
	$(OTHER) -m venv .venv-$(OTHER)
	.venv-$(OTHER)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# What these packages warn of is not ours to mend.
thirdparty: .venv-thirdparty/ready
	.venv-thirdparty/bin/pytest -q -W ignore tests/thirdparty/plants.py tests/thirdparty/environments.py

.venv-thirdparty/ready: pyproject.toml tests/thirdparty/requirements.txt
	$(PYTHON) -m venv .venv-thirdparty
	.venv-thirdparty/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . \
	  -r tests/thirdparty/requirements.txt
	@touch $@

clean:
	rm -rf .venv .venv-recipes .venv-rliable .venv-thirdparty .venv-python* .nightly build/doctrees site
