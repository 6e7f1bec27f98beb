# Each target sets up what it needs: Python 3.11 to 3.13 and make are enough.
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/python -m momentum_exp
RUNS ?= runs

# Tables, figures, claims, report: which runs, how many at a time, by what.
SCALE ?= reduced
SEEDS ?= 3
JOBS ?= 1
LAUNCHER ?= basic
OUT ?= results
PAPER = $(BIN)/python -m momentum_exp.paper --scale '$(SCALE)' --seeds '$(SEEDS)' --jobs '$(JOBS)' \
  --launcher '$(LAUNCHER)' --runs '$(RUNS)' $(if $(filter-out 0,$(RETRY)),--retry)
ARTIFACTS := $(notdir $(basename $(wildcard conf/table/*.yaml conf/figure/*.yaml))) claims report paper

.DEFAULT_GOAL := help
.PHONY: help install test lint format types demo bench bench-growth bench-epoch bench-cells vanishing-gradient clean \
  $(ARTIFACTS) $(ARTIFACTS:%=plan-%)

help:  ## list the targets
	@grep -E '^(#: )?[a-z0-9%<>-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^#: //; s/:[^#]*## /\t/' | expand -t 20

install: .venv/installed  ## make .venv and install the package with what development needs (about 2 minutes)

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "$(PYTHON) is not Python 3.11 to 3.13: write for example make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	test -x $(BIN)/pip || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

test: install lint types  ## lint, types and all tests (under 10 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: install  ## ruff: style and likely mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install  ## mypy --strict on the package
	$(BIN)/mypy

demo: install  ## train lstm and momentumlstm on the embedded digits, draw and tabulate (under 3 minutes)
	$(RUN) -m cell=lstm,momentumlstm data=digits seed=0,1,2 diagnostics.every=50 trainer.threads=1 paths.runs=$(RUNS)/demo
	$(BIN)/python scripts/summarize.py $(RUNS)/demo --out $(RUNS)/demo

#: table1:  ## run what is missing for it, then make it: SEEDS=5 or 0,2,3, SCALE=full, reduced or smoke, JOBS=2, LAUNCHER=joblib
#: table<n>:  ## and ablation, losses, time, time_orthogonal, figure<n>, claims, report; RETRY=1 retries failed runs; into OUT/SCALE, OUT=results
#: paper:  ## all of them
#: plan-<name>:  ## which of its runs are done, running, missing, and how many hours that takes: plan-table1, plan-paper
$(ARTIFACTS): install
	$(PAPER) $@ --out '$(OUT)'

$(ARTIFACTS:%=plan-%): plan-%: install
	$(PAPER) $* --plan

bench: install  ## time the engines against torch.nn.LSTM, interleaved (8 minutes, idle machine); CHECK=1 fails on a miss
	$(BIN)/python -m momentum_exp.bench --out results/bench $(if $(filter-out 0,$(CHECK)),--check)

bench-growth: install  ## how a step's time grows with T, N and B, on 1 and 2 threads (10 minutes, idle machine)
	$(BIN)/python -m momentum_exp.bench.growth --out results/bench

bench-epoch: install  ## an epoch of real mnist at N = 128 and 256, and where its time goes (15 minutes, idle machine)
	$(RUN) -m cell=lstm,momentumlstm data=mnist cell.hidden_size=128,256 trainer.epochs=1 diagnostics=none \
	  paths.runs=$(RUNS)/bench-epoch
	$(BIN)/python -m momentum_exp.bench.epochs --runs $(RUNS)/bench-epoch --out results/bench
	$(BIN)/python -m momentum_exp.bench.profile --out results/bench/profile.md cell=momentumlstm data=mnist \
	  cell.hidden_size=128 trainer.epochs=1 paths.runs=$(RUNS)/bench-profile

PLAIN_CELLS = $(shell $(BIN)/python -c "from momentum_exp.cells import recurrence_names; \
  print(','.join(name for name in recurrence_names() if name != 'srlstm_released'))")
AN_EPOCH := data=pmnist data.limit=10000 trainer.epochs=1 cell.hidden_size=128 optimizer.lr=0.001 optimizer.alpha=0.9 \
  optimizer.lr_orthogonal=0.0001 diagnostics=none trainer.threads=1 paths.runs=$(RUNS)/bench-cells

bench-cells: install  ## every recurrence under identity and momentum: an epoch on 10,000 rows, then time and memory (2 hours)
	$(RUN) -m cell=$(PLAIN_CELLS) cell.dynamics=identity,momentum $(AN_EPOCH)
	$(RUN) -m cell=srlstm_released $(AN_EPOCH)
	$(BIN)/python -m momentum_exp.bench.cells --runs $(RUNS)/bench-cells --out results/bench_cells

vanishing-gradient: install  ## the paper's vanishing-gradient argument beside the exact derivatives (1 to 2 minutes)
	$(BIN)/python scripts/vanishing_gradient.py --out results/vanishing_gradient

clean:  ## remove caches and build products (never runs)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache

.DEFAULT:  # what is no target may be meant to be an artifact: the command knows their names
	@test -x $(BIN)/python || { echo "make $@: there is no such target; make help lists them"; exit 2; }
	@$(PAPER) $@ --plan
