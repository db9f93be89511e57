# Each target sets up everything it needs. PYTHON picks the interpreter for .venv.
PYTHON ?= python3
READY := .venv/.ready
RUN := .venv/bin/python
# Sized so that training and evaluation together stay under 20 minutes on two cores; level 0 is what
# the embedded model learns in that time. Groups without a success are left out: rewarding how much
# their episodes differ made malformed turns grow until nothing else was left.
# References are not taught: what one shows at this level, which candidate is right, is a blind guess
# that nothing can learn.
TRAIN ?= levels=0 credit.alpha_div=0 warm_start.references=never
EVAL ?= --tasks 40 --rollouts 1
WORKERS ?= 2

.PHONY: train report test test-all test-interop test-vllm check bench gpu-check soak doctor setup
.DEFAULT_GOAL := test

setup: $(READY)

$(READY): pyproject.toml constraints.txt scripts/install.py
	$(PYTHON) scripts/install.py
	touch $@

train: $(READY)
	scripts/with_engine sh -c '$(RUN) -m scgrpo.train env=swe_lite $(TRAIN) $(ARGS) && $(RUN) -m evals.run --ood $(EVAL) && $(RUN) -m evals.page'

report: $(READY)
	$(RUN) -m evals.credit
	$(RUN) -m evals.page

# One process for each of two cores; the tests that want the machine alone come last.
test: $(READY)
	scripts/with_engine $(RUN) -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

# What a release needs: nothing is sampled.
test-all: $(READY)
	scripts/with_engine $(RUN) -m pytest -n $(WORKERS) --dist loadgroup --all $(ARGS)
	scripts/with_engine scripts/test_interop.sh

# OpenEnv's and verifiers' own clients and runners, Ray, and agents of others, each in an environment
# of its own over .venv.
test-interop: $(READY)
	scripts/with_engine scripts/test_interop.sh $(ARGS)

test-vllm: $(READY)
	scripts/test_vllm.sh $(ARGS)

check: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

bench: $(READY)
	scripts/with_engine $(RUN) -m benchmarks $(ARGS)

# For one CUDA GPU; ARGS=--tiny is a dry run without.
gpu-check: $(READY)
	$(RUN) scripts/gpu_check $(ARGS)

soak: $(READY)
	scripts/with_engine $(RUN) -m sandboxes.soak $(ARGS)

doctor: $(READY)
	scripts/with_engine $(RUN) -m sandboxes.doctor $(ARGS)
