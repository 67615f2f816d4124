# Crossroads. `make help` lists what there is to do.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) UV_LINK_MODE=copy $(BIN)/uv pip
COMPILE = $(UV) compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --upgrade

# Where Python may not keep what it compiled, every start takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve test check quick collected coverage faults bench bench-long format screenshots lock clean

help: ## List what make can do
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

serve: $(VENV)/run ## Run the whole product on this machine: site, worker, mailbox
	@$(BIN)/flask up

test: $(VENV)/dev ## Run all tests, many on one of the two databases in turn (needs Chromium: apt-get install chromium-headless-shell)
	@ONE_DATABASE=1 $(BIN)/pytest -n auto --dist worksteal $(ARGS)

check: ## Check all that CI checks: what is quick, then all tests
	@$(MAKE) --no-print-directory --jobs 2 quick collected
	@$(MAKE) --no-print-directory test

quick: $(VENV)/dev $(VENV)/imports/made ## Lint, format, types, import rule and wording, without tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m tests.support.wording
	@PYTHONPATH=site:. $(VENV)/imports/bin/lint-imports
	@$(BIN)/mypy

# Compiles the tests once, beside the linters, where each test process would compile all of them.
collected: $(VENV)/dev ## Find and compile all tests, and run none
	@$(BIN)/pytest --collect-only -q > /dev/null

coverage: $(VENV)/dev ## Run all tests and hold the lines and branches that they reach to a floor
	@$(BIN)/pytest -n auto --dist worksteal --cov --cov-report=term $(ARGS)

faults: $(VENV)/dev ## Kill, cut and starve the running product; takes a few minutes (needs LibreOffice: apt-get install libreoffice-calc)
	@$(BIN)/pytest -n 2 tests/faults
	@WHOLE_WALKS=1 $(BIN)/pytest -n 2 -m walk

bench: $(VENV)/dev ## Measure the site against its limits (needs wrk: apt-get install wrk)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-long: $(VENV)/dev ## Measure how its cost grows, and what hundreds of thousands of requests do
	@$(BIN)/python -m tests.benchmarks.long $(ARGS)

format: $(VENV)/dev ## Put the code into its standard form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

screenshots: $(VENV)/dev ## Take the pictures of README.md again (needs Chromium)
	@$(BIN)/python -m tests.browser.screenshots

lock: $(VENV)/uv ## Bring requirements*.lock to the newest versions that pyproject.toml allows
	@printf 'editables\nhatchling\nuv\n' | $(COMPILE) pyproject.toml - --output-file requirements.lock
	@printf 'editables\nhatchling\nuv\n' | $(COMPILE) --extra dev --constraint requirements.lock \
		pyproject.toml - --output-file requirements-dev.lock
	@printf 'import-linter\n' | $(COMPILE) - --output-file requirements-imports.lock

clean: ## Remove the environment and caches; instance/ stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# The environment is made from the hash locks on first use and re-used until a lock changes.
$(VENV)/uv: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Crossroads needs Python 3.11 or newer: make PYTHON=/path/to/python3.11'; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo 'Python cannot make a virtual environment: on Debian, apt-get install python3-venv'; \
		  rm -rf $(VENV); exit 1; }
	@awk '/^[^ ]/ { uv = /^uv==/ } uv' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		--requirement $(VENV)/uv.txt
	@touch $@

$(VENV)/run: $(VENV)/uv requirements.lock pyproject.toml site/crossroads/version.py
	@$(UV) install --quiet --require-hashes --requirement requirements.lock
	@$(UV) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.lock
	@$(UV) install --quiet --require-hashes --requirement requirements-dev.lock
	@touch $@

# Apart from the rest: what it needs (rich) would change what structlog writes in development.
$(VENV)/imports/made: $(VENV)/uv requirements-imports.lock
	@$(BIN)/uv venv --quiet --clear $(VENV)/imports
	@VIRTUAL_ENV=$(CURDIR)/$(VENV)/imports UV_LINK_MODE=copy $(BIN)/uv pip install --quiet \
		--require-hashes --requirement requirements-imports.lock
	@touch $@
