PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# torch first and by exact version: the range of our dependencies would take a CUDA build.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep ^torch== constraints.txt)"

# What a run of tests takes, and the kernels of torch, oneDNN and MKL on other processors.
TESTS ?= tests benchmarks unlearnkit
QUICK := -m "not slow and not gpu" -n 2 --dist worksteal
CPU_default := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2
CPU_avx2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
CPUS := default-1 default-2 avx2-1 avx2-2 own-1 own-2

# What `make bench` can be given: folders of other repositories, and of this one at an earlier commit.
PEERS ?=
BEFORE ?=
# `SHORT=--quick` has each of them measure what tells most in least time.
SHORT ?=
# Figures of a step that are counts: calls of attention, switches of an adapter, waits for a device.
COUNTS := tests/unit/engine/step/test_attention_kernels.py::test_models_attend_once_a_layer_and_train_alike \
	tests/unit/engine/reference/test_kinds.py::test_the_adapter_is_switched_once_wherever_it_stands \
	tests/recipes/test_recipes.py::test_two_steps

.PHONY: demo test test-all test-slow test-cpus test-extras test-browser test-gpu test-ranks check docs \
	notebook bench tiny fuzz audit package clean

demo: $(VENV)/installed  ## Installs, and unlearns the embedded book
	$(BIN)/unlearnkit fit --recipe recipes/copyright.yaml

test: $(VENV)/installed-test  ## Installs the test extra, and runs the tests
	$(BIN)/python -m pytest $(QUICK) $(TESTS)

test-all: $(VENV)/installed-test  ## All tests that need no GPU
	$(BIN)/python -m pytest -m "not gpu and not browser"

test-slow: $(VENV)/installed-test  ## Every family of transformers, kills, compiled blocks: minutes, without the fuzz
	$(BIN)/python -m pytest -m "slow and not gpu and not ranks and not browser" -n 2 --dist worksteal tests \
		--ignore tests/cli/safety/test_fuzz.py --ignore tests/cli/safety/test_fuzz_folders.py

test-cpus: $(CPUS:%=test-cpu-%)  ## The tests with the kernels of other CPUs, on 1 and 2 threads

test-cpu-%: $(VENV)/installed-test  # such as test-cpu-avx2-2
	$(CPU_$(word 1,$(subst -, ,$*))) UNLEARNKIT_TEST_THREADS=$(word 2,$(subst -, ,$*)) \
		$(BIN)/python -m pytest $(QUICK) $(TESTS)

test-ranks: $(VENV)/installed-test  ## Short runs on two processes, interrupted ones included
	$(BIN)/python -m pytest -m ranks -n 2 tests

test-extras:  ## Installs the extras that run on a CPU elsewhere, and runs the tests that need them
	$(MAKE) VENV=$(VENV)-extras $(VENV)-extras/installed-test-extras
	$(VENV)-extras/bin/python -m pytest -m "extra and not gpu" --need-extras -n 2 --dist worksteal \
		tests benchmarks

test-browser: $(VENV)/installed-test $(VENV)/installed-docs $(VENV)/installed-browser  ## Site and reports in headless Chromium
	$(BIN)/python -m pytest -m browser -n 2 --dist loadfile tests/browser

test-gpu: $(VENV)/installed-test  ## Tests of a CUDA machine
	$(BIN)/python -m pytest -m gpu tests/gpu

check: $(VENV)/installed-dev  ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/installed-docs  ## Builds the documentation, strictly
	$(BIN)/python -m mkdocs build --strict

notebook: $(VENV)/installed-test  ## Runs the notebook and stores its outputs
	HF_HUB_OFFLINE=1 $(BIN)/jupyter execute --inplace --NotebookClient.record_timing=False docs/notebooks/quickstart.ipynb

bench: $(VENV)/installed-test  ## Measures side by side, and prints ratios
	for each in step growth layouts; do $(BIN)/python -m benchmarks.$$each $(SHORT) || exit 1; done
	$(BIN)/python -m benchmarks.evaluation $(SHORT) $(BEFORE:%=--against %)
	for each in overhead data copyright; do $(BIN)/python -m benchmarks.$$each $(SHORT) || exit 1; done
	$(BIN)/python -m pytest -v -n 0 $(COUNTS)
	for peer in $(PEERS); do $(BIN)/python -m benchmarks.peers $$peer --models R --batch 32 --steps 2 $(SHORT) || exit 1; done

tiny: $(VENV)/installed-test  ## Trains the embedded models anew
	$(BIN)/python -m tools.tiny.make
	$(BIN)/python -m tools.tiny.tofu.make
	$(BIN)/python -m tools.tiny.power.make
	$(BIN)/python -m tools.tiny.muse.make
	$(BIN)/python -m tools.tiny.people.make

fuzz: $(VENV)/installed-test  ## Fifteen thousand recipes, data files and model folders gone wrong
	$(BIN)/python -m pytest -n 2 tests/cli/safety/test_fuzz.py tests/cli/safety/test_fuzz_folders.py

audit: $(VENV)/bin/python  ## Looks the pinned versions up among known vulnerabilities
	$(PIP) pip-audit
	$(BIN)/python -m pip_audit --requirement constraints.txt --no-deps --disable-pip --strict

package: $(VENV)/bin/python  ## Builds wheel and source archive; installs the wheel anew, and unlearns with it
	rm -rf dist
	$(PIP) build twine
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python .ci/check_wheel.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL)
	$(PIP) -e .
	touch $@

$(VENV)/installed-%: $(VENV)/installed
	$(PIP) -e ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-extras build dist site .pytest_cache .ruff_cache .hypothesis
