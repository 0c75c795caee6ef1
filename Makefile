# make demo    everything from nothing: environment, pack a small model for a Raspberry Pi 5, run it
# make test    the test suite
# make check   format, lint, types, layering, generated documents
# make oracle  compare with software that is not ours: transformers, llama.cpp's tools (downloads torch)
# make wheelhouse PROFILE=raspberrypi5  every wheel that device needs, to install it without network or compiler

PYTHON ?= python3
VENV ?= .venv
# Tests of terminals, servers and dying processes wait for conditions, but a machine can be too busy for any patience:
# what fails is tried once more, and the summary names it.
# `make oracle ORACLE_MARKS=` adds the comparisons on a model of a billion parameters: half an hour.
ORACLE_MARKS ?= not slow
# `make wheelhouse PROFILE=intel-n100 EXTRA=pack ACCELERATOR=1 OUTPUT=folder`; only PROFILE must be there.
PROFILE ?=
EXTRA ?=
ACCELERATOR ?=
OUTPUT ?=
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

# What the compiled module and the installed metadata depend on. Python files are used where they lie.
NATIVE := CMakeLists.txt pyproject.toml $(wildcard runtimes/edgellm_runtimes/native/* runtimes/edgellm_runtimes/native/sampling/*) $(wildcard converters/edgellm_converters/native/*)

.PHONY: help demo test check oracle wheelhouse docs clean

help:
	@sed -n 's/^# //p' Makefile | head -5

demo: $(STAMPS)/pack
	@$(BIN)/python tests/demo/demo.py

test: $(STAMPS)/dev
	@$(BIN)/python -m pytest -n auto -rsR --reruns 1

check: $(STAMPS)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m edgellm.cli.reference --check

docs: $(STAMPS)/dev
	$(BIN)/python -m edgellm.cli.reference

oracle: $(STAMPS)/oracle
	$(BIN)/python tests/oracle/build_tools.py
	$(BIN)/python tests/oracle/fetch_arm_python.py
	EDGELLM_REQUIRE_ORACLE=1 $(BIN)/python -m pytest tests/oracle -n 2 -rsR --reruns 1 -m "$(ORACLE_MARKS)"
	$(BIN)/python tests/packaging/make_wheelhouse.py build/wheelhouse
	EDGELLM_WHEELHOUSE=build/wheelhouse $(BIN)/python -m pytest tests/packaging/test_wheelhouse_install.py -rs

# Needs no compiled edgellm: on a small board the flags build of llama.cpp is then the only one.
wheelhouse: $(STAMPS)/venv
	$(if $(PROFILE),,$(error which device? make wheelhouse PROFILE=raspberrypi5))
	@$(BIN)/python -c 'import msgspec' 2>/dev/null || $(BIN)/python -m pip install --quiet 'msgspec>=0.19'
	@PYTHONPATH=src $(BIN)/python -m edgellm.deploy.wheelhouse --profile '$(PROFILE)' \
		$(if $(EXTRA),--extra '$(EXTRA)') $(if $(ACCELERATOR),--accelerator) $(if $(OUTPUT),--output '$(OUTPUT)')

$(STAMPS)/venv:
	@$(PYTHON) tests/demo/prerequisites.py
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/pack: $(STAMPS)/venv $(NATIVE)
	$(BIN)/python tests/demo/install.py '.[pack]'
	@touch $@

$(STAMPS)/dev: $(STAMPS)/pack
	$(BIN)/python tests/demo/install.py '.[dev]'
	@touch $@

$(STAMPS)/oracle: $(STAMPS)/dev
	$(BIN)/python tests/demo/install.py '.[oracle]'
	@touch $@

clean:
	rm -rf $(VENV) build .demo
