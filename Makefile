# `make search` and `make test` do everything on a fresh machine: environment, install, run.
PYTHON ?= python3
BIN := .venv/bin
CLUSTER_TESTS := $(wildcard tests/cluster/test_*.py) $(patsubst %,tests/tuning/test_%.py,workers faults shelf)
# Without bytecode, every process of a sweep would compile Ray, MLflow and torch anew.
unexport PYTHONDONTWRITEBYTECODE
# A crash of a library says where it was, at the end of the process too.
export PYTHONFAULTHANDLER = 1

.PHONY: search test test-all test-cluster cluster-tests lint bench clean

search: .venv/installed
	$(BIN)/python -m tuning.search lsskd --confirm
	@echo "For these commands in this shell: . $(BIN)/activate"

test: .venv/installed lint
	$(BIN)/python -m pytest -n 2 --durations=30

# Every method on every family of backbones; `make test` takes pairs of them.
test-all: export KD_TEST_ALL = 1
test-all: test

# Real clusters on this machine: needs root, and skips with a sentence where it cannot run.
test-cluster: .venv/installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c requirements.txt --editable '.[cluster]'
	test "$$(id -u)" != 0 || { which rsync sshd ip curl > /dev/null; } || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openssh-server rsync iproute2 curl > /dev/null; }
	test "$$(id -u)" != 0 || { which munged slurmctld slurmd > /dev/null; } || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge > /dev/null; } || \
		echo "Slurm cannot be installed here; its tests are skipped."
	KD_TEST_CLUSTER=1 $(BIN)/python -m pytest -rs --durations=10 $(CLUSTER_TESTS)

cluster-tests:
	@echo $(CLUSTER_TESTS)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python -m benchmarks.overhead

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

clean:
	rm -rf .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache
