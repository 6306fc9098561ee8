# The door to everything a developer types; CI calls these targets and nothing else.
SHELL := /bin/sh
.DEFAULT_GOAL := help
# The working directory stays out of sys.path: our folder `platform/` must not hide the module.
# Only what is run out of this folder (`-m integration.…`) is let look here.
export PYTHONSAFEPATH := 1
HERE := PYTHONSAFEPATH=

BIN := .venv/bin
PYTHON_IN_VENV := $(BIN)/python
WORKERS ?= 3
# One more than the cores: tests wait for servers more than they compute.
PYTEST := $(PYTHON_IN_VENV) -m pytest -q
QUICK := -m "not soak and not kubernetes"
# On our own node: those that start and end nodes; then, on one node, those of the installed platform
# beside all others. 5: there is a cluster, so none of them is run, and the reason is told.
LIVES = $(PYTEST) -m "kubernetes and node_life" integration/kubernetes || [ $$? -eq 5 ]
DURING = $(HERE) $(PYTHON_IN_VENV) -m integration.cluster during --
PAIR = $(if $(KUBECONFIG),,-n 2)
SERVICES := gateway controller builder runtime router logger manager

.PHONY: help setup fmt lint unit integration test test-kubernetes test-kubernetes-full soak-kubernetes cluster-up cluster-down soak bench bench-kubernetes fuzz cover asyncapi settings images demo \
	up tools \
	$(addprefix run-,$(SERVICES))

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z%<>-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  make run-SERVICE     one service from its DEIS_* environment: $(SERVICES)"

setup: .venv/stamp ## the virtual environment .venv, from requirements.lock with hashes

.venv/stamp: requirements.lock pyproject.toml
	@scripts/setup

fmt: setup ## format the code and sort its imports
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

lint: setup ## ruff, its formatter, mypy, the import contracts, and the chart with helm
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTHON_IN_VENV) scripts/chart.py

tools: ## name missing tools of the machine (with CI=true: fail)
	@scripts/tools

unit: setup ## tests without servers
	@$(PYTEST) -n $(WORKERS) $(QUICK) tests

integration: setup tools ## tests on real servers, and the acceptance scenario
	@$(PYTEST) -n $(WORKERS) $(QUICK) integration

test: setup tools ## all of them: what the README and CI call
	@$(PYTEST) -n $(WORKERS) $(QUICK) tests integration

test-kubernetes: setup tools ## tests on a real node, or on the cluster of $KUBECONFIG (root)
	@$(HERE) $(PYTHON_IN_VENV) -m integration.cluster prepare
	@$(LIVES)
	@$(DURING) $(PYTEST) $(PAIR) -m "kubernetes and not node_life and not soak and not full" integration/kubernetes

test-kubernetes-full: setup tools ## all of them, those that take long too
	@$(HERE) $(PYTHON_IN_VENV) -m integration.cluster prepare
	@$(LIVES)
	@$(DURING) $(PYTEST) $(PAIR) -m "kubernetes and not node_life and not soak" integration/kubernetes

soak-kubernetes: setup tools ## rounds without a failed request on the cluster (DEIS_SOAK_ROUNDS, 20)
	@$(HERE) $(PYTHON_IN_VENV) -m integration.cluster prepare
	@DEIS_SOAK_ROUNDS=$${DEIS_SOAK_ROUNDS:-20} $(PYTEST) -s --timeout 7200 -m "kubernetes and soak" integration/kubernetes

cluster-up: setup ## a Kubernetes node on this machine, for 3 hours at most (root)
	@$(HERE) $(PYTHON_IN_VENV) -m integration.cluster up

cluster-down: setup ## end it, and leave the machine as it was
	@$(HERE) $(PYTHON_IN_VENV) -m integration.cluster down

soak: setup tools ## fault and zero-failure rounds, many times (DEIS_SOAK_ROUNDS, 50)
	@DEIS_SOAK_ROUNDS=$${DEIS_SOAK_ROUNDS:-50} $(PYTEST) -s --timeout 7200 -m "soak and not kubernetes" integration

bench: setup ## measure against bare baselines; a table and bench-results.json
	@$(HERE) $(PYTHON_IN_VENV) -m integration.bench

bench-kubernetes: setup tools ## the same on the cluster (root); bench-kubernetes-results.json
	@$(HERE) $(PYTHON_IN_VENV) -m integration.cluster prepare
	@$(HERE) $(PYTHON_IN_VENV) -m integration.bench.kubernetes

fuzz: setup ## property tests with many more examples
	@HYPOTHESIS_PROFILE=deep $(PYTEST) --timeout 3600 -m hypothesis tests

cover: setup tools ## branch coverage of all tests, by file
	@$(PYTEST) -n $(WORKERS) --cov --cov-report=term-missing:skip-covered $(QUICK) tests integration

asyncapi: setup ## write the AsyncAPI document of the events again
	@$(PYTHON_IN_VENV) -m deis_bus.asyncapi

images: setup ## container images with docker, podman or buildah (BASE=, PREFIX=, OUTPUT=, PUSH=1)
	@$(PYTHON_IN_VENV) scripts/images.py $(if $(BASE),--base $(BASE)) $(if $(PREFIX),--prefix $(PREFIX)) \
		$(if $(OUTPUT),--output $(OUTPUT)) $(if $(PUSH),--push)

settings: setup ## write the table of settings in docs/operations.md again
	@$(PYTHON_IN_VENV) scripts/settings_table.py

demo: setup ## the main job on a sample application, start to end
	@$(HERE) $(PYTHON_IN_VENV) -m integration.demo

up: setup ## run the platform here until Ctrl-C; data in .data/
	@$(BIN)/deis-platform up

$(addprefix run-,$(SERVICES)): run-%: setup
	@$(BIN)/deis-platform run $*
