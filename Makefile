# make quickstart   set up, run studies/quickstart.yaml, write its report
# make test         set up, run the tests
# make test-slurm   install SLURM if it is missing (needs root), start one on this machine, run the tests on it
# make oracles      install rliable apart, check that the numbers kept of it are what it computes
# make gallery      set up, draw docs/gallery.md: every figure, of simulated studies
# make bench        set up, time training and planning (KAIXHIN=DIR: beside a checkout of Kaixhin/PlaNet)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ORACLES := tests/analysis/oracles
WORKERS ?= $(shell nproc)

.PHONY: quickstart test test-slurm oracles lint types bench setup clean
.DELETE_ON_ERROR:

setup: $(READY)

# A stamp of what was installed; the editable install follows the sources by itself.
$(READY): pyproject.toml constraints.txt scripts/setup.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" bash scripts/setup.sh
	@touch $@

quickstart: $(READY)
	@$(BIN)/wm run studies/quickstart.yaml
	@$(BIN)/wm report quickstart

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

test-slurm: $(READY)
	bash scripts/slurm/install.sh
	$(BIN)/python -m pytest tests/slurm -m slurm

# rliable does not import with pandas 3: an environment of its own, which no other target needs.
oracles: .oracles/.ready
	.oracles/bin/python $(ORACLES)/rliable_oracle.py

.oracles/.ready: $(ORACLES)/requirements.txt
	$(PYTHON) -m venv --clear .oracles
	.oracles/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

gallery: $(READY)
	$(BIN)/python scripts/gallery.py

bench: $(READY)
	$(BIN)/python benchmarks/rssm_vs_kaixhin.py

clean:
	rm -rf $(VENV) .oracles *.egg-info
