# make run           trains and evaluates a network
# make test          passes all tests
# make soak          the long tests of reliability, of which make test runs short versions (docs/reliability.md)
# make mutants       a hundred small errors in the code, each of which the tests nearest to it must notice
# make lint          ruff and mypy
# make docs          the documentation in site/docs/; make docs-serve shows it at http://127.0.0.1:8000
#                    (DOCS_EXECUTE=true runs the notebooks first, which needs the data)
# make wheel         dist/*.whl, with the time of the last commit on its files
# make bench         measures the speed against other frameworks
# make constraints   writes constraints.txt: the versions in .venv, with the hashes of their files on the package index
# make audit         fails if a version in constraints.txt has a known vulnerability, or if the index does not say
# Each makes .venv and installs what it needs; with CONSTRAINTS=constraints.txt exactly the files of that file.
PYTHON ?= python3
CONSTRAINTS ?=
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet
INSTALL_LOCKED := $(if $(CONSTRAINTS),$(PIP_INSTALL) --no-deps --require-hashes --requirement $(CONSTRAINTS))
INSTALL := $(PIP_INSTALL) $(if $(CONSTRAINTS),--no-deps)

.PHONY: run test soak mutants lint docs docs-serve wheel bench constraints audit

run: .venv/installed
	$(BIN)/mnist quickstart

test: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

soak: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak.runs
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak.hostile
	$(BIN)/python -m tests.soak.draw_server

mutants: .venv/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak.mutants

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

docs-serve: .venv/installed-dev
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

# build/ goes first: setuptools would put modules that no longer exist into the wheel.
wheel: .venv/installed
	rm -rf build
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || date +%s) $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

bench: .venv/installed .venv-bench/installed
	$(BIN)/python -m benchmarks.epoch_speed --peers-python .venv-bench/bin/python
	$(BIN)/python -m benchmarks.time_to_accuracy
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.results

constraints: .venv/installed-dev .venv-tools/installed
	$(BIN)/python -m pip freeze --exclude-editable | grep '==' > .venv-tools/versions.txt
	.venv-tools/bin/uv pip compile pyproject.toml --extra all --extra dev --python $(BIN)/python --quiet --no-annotate \
	  --no-header --generate-hashes --constraint .venv-tools/versions.txt --output-file .venv-tools/locked.txt
	{ echo "# The versions of a full test: $$($(BIN)/python --version), $$(uname -s) $$(uname -m). Written by make constraints."; \
	  cat .venv-tools/locked.txt; } > constraints.txt

audit: .venv-tools/installed
	.venv-tools/bin/pip-audit --strict --disable-pip --require-hashes --requirement constraints.txt

# The peers on top of .venv's packages, but not among them: where TensorFlow is, every start of TensorBoard loads it.
.venv-bench/installed: .venv/installed benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	  "$$(.venv-bench/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/platform.pth"
	.venv-bench/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	touch $@

.venv/installed: requirements.txt pyproject.toml
	@echo "Installing into .venv: up to 6 GB, some minutes."
	$(PYTHON) -m venv .venv
	$(INSTALL_LOCKED)
	$(INSTALL) --requirement requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(INSTALL_LOCKED)
	$(INSTALL) --requirement requirements-dev.txt
	touch $@

.venv-tools/installed:
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet uv pip-audit
	touch $@
