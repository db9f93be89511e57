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
    [ -e "$folder/.ready" ] && return
    "${PYTHON:-python3}" -m venv --clear "$folder"
    purelib='import sysconfig; print(sysconfig.get_path("purelib"))'
    .venv/bin/python -c "$purelib" > "$("$folder/bin/python" -c "$purelib")/base.pth"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
    touch "$folder/.ready"
}

layer .venv-openenv openenv==0.10.0
# Its dependency is an older release of openenv, under another name and in the same place.
.venv-openenv/bin/pip install --quiet --disable-pip-version-check --no-deps openenv-dipg-safety==0.1.67
layer .venv-verifiers verifiers==0.4.0 uv==0.13.9 statsmodels==0.15.0
layer .venv-ray ray==2.60.0

.venv-openenv/bin/python -m pytest --all tests/envs/interop tests/evals/export/test_openenv.py "$@"
.venv-verifiers/bin/python -m pytest --all tests/envs/interop/test_verifiers.py \
    tests/evals/comparison "$@"
.venv-ray/bin/python -m pytest --all tests/scgrpo/cluster \
    tests/evals/evaluation/test_workers.py "$@"
