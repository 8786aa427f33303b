# Everything a developer runs. `make` alone lists it.
#
#   make test PYTHON=python3.13 VENV=.venv313     on another interpreter, in a venv of its own
#   make test JOBS=0                              in one process

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 4

BIN    := $(VENV)/bin
# Bytecode is made when a module is first imported: of what is installed here, the tests import a small part.
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --no-compile -qq
BASE   := $(VENV)/.ready-base
TEST   := $(VENV)/.ready-test
DOCS   := $(VENV)/.ready-docs
BENCH  := $(VENV)/.ready-bench

# A warning, such as one of a link that leads nowhere, is an error: mkdocs.yml is strict. ruff formats signatures.
BUILD_DOCS = PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

# The tests start hundreds of interpreters: without kept bytecode each would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-durable test check docs dist format bench bench-durable compare clean
.PHONY: check-source check-site

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV)"

venv: $(TEST)  ## set up a venv with everything the tests need (the other targets do it by themselves)

demo: $(BASE)  ## see the pool at work on real input, 10 to 20 seconds
	@$(BIN)/python examples/demo/pool.py $(ARGS)

demo-durable: $(BASE)  ## kill the worker of a durable queue half-way, and see that no job is lost
	@$(BIN)/python examples/demo/durable.py $(ARGS)

# Tests that `make check` runs; `make test` does not run them again.
CHECKS = tests/docs/test_reference.py tests/typing tests/tidy/test_words.py

# The tests are compiled beside the checks, once, and not by each of the processes that run them. The site is built
# beside the other checks: it takes as long as they do.
test: $(TEST) $(DOCS)  ## the checks, then all tests (ARGS="-k name" to choose)
	@$(BIN)/python -m pytest -qq --collect-only >/dev/null 2>&1 & $(MAKE) --no-print-directory check && wait
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(CHECKS:%=--ignore=%) $(ARGS)

check: $(TEST) $(DOCS)  ## lint, format, types (of examples and docs, too), import contracts, links, words
	@$(MAKE) --no-print-directory -j 2 check-source check-site

check-source: $(TEST) $(DOCS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q $(CHECKS)

check-site: $(TEST) $(DOCS)
	@$(BUILD_DOCS) --site-dir $(VENV)/site 2> $(VENV)/docs.log || { cat $(VENV)/docs.log; exit 1; }

docs: $(DOCS)  ## build the documentation into site/; open site/index.html
	$(BUILD_DOCS)

dist: $(BASE)  ## build wheel and sdist into dist/, and try both in an empty environment
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist
	$(BIN)/python -m tests.dist dist

format: $(TEST)  ## rewrite the files as `make check` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BENCH)  ## measure against the peers, side by side
	$(BIN)/python -m bench $(ARGS)

bench-durable: $(BENCH)  ## measure the durable queue against the raw engine and the peers
	$(BIN)/python -m bench durable postgres $(ARGS)
	$(BIN)/python -m bench limits $(ARGS)

compare: $(BENCH)  ## the crash and signal matrix against the peers, into docs/comparison.md
	$(BIN)/python -m bench.compare $(ARGS)

clean:  ## remove the venv and every cache
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache site dist

# Set-up happens when a requirements file changed, and never otherwise; with the pins already
# installed it needs no network.

$(BASE): pyproject.toml requirements/build.txt requirements/runtime.txt
	@echo "Setting up $(VENV) with $(PYTHON)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -r requirements/build.txt -r requirements/runtime.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

$(TEST): $(BASE) requirements/test.txt
	@echo "Adding what the tests need"
	@$(PIP) -r requirements/test.txt
	@-sh tests/durable/engine/postgres/get_pgbouncer.sh $(VENV)/pgbouncer
	@touch $@

$(DOCS): $(TEST) requirements/docs.txt
	@echo "Adding what the documentation needs"
	@$(PIP) -r requirements/docs.txt
	@touch $@

$(BENCH): $(BASE) requirements/bench.txt
	@echo "Adding the peers to measure against"
	@$(PIP) -r requirements/bench.txt
	@touch $@
