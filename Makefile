# The tasks of this repository. `make` alone lists them.

# Settings of `make run` and `make dev`, as in `make run PROFILE=smol PORT=8001`. An empty one is read from the
# environment (SPECULATOVIZ_…), then from .env, then it has the program's default: 127.0.0.1, 8000, profile qwen.
PROFILE =
HOST =
PORT =
# Additional arguments, passed on unchanged: ARGS="--threads 4" for run and dev, ARGS="-k exactness" for test,
# ARGS="--temperatures 0" for bench, ARGS=--upgrade for lock.
ARGS =
# A file of prompts for bench, in Spec-Bench's format, instead of the program's own.
PROMPTS =
# Recorded runs for the static site, instead of the repository's own.
TRACES =
# The Python that makes .venv, if it is not python3.
PYTHON =
unexport PROFILE HOST PORT ARGS PROMPTS TRACES PYTHON

PY := .venv/bin/python
NPM := PYTHON=../.venv/bin/python npm --silent --prefix frontend run
DONE := .venv/.done
RECORDINGS := frontend/public/recording.jsonl $(wildcard frontend/recordings/*.jsonl.gz)
NODE := frontend/node_modules/.done
PAGE := src/speculatoviz/server/page/index.html
PAGE_SOURCES := $(shell find frontend/src frontend/public -not -name '*.test.*' 2>/dev/null) \
	frontend/index.html frontend/player.html frontend/vite.config.ts frontend/tsconfig.json $(wildcard frontend/build/*.ts)
SERVE_FLAGS = $(if $(PROFILE),--profile '$(PROFILE)') $(if $(HOST),--host '$(HOST)')

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help run dev llamacpp extras test test-full chromium check check-python check-page fix bench bench-page page site docs audit wheel lock clean clean-all \
	FORCE

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  make run PROFILE=smol PORT=8001 ARGS="--threads 4": see the top of the Makefile'

run: $(DONE)/package $(PAGE) ## set up, build, fetch the models, and serve the page on 127.0.0.1:8000
	@exec .venv/bin/speculatoviz serve $(SERVE_FLAGS) $(if $(PORT),--port '$(PORT)') $(ARGS)

dev: $(DONE)/package $(NODE) ## the server, and the page with hot reload on Vite's own port
	@exec scripts/dev.sh '$(or $(PORT),8000)' $(SERVE_FLAGS) $(ARGS)

llamacpp: $(DONE)/llamacpp ## compile and install the runtime llama.cpp, for trained heads and GPUs

extras: $(DONE)/extras ## install the runtimes llama.cpp, MLX-LM and transformers, and Ray; the tests then run them too

test: chromium check $(PAGE) ## every check and test except the long ones
	$(PY) -m pytest $(SIDE_BY_SIDE) -m 'not full' $(ARGS)
	CHROMIUM="$${CHROMIUM:-$$(scripts/need.sh chromium)}" $(NPM) browser

test-full: chromium check $(PAGE) ## every check and test
	$(PY) -m pytest $(SIDE_BY_SIDE) $(ARGS)
	CHROMIUM="$${CHROMIUM:-$$(scripts/need.sh chromium)}" $(NPM) browser

# Two test files at a time: most tests use one core. ARGS="-n 0" runs them one by one, as a debugger needs it.
SIDE_BY_SIDE := -n 2 --dist loadfile

# llama.cpp's threads wait by spinning, which slows down a browser or another test on the same cores.
test test-full: export OMP_WAIT_POLICY = passive

chromium:
	@scripts/need.sh chromium >/dev/null

check: check-python check-page ## the part without models: formatting, lint, types, the page's unit tests

check-python: $(DONE)/dev $(DONE)/package
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

check-page: $(DONE)/package $(NODE)
	$(NPM) protocol:check
	$(NPM) lint
	$(NPM) types
	$(NPM) test

fix: $(DONE)/dev $(DONE)/package $(NODE) ## format, apply the linters' fixes, regenerate docs/cli.md, docs/trace.schema.json and the page's protocol types
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(PY) scripts/cli_docs.py
	$(PY) scripts/trace_schema.py
	$(NPM) protocol
	$(NPM) fix

# A later call continues the measurement of `peers`: to measure again, remove its file in benchmarks/.
bench: $(DONE)/dev $(DONE)/package ## measure this machine: the pair, then all engines on the same prompts
	.venv/bin/speculatoviz bench pair $(if $(PROFILE),--profile '$(PROFILE)')
	@mkdir -p benchmarks
	.venv/bin/speculatoviz bench peers $(if $(PROMPTS),'$(PROMPTS)') --out '$(RUNS).jsonl' --figure '$(RUNS).svg' \
	  $(if $(PROFILE),--profile '$(PROFILE)') $(ARGS)

bench-page: chromium $(DONE)/package $(PAGE) ## measure the page in Chromium: frames, processor, memory, bytes, layout shifts
	CHROMIUM="$${CHROMIUM:-$$(scripts/need.sh chromium)}" $(NPM) bench

RUNS = benchmarks/$(or $(PROFILE),qwen)

page: $(PAGE) ## build the page, and the file for exported runs, into the package

# With recorded runs of your own: make site TRACES="a.jsonl b.jsonl"
site: $(DONE)/package $(NODE) ## build the page as a static site in site/: recorded runs and Learn, for any server of files
	$(NPM) site
	@$(PY) scripts/site_runs.py site/runs $(or $(TRACES),$(RECORDINGS))

docs: $(DONE)/dev $(DONE)/package ## build the documentation as a site in build/docs/; a warning is an error
	$(PY) -m sphinx -W --keep-going -q -b html docs build/docs

audit: $(DONE)/dev $(NODE) ## compare the pinned packages with known vulnerabilities, where a service answers
	$(PY) scripts/audit.py

wheel: $(DONE)/build $(PAGE) ## build dist/speculatoviz-….whl, with the page in it
	rm -rf dist
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@$(PY) scripts/check_wheel.py dist/*.whl

lock: $(DONE)/dev ## pin the dependencies again; ARGS=--upgrade takes the newest Python packages
	scripts/lock.sh $(ARGS)
	npm --prefix frontend install --package-lock-only --no-audit --no-fund

clean: ## remove built files; environments and models stay
	rm -rf build dist src/speculatoviz/server/page src/speculatoviz/lab/built site frontend/test-results .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

clean-all: clean ## remove the environments too
	rm -rf .venv frontend/node_modules

# ---- the environment, each step done once ----

$(DONE)/venv:
	@PYTHON='$(PYTHON)' scripts/venv.sh
	@mkdir -p $(DONE) && touch $@

$(DONE)/build: requirements/build.txt $(DONE)/venv
	@scripts/dependencies.sh build && touch $@

$(DONE)/run: requirements/run.txt requirements/gguf.txt $(DONE)/build
	@scripts/dependencies.sh run && touch $@

$(DONE)/llamacpp: requirements/gguf.txt $(DONE)/run
	@scripts/dependencies.sh llamacpp && touch $@

$(DONE)/dev: requirements/dev.txt $(DONE)/llamacpp
	@scripts/dependencies.sh dev && touch $@

$(DONE)/extras: requirements/extras.txt $(DONE)/llamacpp $(DONE)/package
	@scripts/dependencies.sh extras && touch $@

# The package is installed as a link to src, so it is installed again in a moved or copied folder.
$(DONE)/package: pyproject.toml $(DONE)/run $(if $(findstring <$(CURDIR)>,<$(shell cat $(DONE)/package 2>/dev/null)>),,FORCE)
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo '$(CURDIR)' > $@

FORCE:

# Not `npm ci`: npm leaves other systems' optional binaries out of a lock (npm/cli issue 4828), and `ci` calls that an
# error. With --no-save the lock is followed and never written.
$(NODE): frontend/package.json frontend/package-lock.json
	@scripts/need.sh node
	npm --prefix frontend install --no-save --include=dev --no-audit --no-fund
	@touch $@

$(PAGE): $(PAGE_SOURCES) $(NODE)
	$(NPM) build
