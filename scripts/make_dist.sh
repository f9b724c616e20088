#!/bin/sh
# Wheel and source archive into dist/, and what is wrong with them. The tools come from
# requirements/dist.lock, into an environment of their own.
set -eu

python=${PROGRAMDE_PYTHON:-python3}
tools=build/dist-tools
if [ ! -x "$tools/bin/twine" ]; then
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip -qq --disable-pip-version-check install --require-hashes \
        -r requirements/dist.lock
fi
rm -rf dist build/lib build/bdist.* ./*.egg-info
# the wheel is made from the source archive, which thereby is shown to be whole
"$tools/bin/python" -m build --no-isolation --outdir dist . > build/dist.log 2>&1 || {
    tail -30 build/dist.log >&2
    exit 1
}
"$tools/bin/twine" check --strict dist/*
"$tools/bin/check-wheel-contents" dist/*.whl
ls -l dist
