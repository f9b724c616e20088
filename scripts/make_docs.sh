#!/bin/sh
# The documentation into build/docs; what builds it comes from requirements/docs.lock, into an
# environment of its own. Warnings are errors. Arguments go to sphinx-build.
set -eu

tools=.venv-docs
want=$(cksum < requirements/docs.lock)
if [ "$(cat "$tools/.made" 2>/dev/null || true)" != "$want" ]; then
    python=${PROGRAMDE_PYTHON:-python3}
    echo "making $tools with $("$python" --version) (about 1 GB; once)" >&2
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip -qq --disable-pip-version-check install --no-deps \
        --require-hashes -r requirements/docs.lock
    printf '%s\n' "$want" > "$tools/.made"
fi
PATH=$PWD/$tools/bin:$PATH \
    "$tools/bin/sphinx-build" -q -W --keep-going -b html "$@" docs build/docs
echo "documentation: $PWD/build/docs/index.html"
