# Each target sets up everything it needs. PYTHON picks the interpreter for .venv.
PYTHON ?= python3
READY := .venv/.ready
RUN := .venv/bin/python

.PHONY: train test check bench setup
.DEFAULT_GOAL := test

setup: $(READY)

$(READY): pyproject.toml constraints.txt scripts/install.py
	$(PYTHON) scripts/install.py
	touch $@

train: $(READY)
	$(RUN) -m scgrpo.train env=swe_lite $(ARGS)

test: $(READY)
	scripts/with_engine $(RUN) -m pytest $(ARGS)

check: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

bench: $(READY)
	scripts/with_engine $(RUN) -m benchmarks $(ARGS)
