#!/usr/bin/env sh
# Runs the tests against packages whose versions exclude each other's or ours, and against Ray: each
# of these has a small virtual environment of its own on top of .venv, which holds all the rest.
set -eu
cd "$(dirname "$0")/.."
# For the processes that tests start: a layer does not see that .venv has the project installed.
export PYTHONPATH="$PWD"

layer() {
    folder=$1
    shift
    [ "$(cat "$folder/.ready" 2>/dev/null)" = "$*" ] && return
    "${PYTHON:-python3}" -m venv --clear "$folder"
    purelib='import sysconfig; print(sysconfig.get_path("purelib"))'
    .venv/bin/python -c "$purelib" > "$("$folder/bin/python" -c "$purelib")/base.pth"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
    echo "$*" > "$folder/.ready"
}

layer .venv-openenv openenv==0.10.0 textarena==0.7.4 reasoning-gym==0.1.25 skyrl-gym==0.4.0
# They want older releases: of openenv under another name and in the same place, of reasoning-gym.
.venv-openenv/bin/pip install --quiet --disable-pip-version-check --no-deps \
    openenv-dipg-safety==0.1.67 gem-llm==0.1.0
layer .venv-agents mini-swe-agent==2.4.6 openai==3.57.0
layer .venv-verifiers verifiers==0.4.0 uv==0.13.9 statsmodels==0.15.0
layer .venv-scienceworld scienceworld==1.2.3
layer .venv-ray ray==2.60.0

.venv-openenv/bin/python -m pytest --all tests/envs/interop tests/evals/export/test_openenv.py \
    tests/scripts/test_public_environments.py "$@"
.venv-verifiers/bin/python -m pytest --all tests/envs/interop/test_verifiers.py \
    tests/evals/comparison "$@"
.venv-agents/bin/python -m pytest --all tests/scgrpo/agents "$@"
.venv-scienceworld/bin/python -m pytest --all tests/envs/published/scienceworld "$@"
.venv-ray/bin/python -m pytest --all tests/scgrpo/cluster \
    tests/evals/evaluation/test_workers.py "$@"
