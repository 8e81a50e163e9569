# `make` lists the targets. All but `clean` set up what they need; a second call does not do it again.
# Another Python: make app PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
DEVICE ?= cpu
BIN = $(VENV)/bin

.PHONY: help app test nightly check docs science bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

app: $(VENV)/.installed-app ## set up and open the explorer (Ctrl-C ends it)
	@exec $(BIN)/landscape-explorer

test: $(VENV)/.installed-test $(VENV)/.browser ## set up, find or install a browser, run the tests, those in the browser last
	$(BIN)/pytest -m "not browser and not nightly" -n 2
	$(BIN)/pytest -m "browser and not nightly"

nightly: $(VENV)/.installed-test ## run the tests that take a minute or more
	$(BIN)/pytest -m nightly

check: $(VENV)/.installed-dev ## format, lint, types, architecture; changes nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/.installed-docs ## build the documentation: docs/_build/html/index.html
	@rm -rf docs/_build
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build/html

science: $(VENV)/.installed-test ## reproduce published claims, write docs/science.md (ten minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m science

bench: $(VENV)/.installed-bench ## how fast it is, beside peers and limits: benchmarks/RESULTS.md (DEVICE=cuda on a GPU; some twenty minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks --device $(DEVICE)

clean: ## remove the virtual environment, what was built and every cache
	rm -rf $(VENV) build dist docs/_build docs/reference/*.rst docs/reference/*.txt .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# .installed-<extra> is touched once the project and that extra are installed as pinned.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo 'Installing into $(VENV): some minutes the first time.'
	$(BIN)/pip install --quiet -c constraints.txt -e ".[$*]"
	@touch $@

$(VENV)/.browser: tests/install_browser.py $(VENV)/.installed-test
	$(BIN)/python tests/install_browser.py
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed; this one is %d.%d. Name another: make PYTHON=python3.12 app" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
