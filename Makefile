# programDE: `make run` analyses the built-in screen and prints the path of the report; `make test`
# tests. Both first make .venv from the lock file, once. Everything else is listed by `make help`.

.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
PYTHON := $(BIN)/python
CODE := programde pipeline programde_project tests scripts benchmarks

# Stages find this project's interpreter; DVC and MLflow report to nobody.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.PHONY: help env requirements run data test quick test-oldest test-newest lint format deps bench global-null \
  lock docs dist ui push clean clean-sweeps

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 18

env: .venv/.made  ## the environment: .venv, from requirements.lock

.venv/.made: requirements.lock scripts/make_env.sh
	@sh scripts/make_env.sh

requirements: env  ## the same: install what is needed

run: env  ## analyse the screen that conf/ names; rerun only what changed
	@$(PYTHON) -m pipeline.run
	@echo "report: $(CURDIR)/reports/index.html"

data: env  ## the first stages only: read, check and transform the screen
	@$(PYTHON) -m pipeline.run prepare

test: env  ## the test suite
	@$(PYTHON) -m pytest -q

quick: env  ## of the suite what takes about a minute
	@$(PYTHON) -m pytest -q -m "not slow"

test-oldest: requirements/oldest.lock  ## the library's tests on the oldest versions that it admits
	@sh scripts/test_bounds.sh oldest

test-newest: requirements/newest.lock  ## ... and on the newest
	@sh scripts/test_bounds.sh newest

lint: env  ## style and types
	@ruff check $(wildcard $(CODE))
	@ruff format --check $(wildcard $(CODE))
	@mypy

format: env  ## put the code into its usual form
	@ruff check --fix --quiet $(wildcard $(CODE)) || true
	@ruff format --quiet $(wildcard $(CODE))

deps: env  ## name in dvc.yaml the code that each stage imports; after an edit of imports
	@$(PYTHON) scripts/stage_deps.py

bench: env  ## speed against a plain baseline
	@$(PYTHON) -m benchmarks

global-null: env  ## a screen without effects: is every p-value uniform? into reports/global_null
	@$(PYTHON) scripts/global_null.py

PORT ?= 5000
ui: env  ## compare runs in the browser: http://127.0.0.1:5000; make ui PORT=5001; TOKEN=1; SOCKET=dir/s
	@$(PYTHON) -m pipeline.sweep.ui --port $(PORT) $(if $(TOKEN),--token) $(if $(SOCKET),--socket "$(SOCKET)")

push: env  ## send what was computed, points of sweeps included, to the DVC remote
	@$(PYTHON) -m pipeline.sweep.repository

COMPILE := uv pip compile --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links --no-header --quiet
lock:  ## renew the lock files (needs uv)
	@$(COMPILE) --universal --python-version 3.11 requirements.in -o requirements.lock
	@$(COMPILE) --universal --python-version 3.11 requirements/dist.in -o requirements/dist.lock
	@$(COMPILE) --universal --python-version 3.11 requirements/docs.in -o requirements/docs.lock
	@$(COMPILE) --python-version 3.11 requirements/oldest.in -o requirements/oldest.lock
	@$(COMPILE) --python-version 3.13 requirements/newest.in -o requirements/newest.lock

docs:  ## the documentation, into build/docs
	@sh scripts/make_docs.sh

dist:  ## wheel and source archive, checked, into dist/
	@sh scripts/make_dist.sh

clean:  ## delete computed files; the DVC cache and the record of runs stay
	@rm -rf data reports/sweep build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find reports -mindepth 1 ! -name .gitkeep -delete
	@find programde pipeline tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

clean-sweeps: env  ## delete the workspaces of sweeps and say how much that freed
	@$(PYTHON) -m pipeline.sweep.workspace
