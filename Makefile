# Each command sets up what it needs: `make test` works in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 4
# The real recordings that `make demo` and `make bench-quality` use when they are there.
HAPT ?= $(wildcard ../shared/data/hapt.zip)

.PHONY: test lint test-capped test-oldest audit fuzz coverage mutants docs demo bench bench-kernels bench-gpu bench-quality clean
test: lint
	$(PYTEST)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What all methods share is tested for all by `make test`, and for these alone in other environments:
# the default, the simplest one, and one that looks at whole videos, in pairs.
SOME := --methods dgam,mil,co2net

# What trains or predicts, on a CPU as it would be without AVX-512: no result that a test or a page
# states may depend on the instructions that the machine has. `make test-oldest` is without AMX.
CAPPED := tests/test_base.py tests/test_dgam_localizer.py tests/test_dgam_objective.py \
	tests/test_methods_*.py tests/test_multi_stream.py README.md docs
test-capped: .venv/installed
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 $(PYTEST) $(SOME) $(CAPPED)

# What users install: the wheel, made from the sdist, in an environment of its own. First as it is,
# then with extras, in the lowest versions that it allows.
test-oldest: .venv/installed
	rm -rf .venv-oldest dist
	$(BIN)/python -m build -q
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt dist/*.whl
	cd dist && ../.venv-oldest/bin/python ../tests/smoke.py
	.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt \
		"$$(echo dist/*.whl)[plot,report,frame,share,h5,sound]" pytest pytest-xdist hypothesis
	cd tests && ATEN_CPU_CAPABILITY=avx512 ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 \
		../.venv-oldest/bin/python -m pytest -q --ignore=test_limits.py \
		--ignore=test_life.py -n auto --maxprocesses 4 -c ../pyproject.toml --rootdir=. --confcutdir=.. \
		$(SOME) .

# Known weaknesses of what continuous integration installs; asks a service on the network.
audit: .venv/installed
	$(BIN)/python -m pip install -q pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps

# Readers on many more damaged files than `make test` tries, and others each time.
fuzz: .venv/installed
	$(BIN)/python -m pytest -q tests/test_fuzz.py --hypothesis-profile=fuzz

coverage: .venv/installed
	$(BIN)/python -m coverage run -m pytest -q tests
	$(BIN)/python -m coverage report

# Changes the code here and there, and lists the changes that no test notices.
mutants: .venv/installed
	mkdir -p mutants
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[mutants]'
	$(BIN)/mutmut run
	$(BIN)/mutmut results

# A warning is an error. The examples are run; the one on HAPT where it is there.
docs: .venv/installed
	HAPT=$(abspath $(HAPT)) $(BIN)/python -m sphinx -W --keep-going -q -j auto docs docs/_build/html

demo: .venv/installed
	$(BIN)/python examples/demo.py $(if $(HAPT),--hapt $(HAPT))

# RELEASED=DIR measures a clone of the released implementation beside ours.
bench: .venv/installed
	$(BIN)/python benchmarks/speed.py $(if $(RELEASED),--released $(RELEASED))

# What each kernel of our own saves of an epoch.
bench-kernels: .venv/installed
	$(BIN)/python benchmarks/kernels.py

# Tests and figures of a GPU, without any network: with the torch that $(PYTHON) has, not in .venv.
bench-gpu:
	PYTHONPATH=. $(PYTHON) benchmarks/gpu.py

bench-quality: .venv/installed
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/diagnosis.py
	$(BIN)/python benchmarks/sweeps.py
	$(BIN)/python benchmarks/selection.py
	$(if $(HAPT),$(BIN)/python benchmarks/quality.py --hapt $(HAPT) --seeds 5)
	$(if $(HAPT),$(BIN)/python benchmarks/diagnosis.py --hapt $(HAPT))
	$(if $(HAPT),$(BIN)/python benchmarks/sweeps.py --hapt $(HAPT) --output sweeps_hapt.png)
	$(if $(HAPT),$(BIN)/python benchmarks/selection.py --hapt $(HAPT))

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test,docs]'
	touch $@

clean:
	rm -rf .venv .venv-oldest mutants build dist docs/_build docs/api docs/auto_examples docs/sg_execution_times.rst .mypy_cache .pytest_cache .ruff_cache .hypothesis
