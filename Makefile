# Every job of the repository. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PYTEST := $(BIN)/python -m pytest
# The tests start hundreds of processes, and compiling all anew is most of what a short one does.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo examples test lint format types bench parity skipping sweep simulate mutants wheel docs clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Perdure needs Python 3.11 or newer: make setup PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP)  ## Make .venv with everything that development needs

demo: $(STAMP)  ## Run 240 orders through two server crashes and a worker crash
	$(BIN)/python -m examples.orders.demo

examples: $(STAMP)  ## Play all examples, or ONLY=name (ADDRESS=host:port of another server)
	$(BIN)/python -m examples $(ONLY) $(if $(ADDRESS),--address $(ADDRESS))

test: $(STAMP)  ## Run the tests
	$(PYTEST) -q -n 2 --dist loadfile

lint: $(STAMP)  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## Put style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)  ## Check types
	$(BIN)/mypy

bench: $(STAMP)  ## Measure speed, next to the reference server when REFERENCE_BIN=path of its program is given
	$(BIN)/python -m bench.run

parity: $(STAMP)  ## Compare with the reference at REFERENCE=host:port (PERDURE=host:port, ONLY=family, JSON=1)
	@test -n "$(REFERENCE)" || { echo "make parity needs REFERENCE=host:port of a running Temporal server."; exit 1; }
	@$(BIN)/python -m parity --reference $(REFERENCE) $(if $(PERDURE),--perdure $(PERDURE)) $(addprefix --only ,$(ONLY)) $(if $(JSON),--json)

skipping: $(STAMP)  ## Run the Python SDK's own time-skipping tests on Perdure: SDK_PYTHON=path of its sources
	@test -f "$(SDK_PYTHON)/tests/testing/test_workflow.py" || { echo "make skipping needs SDK_PYTHON=/path/to/sdk-python, a checkout of the SDK's sources."; exit 1; }
	PERDURE_SDK_PYTHON=$(abspath $(SDK_PYTHON)) $(PYTEST) -q tests/acceptance/test_skipping_sdks.py -k python_sdk

sweep: $(STAMP)  ## Run the crash, power-cut, load and fault-matrix tests at their full size (an hour)
	PERDURE_SWEEP=1 $(PYTEST) -q --timeout=0 tests/acceptance tests/storage
	PERDURE_SWEEP=1 $(PYTEST) -q --timeout=0 -n 2 --dist loadfile tests/patterns

simulate: $(STAMP)  ## Live through simulated crashes for 20 minutes (SEEDS=A..B, MINUTES)
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),0..1000000) --minutes $(or $(MINUTES),20) --jobs 2 --covered

mutants: $(STAMP)  ## Show that the simulation finds each planted bug
	$(BIN)/python -m tests.simulation.mutants --write

wheel: $(STAMP)  ## Build the wheel and try it in an empty environment
	rm -rf dist build/wheel-venv
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/wheel-venv
	build/wheel-venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build && wheel-venv/bin/perdure version
	cd build && wheel-venv/bin/python -c 'import perdure, perdure.config, perdure.cli; print("imports", perdure.__version__)'

docs: $(STAMP)  ## Write docs/API.md and the tables of docs/OPERATIONS.md from the code
	$(BIN)/python -m docs.generate

clean:  ## Remove what was built; .venv too
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
