# make run: train and judge a network.  make test: pass all tests.  make bench: measure against what else there is.
# Each makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint bench

run: .venv/installed
	$(BIN)/mnist quickstart

test: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed .venv-bench/installed
	$(BIN)/python benchmarks/epoch_speed.py --peers-python .venv-bench/bin/python
	$(BIN)/python benchmarks/time_to_accuracy.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/results.py

# The peers on top of .venv's packages, but not among them: where TensorFlow is, every start of TensorBoard loads it.
.venv-bench/installed: .venv/installed benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	  "$$(.venv-bench/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/platform.pth"
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	touch $@

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@
