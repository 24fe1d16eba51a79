# make demo: the whole pipeline on rendered people. make test: the tests. make ui: the runs in a browser.

PYTHON ?= python3
BIN := .venv/bin
# Stages call `python`: the environment's own has to come first.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
# A file's tests run in one worker, because they share a project; on a large machine more workers cost more than they bring.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: demo study test test-all lint docs bench audit exp git ui env requirements clean

demo: git env
	$(RUN) dvc repro
	@echo; sed '/^| the paper/,$$d' reports/table.md
	@echo; echo "The whole report, to open in a browser: reports/index.html"

# The study of docs/explanation/results.md: decoders on the same features, several seeds. Hours on a laptop; stopped, it goes on.
study: env
	$(RUN) dvc repro study/dvc.yaml

# What a change is likely to break, one tiny pipeline included: minutes.
test: env
	$(RUN) pytest $(PARALLEL)

# The campaigns too: kills, damaged files, full disks, clusters, several processes.
test-all: env
	$(RUN) pytest $(PARALLEL) -m ""

lint: env
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) PYTHONPATH=. lint-imports --no-logo --no-cache

# The pages of docs/reference that are written from the code.
docs: env
	$(RUN) PYTHONPATH=. python docs/reference/generate.py

# Experiments of the last COMMITS commits: what differs of Total PCKh, its difference from the first entry, and parameters.
COMMITS ?= 1
exp: git env
	@$(RUN) dvc exp show --csv --num $(COMMITS) --hide-workspace --only-changed --drop \
	  'Created|State|Executor|parent|typ|.*:(?!(torso PCK )?Total$$|diff)|(data|posernn|stages|runs|results)(/|$$)' \
	  | sed -e 's#reports/metrics/\([^.,]*\)\.json:#\1 #g' -e ':a' -e 's/,,/,-,/' -e ta -e 's/,$$/,-/' -e 's/^,/-,/' \
	  | column -t -s,

ui: env
	$(RUN) posernn ui

# Asked before 6 GB are installed: a ZIP of the project is not a repository.
git:
	@git rev-parse --git-dir >/dev/null 2>&1 || { \
	  echo 'DVC needs a Git repository, and this folder is none; run: git init && git add -A && git commit -m start'; \
	  exit 1; }

env: $(BIN)/.installed

# uv, where it is installed, takes a third of pip's time; both install the same pinned files.
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

# Benchmarks, minutes each: run them after `make demo` on an idle machine.
bench: env
	for name in parse crops processes feeding memory training gpu tracking evaluate decoders start; do \
	  $(RUN) PYTHONPATH=. python benchmarks/$$name.py || exit 1; done

# Known vulnerabilities of the pinned packages; asks a database on the internet.
audit: env
	$(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install --quiet pip-audit
	.venv/audit/bin/pip-audit --disable-pip --no-deps -r requirements.txt

# Pins the newest versions, for all platforms and all supported versions of Python. Names no index.
requirements:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
	  --custom-compile-command "make requirements" --upgrade -o requirements.txt pyproject.toml

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis
