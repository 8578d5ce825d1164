# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

# Packages are installed uncompiled: the first import compiles what it needs, once and not every time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint types imports tests test-slow gpu format docs clean

demo: $(VENV)/.run  ## install, run the main job on the built-in generator, leave a report in out/demo
	$(BIN)/latdir demo --out out/demo

# Types take one core for a minute, so they are checked beside the tests.
test: $(VENV)/.test  ## everything the continuous integration runs
	$(MAKE) --no-print-directory -j2 lint imports types tests

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

imports: $(VENV)/.test
	$(BIN)/lint-imports

tests: $(VENV)/.test  ## unit, contract, doctest, README and notebook tests, one process a core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses=auto --dist=worksteal

test-slow: $(VENV)/.test  ## what is too slow for every run
	$(BIN)/python -m pytest -q -m slow --timeout=3000 || test $$? -eq 5  # 5: there are none

# With the machine's own Python, which needs torch, numpy, scipy, scikit-learn and safetensors: a
# card's driver belongs to its torch. Nothing is installed. GPU="--out there.json" passes options on.
gpu:  ## on a machine with a CUDA card: the tests marked `cuda`, then benchmarks/gpu.py
	@if $(PYTHON) -c "import pytest" 2>/dev/null; then \
	  $(PYTHON) -m pytest -q -ra -o addopts= -o filterwarnings= --import-mode=importlib --confcutdir=tests/cuda -m cuda tests/cuda; \
	else echo "no pytest here: the benchmark alone, whose parity part compares the card with the CPU"; fi
	$(PYTHON) benchmarks/gpu.py $(GPU)

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.docs  ## tables of the registries, and the site in build/site/html
	PYTHONPATH=. $(BIN)/python tools/site.py

$(VENV)/.run: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(PIP) -e '.[test,clip]'
	touch $@

$(VENV)/.docs: $(VENV)/.run
	$(PIP) -e '.[docs,clip]'
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
