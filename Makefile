# The two commands are `make up` and `make test`; `make` alone lists the others.
# Output goes to ignored folders of this clone; built binaries to the user's cache.
STACK ?= dev
PYTHON ?= python3
# Folders or files. Those with the longest tests come first, to start first.
TESTS ?= tests/gates tests/stacks tests/contract tests/tools tests/unit
# Most of a test's time is waiting, so there are more workers than processors.
PYTEST = $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder
BIN := .venv/bin
# Without bytecode files, every process that a test starts would compile each module again.
export PYTHONDONTWRITEBYTECODE :=
# The manifest of the deployed stack counts, not the caller's.
unexport SECRETOPS_MANIFEST

.PHONY: help setup stack-file answerable up down preview live image sbom dist lambda docs bench test test-unit test-slow test-all gates mutants check format lint types contracts prose scan clean

help:
	@echo "make up         set up, deploy the stack $(STACK), rotate secrets, print the status"
	@echo "make down       stop the broker that make up started"
	@echo "make preview    show what make up changes, check the policies, estimate the cost"
	@echo "make live       prove a stack in an account, on a throwaway copy; write a report"
	@echo "make image      build the image of the launcher and the rotator"
	@echo "make sbom       list the contents of that image in dist/sbom.cdx.json"
	@echo "make lambda     build the package of the rotation functions of AWS"
	@echo "make dist       build a release in dist/release; RELEASE=v1.2.3 checks it"
	@echo "make bench      measure, and write docs/performance.md; PART=name: one part"
	@echo "make docs       write the generated pages, and build the site in .site/"
	@echo "make test       run the tests that need neither root nor Debian packages"
	@echo "make test-unit  run the fast tests, without processes or servers"
	@echo "make test-slow  run the others, which need built or installed parts, or minutes"
	@echo "make test-all   run make test, then make test-slow"
	@echo "make gates      run only the reliability gates, those of docs/reliability.md"
	@echo "make mutants    check that the tests notice each recorded mutant"
	@echo "make check      run the gate: lint, types, contracts, prose, test"
	@echo "make prose      check the English of pages, comments, docstrings and messages"
	@echo "make format     format the code"
	@echo "make scan       look for secrets in the files and in the git history"
	@echo "make clean      remove tools and caches; keep state and values"
	@echo "STACK=name selects another stack, PYTHON=python3.12 another Python."
	@echo "YES=1 makes make up STACK=name deploy without a prompt, as in CI."

setup:
	@$(PYTHON) tools/setup.py --stack $(STACK) $(CHECKS) $(DEPLOYS)

# Errors of the stack file are printed before anything is built, which takes minutes.
up preview live: CHECKS := --check
# A stack of a cloud must not be deployed with a stand-in provider.
up live: DEPLOYS := --deploys

# The salt in Pulumi.dev.yaml is that of the empty passphrase (docs/adr/0001). No other passphrase opens this stack.
ifeq ($(STACK),dev)
up preview: export PULUMI_CONFIG_PASSPHRASE :=
endif

stack-file:
	@[ -f Pulumi.$(STACK).yaml ] || { { \
	  echo "Pulumi.$(STACK).yaml does not exist; existing stack files:" Pulumi.*.yaml; \
	  echo "-> run make with STACK= and one of these, or copy a file of examples/ to Pulumi.$(STACK).yaml"; \
	  } | fold -s -w 80 >&2; exit 2; }

# Pulumi's own error does not name YES=1. Pulumi prompts if stdin and stdout are a terminal, unless its variable is set.
answerable: stack-file
ifneq ($(STACK),dev)
	@{ [ -t 0 ] && [ -t 1 ]; } || [ -n "$(YES)$$PULUMI_SKIP_CONFIRMATIONS" ] || { \
	  echo "make up STACK=$(STACK): no terminal for the confirmation" >&2; \
	  echo "a stack other than dev must be confirmed before it is changed" >&2; \
	  echo "-> check the output of make preview STACK=$(STACK)," >&2; \
	  echo "   then run make up STACK=$(STACK) YES=1" >&2; exit 2; }
endif

up: answerable setup
	@$(BIN)/pulumi stack select --create $(STACK)
ifeq ($(STACK),dev)
	@$(BIN)/pulumi up --yes --skip-preview --policy-pack policies --suppress-outputs --stack $(STACK)
	@$(BIN)/secretops broker start --stack $(STACK)
	@$(BIN)/secretops tick --stack $(STACK) || [ $$? -eq 3 ]  # action needed, which status shows
	@$(BIN)/secretops status --stack $(STACK) || [ $$? -eq 3 ]
else
	@$(BIN)/pulumi up --policy-pack policies --suppress-outputs $(if $(YES),--yes) --stack $(STACK)
	@$(BIN)/pulumi stack output next --stack $(STACK) | awk '{ gsub(/, then /, "\n  then "); print "next: " $$0 }'
endif

down:
	@if [ -x $(BIN)/secretops ]; then $(BIN)/secretops broker stop --stack $(STACK); \
	  else echo "nothing to stop: this clone is not set up, so no broker runs"; fi

preview: stack-file setup
	@$(BIN)/pulumi stack select --create $(STACK)
	@$(BIN)/pulumi preview --policy-pack policies --suppress-outputs --stack $(STACK)

# CLEAN=1 only cleans up. Values come from standard input. docs/operations/live.md has the other variables.
live: stack-file setup
	@$(BIN)/python -m tools.live $(STACK)

TAG ?= coreflux-mcp
DOCKER ?= docker

# UPSTREAM=FOLDER copies the server from there instead of cloning it. PYTHON_IMAGE=NAME@DIGEST pins the base image.
image:
	@rm -rf .tools/server
	@$(if $(UPSTREAM),mkdir -p .tools/server && cp $(sort $(UPSTREAM)/server.py $(wildcard $(UPSTREAM)/*.py $(UPSTREAM)/LICENSE)) .tools/server/)
	@$(DOCKER) build --tag $(TAG) --build-arg REVISION=$$(git describe --always --dirty --abbrev=40 --exclude '*') \
		$(if $(UPSTREAM),--build-arg UPSTREAM=.tools/server) \
		$(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) .

# Reads the image TAG, which make image has built, and changes nothing in it.
sbom: setup
	@DOCKER=$(DOCKER) $(BIN)/python -m tools.sbom $(TAG)

# RELEASE=v1.2.3: version and changelog must agree with that tag.
dist: setup
	@$(BIN)/python -m tools.release $(RELEASE)

lambda: setup
	@$(BIN)/python -m components.aws.lambda_package

# mkdocs' hint at its successor is for maintainers of this file, not for authors of pages.
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

# A shell may still export the name of a removed stack. Then the broker of dev is stopped.
clean:
	@[ ! -x $(BIN)/secretops ] || $(BIN)/secretops broker stop --stack $(STACK) || \
	  { [ $$? -eq 2 ] && echo "make clean: stopping the broker of dev instead" >&2 && \
	    $(BIN)/secretops broker stop --stack dev; }
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
