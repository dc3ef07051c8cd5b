# Two commands do all: `make demo` shows the main job, `make test` passes the tests. Each makes the environment first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
UV     := 0.13.9
# The machine's own certificates, where it has some: a proxy may have added one.
CERTS  := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),--system-certs)
ARGS   ?=

.PHONY: help demo up load test invariants check format pages hooks clean environment

help:
	@echo "make demo [ARGS=…]   a whole Tocsin on this machine, and a wearer who approaches (ARGS=--help for more)"
	@echo "make up              Tocsin on the embedded servers until Ctrl-C"
	@echo "make load [ARGS=…]   alerts under load, and whether they stay in budget (SHAPE=ramp|spike|reconnect)"
	@echo "make test [ARGS=…]   all tests, against real servers"
	@echo "make invariants      which tests hold which invariant of the domain"
	@echo "make check           format, lint, types, import rules"
	@echo "make pages           print again what the docs take from the code"
	@echo "make hooks           look at every commit before it is made (pre-commit)"
	@echo "make clean           remove the environment and what runs have left"

environment: $(VENV)/ready

# From the lock file alone. A new lock file makes a new environment.
$(VENV)/ready: pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "python3.11 is missing.  Debian: apt-get install python3.11 python3.11-venv   Fedora: dnf install python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11.  Say which to use: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv.  Debian: apt-get install python3.11-venv"; exit 1; }
	@echo "setting up $(VENV) from uv.lock"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@$(BIN)/uv sync --locked --all-extras --inexact $(CERTS)
	@touch $@

demo: environment
	@$(BIN)/tocsin demo $(ARGS)

up: environment
	@$(BIN)/tocsin up $(ARGS)

load: environment
	@$(BIN)/python -m loadtests $(ARGS)

# What needs no server runs on all cores. Of what starts servers two files at a time, of whole systems one.
test: environment
ifeq ($(strip $(ARGS)),)
	@$(BIN)/python -m pytest -n auto tests/unit tests/properties
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/contracts tests/integration tests/acceptance
else
	@$(BIN)/python -m pytest $(ARGS)
endif

invariants: environment
	@$(BIN)/python tests/invariants.py

check: environment
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: environment
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

pages: environment
	$(BIN)/python -m alerts.catalogue.page docs/alerts.md
	$(BIN)/python -m alerts.channels.published > docs/schemas/alert-event-1.json

hooks: environment
	$(BIN)/pre-commit install

clean:
	rm -rf $(VENV) .tocsin .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
