# make demo: everything, on rendered people. make test: the tests. make ui: the runs in a browser.

PYTHON ?= python3
BIN := .venv/bin
# Stages call `python`: the environment's own has to come first.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: demo test soak lint bench audit ui env requirements clean

demo: env
	$(RUN) dvc repro
	@echo; sed '/^| the paper/,$$d' reports/table.md
	@echo; echo "The whole report: reports/table.md. Pictures: $$(echo reports/*.png)"

test: env
	$(RUN) pytest

# What `make test` does in minutes, for hours: stages in trouble and damaged annotation files, fifty times as many.
soak: env
	$(RUN) POSERNN_SOAK=50 pytest tests/test_trouble.py tests/test_damaged_annotations.py -s

lint: env
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

ui: env
	$(RUN) posernn ui

env: $(BIN)/.installed

# With uv, where it is there, in a third of pip's time; the same pinned files either way.
$(BIN)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "Python 3.11 to 3.13 is needed, $$($(PYTHON) --version) was found; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	  exit 1; }
	@if command -v uv >/dev/null; then \
	  set -x; uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv && \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  set -x; $(PYTHON) -m venv .venv && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt && \
	  $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

# How close to the machine's limits: minutes each; on a machine that does nothing else, after `make demo`.
bench: env
	for name in parse crops processes feeding memory training gpu tracking evaluate start; do \
	  $(RUN) PYTHONPATH=. python benchmarks/$$name.py || exit 1; done

# Known vulnerabilities of what is pinned; asks a database on the internet.
audit: env
	$(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install --quiet pip-audit
	.venv/audit/bin/pip-audit --disable-pip --no-deps -r requirements.txt

# Pins everything anew, for all platforms and all supported versions of Python. Names no index.
requirements:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
	  --custom-compile-command "make requirements" --upgrade -o requirements.txt pyproject.toml

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis
