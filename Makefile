# `make` sets everything up and runs the main job; `make test` sets up, checks and tests.
# Needs Python 3.11 or later, git and make. Everything is installed into .venv, nothing elsewhere.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# What an install depends on. fastpath.c is the optional native library, built in place.
INPUTS := pyproject.toml setup.py bootstrap/__init__.py $(wildcard bootstrap/*/*.c)
# Removed before each install: where the compiler fails, an old one must not be taken for the new.
LIBRARY := bootstrap/*/_*.so bootstrap/*/_*.pyd
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
SAY_HOT_PATH := $(BIN)/python -c 'from glob import glob; \
  print("Native fast path:", *glob("bootstrap/instruments/_fastpath*.so") or ["not built (no C compiler?); the Python path is used"])'

.DEFAULT_GOAL := verify
.DELETE_ON_ERROR:
.PHONY: verify setup test test-root test-all check lint unit fuzz bench docs pictures wheel dist sbom install uninstall clean

verify: setup
	@$(BIN)/bootstrap verify --fallback embedded || { status=$$?; [ $$status -eq 4 ] || exit $$status; \
	  echo "make: verified: the embedded sources (x86, hex0 to M0). NOT verified: stage0-posix, which could not be downloaded."; \
	  echo "      To verify it: $(BIN)/bootstrap fetch stage0-posix --from PATH (an archive or a checkout), then make"; }

setup: $(VENV)/installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' is not Python 3.11 or later (it says: $$($(PYTHON) --version 2>&1 | head -n 1))."; \
	  echo "      Name one that is: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making a virtual environment in $(VENV) ($$($(PYTHON) --version))"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: '$(PYTHON) -m venv' failed; on Debian and Ubuntu, install python3-venv first."; exit 1; }

$(VENV)/installed: $(BIN)/python $(INPUTS)
	@echo "Installing bootstrap-emulator and what it needs"
	@rm -f $(LIBRARY)
	@$(PIP) install --editable .
	@$(SAY_HOT_PATH)
	@touch $@

$(VENV)/installed-test: $(BIN)/python $(INPUTS)
	@echo "Installing bootstrap-emulator, what it needs, and what the checks and tests need"
	@rm -f $(LIBRARY)
	@$(PIP) install --editable '.[test,dev]'
	@$(SAY_HOT_PATH)
	@touch $(VENV)/installed $@

# pytest last, so that its closing line is the last line.
test: lint unit

lint: $(VENV)/installed-test
	@echo "ruff check:   $$($(BIN)/ruff --version)"
	@$(BIN)/ruff check --quiet .
	@echo "ruff format:  checked, not changed; '$(BIN)/ruff format' changes"
	@$(BIN)/ruff format --quiet --check . || { $(BIN)/ruff format --check .; exit 1; }
	@echo "mypy:         strict"
	@$(BIN)/mypy
	@echo "lint-imports: the contract of docs/architecture.md"
	@$(BIN)/lint-imports >$(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }
	@tail -n 2 $(VENV)/lint-imports.log

unit: $(VENV)/installed-test
	@$(BIN)/python -m pytest -q -n 2 --maxschedchunk 1

# What only root can do: mount a full disk, run guests in a root directory of their own.
test-root: $(VENV)/installed-test
	@$(BIN)/python -m pytest -q -n 2 --maxschedchunk 1 -m 'root and not exhaustive and not fuzz'

# The suite on each Python that is installed, each in an environment of its own.
PYTHONS ?= python3.11 python3.12 python3.13
test-all:
	@for python in $(PYTHONS); do \
	  if command -v "$$python" >/dev/null; then \
	    echo "== $$python: $$("$$python" --version)"; \
	    $(MAKE) --no-print-directory test PYTHON="$$python" VENV=".venv-$$(basename "$$python")" || exit 1; \
	  else echo "== $$python: not installed"; fi; \
	done

# So many random programs of system calls for each ABI, on this machine's kernel and emulated.
N ?= 5000
fuzz: $(VENV)/installed-test
	@$(BIN)/python -m tests.fuzz $(N) $(if $(SEED),--seed $(SEED))

bench: $(VENV)/installed-test
	@$(BIN)/python -m tests.bench

# The documentation as a site, offline: site/index.html.
docs: $(BIN)/python
	@$(PIP) install --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict 2>$(VENV)/docs.log || { cat $(VENV)/docs.log; exit 1; }
	@echo "site/index.html"

# The pictures of README and docs/, from the real program; TRACE=x86.trace (of a whole release) for the chain.
pictures: $(VENV)/installed-test
	@$(BIN)/python -m tests.pictures docs/pictures $(TRACE)

wheel: setup
	@rm -f dist/bootstrap_emulator-*.whl
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

# The same bytes from the same commit, wherever and whenever: the times in them are the commit's.
EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)
dist: $(VENV)/installed-test
	@rm -rf dist/*.whl dist/*.tar.gz
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$(EPOCH)} $(BIN)/python -c 'import setuptools.build_meta as b; \
	  b.build_sdist("dist"); b.build_wheel("dist")' >$(VENV)/dist.log 2>&1 || { tail -n 20 $(VENV)/dist.log; exit 1; }
	@cd dist && sha256sum *.tar.gz *.whl

# CycloneDX: this package and all that is installed with it.
sbom: setup
	@$(PIP) install 'cyclonedx-bom>=5'
	@mkdir -p dist
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file dist/bootstrap-emulator.cdx.json $(BIN)/python
	@ls dist/*.cdx.json

# For this user; for all of them: sudo make install PREFIX=/usr/local. A virtual environment of its own,
# and links to what a system looks for: the program, manual pages, completions.
PREFIX ?= $(HOME)/.local
HOME_OF := $(PREFIX)/lib/bootstrap-emulator
install: wheel
	@$(BIN)/python -m venv --clear $(HOME_OF)
	@$(HOME_OF)/bin/python -m pip --disable-pip-version-check --quiet install dist/bootstrap_emulator-*.whl
	@cd $(HOME_OF) && find share -type f -o -type l | while read -r file; do \
	  mkdir -p "$(PREFIX)/$$(dirname "$$file")" && ln -sf "$(HOME_OF)/$$file" "$(PREFIX)/$$file"; done
	@mkdir -p $(PREFIX)/bin && ln -sf $(HOME_OF)/bin/bootstrap $(PREFIX)/bin/bootstrap
	@echo "Installed $$($(PREFIX)/bin/bootstrap -V) as $(PREFIX)/bin/bootstrap; make uninstall removes it"

uninstall:
	@[ ! -d $(HOME_OF) ] || find $(PREFIX)/bin $(PREFIX)/share -lname '$(HOME_OF)/*' -delete
	rm -rf $(HOME_OF)

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -f $(LIBRARY)
	find bootstrap tests -name __pycache__ -type d -prune -exec rm -rf {} +
