# Everything that Carryall needs to run and to be tested, from nothing but make and Python 3.11 or newer.
#
# PYTHON  the interpreter to begin with:     make test PYTHON=python3.13
# ARGS    passed on to the tool of a target: make serve ARGS="--port 9000"
# AT_ONCE how many tests run beside each other: make test AT_ONCE=0 runs them one by one

PYTHON ?= python3
ARGS ?=
AT_ONCE ?= 2
BIN := .venv/bin
UV := .tools/bin/uv
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help serve test check crash soak demo image-lint clean lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

serve: .venv/serve.stamp ## start the server; ARGS="--port 9000 --host 0.0.0.0"
	@$(BIN)/carryall serve $(ARGS)

test: .venv/test.stamp ## run every test but the long ones; ARGS="tests/layout -k sizes"
	@$(BIN)/pytest -n $(AT_ONCE) --dist loadfile $(ARGS)

check: .venv/test.stamp ## lint, format, types and floors, without running anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

crash: .venv/test.stamp ## kill the server again and again, for minutes
	@$(BIN)/pytest -m crash_long $(ARGS)

soak: .venv/test.stamp ## a thousand slow clients, ten thousand abandoned uploads, for minutes
	@$(BIN)/pytest -m long -s $(ARGS)

demo: .venv/serve.stamp ## start a server, upload through every surface, show the answers, stop
	@$(BIN)/python scripts/demo.py $(ARGS)

image-lint: .venv/test.stamp ## lint the Dockerfile
	$(BIN)/hadolint Dockerfile

clean: ## remove .venv, caches and built packages; never your data
	rm -rf .venv .tools build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

define check-python
@$(PYTHON) -c "" || { \
	echo "$(PYTHON) does not run. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"; exit 1; }
@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	echo "Carryall needs Python 3.11 or newer, and $(PYTHON) is older. Name another: make PYTHON=python3.13"; exit 1; }
@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { \
	echo "$(PYTHON) can't create environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
endef

# --- pins ---
# They stay as they are unless pyproject.toml asks for something else; ARGS=--upgrade renews them all. Compiled for every
# Python and platform at once, and without addresses: who installs chooses the index, the hashes choose the files.

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(UV) ## compile requirements/*.lock from pyproject.toml; ARGS=--upgrade
	$(COMPILE) pyproject.toml --extra gunicorn --extra rclone --group build --group test --output-file requirements/test.lock $(ARGS)
	$(COMPILE) pyproject.toml --constraint requirements/test.lock --output-file requirements/serve.lock
	$(COMPILE) --group build --constraint requirements/test.lock --output-file requirements/build.lock

$(UV):
	$(check-python)
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip --disable-pip-version-check --quiet install uv==0.13.8

# --- the environment ---
# A stamp is younger than what it was made from, so the second `make serve` starts at once. The project itself is
# installed without an index: its build backend comes from the pinned files, like everything else.

.venv/bin/pip:
	$(check-python)
	@echo "Creating .venv with $(PYTHON) ..."
	@$(PYTHON) -m venv .venv

.venv/serve.stamp: pyproject.toml requirements/build.lock requirements/serve.lock | .venv/bin/pip
	@echo "Installing what the server needs into .venv ..."
	@$(PIP) install --require-hashes -r requirements/build.lock -r requirements/serve.lock
	@$(PIP) install --no-deps --no-index --no-build-isolation --editable .
	@touch $@

.venv/test.stamp: pyproject.toml requirements/test.lock | .venv/bin/pip
	@echo "Installing what the server and its tests need into .venv ..."
	@$(PIP) install --require-hashes -r requirements/test.lock
	@$(PIP) install --no-deps --no-index --no-build-isolation --editable .
	@touch $@ .venv/serve.stamp
