# The two commands are `make up` and `make test`; `make` alone says the rest.
# Everything made here lies in ignored folders of this clone; built binaries in the user's cache.
STACK ?= dev
PYTHON ?= python3
# Folders or files; those with the longest tests start first.
TESTS ?= tests/gates tests/stacks tests/contract tests/tools tests/unit
# Most of a test's time is waiting, so there are more workers than processors.
PYTEST = $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder
BIN := .venv/bin
# Each of the many processes of a test would compile every module again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup stack-file answerable up down preview live image sbom lambda docs bench test test-unit test-slow test-all gates mutants check format lint types contracts prose scan clean

help:
	@echo "make up         set up, deploy the stack $(STACK), rotate what is due, show the status"
	@echo "make down       stop what make up started"
	@echo "make preview    what a make up would change, judged by policies/, and what it costs"
	@echo "make live       prove a stack in your account: a throwaway copy, then a report"
	@echo "make image      one image for the launcher and the rotator"
	@echo "make sbom       what that image holds, dist/sbom.cdx.json"
	@echo "make lambda     the package of the rotation functions, for a stack of AWS"
	@echo "make bench      measure, and write docs/performance.md; PART=name takes one part"
	@echo "make docs       write the generated pages anew, and all of them as a site, .site/"
	@echo "make test       tests of every platform, without root and without Debian packages"
	@echo "make test-unit  mocks and pure functions: while you change a component"
	@echo "make test-slow  the rest: what needs built or installed parts, or minutes"
	@echo "make test-all   make test, then make test-slow"
	@echo "make gates      the reliability gates alone, those of docs/reliability.md"
	@echo "make mutants    check that the tests notice each recorded mutant"
	@echo "make check      the gate: lint, types, contracts, prose, test"
	@echo "make prose      check the English of pages, docstrings and messages"
	@echo "make format     format the code"
	@echo "make scan       look for secrets in the files and in the git history"
	@echo "make clean      remove tools and caches; state and values stay"
	@echo "STACK=name takes another stack, PYTHON=python3.12 another Python;"
	@echo "YES=1 lets make up STACK=name go on without a question, as in CI."

setup:
	@$(PYTHON) tools/setup.py --stack $(STACK) $(CHECKS) $(DEPLOYS)

# What is wrong with the stack file is printed before anything is built, which takes minutes.
up preview live: CHECKS := --check
# A stack of a cloud is not deployed on a stand-in for its provider.
up live: DEPLOYS := --deploys

# The salt in Pulumi.dev.yaml is that of the empty passphrase (docs/adr/0001): no other opens this stack, on any backend.
ifeq ($(STACK),dev)
up preview: export PULUMI_CONFIG_PASSPHRASE :=
endif

stack-file:
	@[ -f Pulumi.$(STACK).yaml ] || { echo "there is no Pulumi.$(STACK).yaml; there are:" Pulumi.*.yaml >&2; \
	  echo "-> name one of them with STACK=, or write it, like those of examples/" >&2; exit 2; }

# Pulumi's own refusal has no option of make's. It asks where both are a terminal, unless a variable of its own says not.
answerable: stack-file
ifneq ($(STACK),dev)
	@{ [ -t 0 ] && [ -t 1 ]; } || [ -n "$(YES)$$PULUMI_SKIP_CONFIRMATIONS" ] || { \
	  echo "make up STACK=$(STACK): no terminal to answer at" >&2; \
	  echo "a stack other than dev is changed once somebody has said yes" >&2; \
	  echo "-> read what make preview STACK=$(STACK) shows, then make up STACK=$(STACK) YES=1" >&2; exit 2; }
endif

up: answerable setup
	@$(BIN)/pulumi stack select --create $(STACK)
ifeq ($(STACK),dev)
	@$(BIN)/pulumi up --yes --skip-preview --policy-pack policies --suppress-outputs --stack $(STACK)
	@$(BIN)/python -m tools.after_up $(STACK)
else
	@$(BIN)/pulumi up --policy-pack policies --suppress-outputs $(if $(YES),--yes) --stack $(STACK)
	@echo "next: $$($(BIN)/pulumi stack output next --stack $(STACK))"
endif

down:
	@if [ -x $(BIN)/secretops ]; then $(BIN)/secretops broker stop --stack $(STACK); fi

preview: stack-file setup
	@$(BIN)/pulumi stack select --create $(STACK)
	@$(BIN)/pulumi preview --policy-pack policies --suppress-outputs --stack $(STACK)

# CLEAN=1 only cleans up. Values come from standard input. docs/operations/live.md has the other variables.
live: stack-file setup
	@$(BIN)/python -m tools.live $(STACK)

TAG ?= coreflux-mcp
DOCKER ?= docker

# UPSTREAM=FOLDER takes the server from there instead of cloning it; PYTHON_IMAGE=NAME@DIGEST pins the base.
image:
	@rm -rf .tools/server
	@$(if $(UPSTREAM),mkdir -p .tools/server && cp $(sort $(UPSTREAM)/server.py $(wildcard $(UPSTREAM)/*.py $(UPSTREAM)/LICENSE)) .tools/server/)
	@$(DOCKER) build --tag $(TAG) --build-arg REVISION=$$(git describe --always --dirty --abbrev=40 --exclude '*') \
		$(if $(UPSTREAM),--build-arg UPSTREAM=.tools/server) \
		$(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) .

# Of the image TAG, which make image has made: nothing is put into it.
sbom: setup
	@DOCKER=$(DOCKER) $(BIN)/python -m tools.sbom $(TAG)

lambda: setup
	@$(BIN)/python -m components.aws.lambda_package

# The hint at mkdocs' successor is for whoever keeps this file, and not for whoever reads the pages.
docs: setup
	@$(BIN)/python -m tools.pages
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "written: .site/index.html"

bench:
	@$(PYTHON) -m bench --check $(PART)
	@$(PYTHON) tools/setup.py --parts
	@$(BIN)/python -m bench $(PART)

test: setup
	@$(PYTEST) -m "not slow" $(TESTS)

test-unit: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not real and not slow" $(TESTS)

test-slow:
	@$(PYTHON) tools/setup.py --parts
	@$(PYTEST) -m slow $(TESTS)

test-all: test test-slow

gates:
	@$(PYTHON) tools/setup.py --parts
	@$(PYTEST) $$($(BIN)/python -m tests.gates.table)

mutants: setup
	@$(BIN)/python -m tests.mutants

check: lint types contracts prose test

format: setup
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

lint: setup
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check

types: setup
	@$(BIN)/mypy

contracts: setup
	@$(BIN)/lint-imports

prose: setup
	@$(BIN)/python -m tools.prose

scan: setup
	@$(BIN)/python tools/scan.py

clean: down
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
