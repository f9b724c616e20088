#!/bin/sh
# The documentation into build/docs; what builds it comes from requirements/docs.lock, into an
# environment of its own. Warnings are errors. Arguments go to sphinx-build:
#     sh scripts/make_docs.sh [tools | ARGUMENTS]      tools: only the environment
#
# Beside a .venv that is made from requirements.lock, what the two have in common, which is of the
# same versions, is taken from there and not installed again.
set -eu

tools=.venv-docs
on=
if [ "$(cat .venv/.made 2>/dev/null || true)" = "$(cksum < requirements.lock)" ]; then on=.venv; fi
want=$(cksum < requirements/docs.lock)${on:+ on $(cksum < requirements.lock)}
if [ "$(cat "$tools/.made" 2>/dev/null || true)" != "$want" ]; then
    python=${PROGRAMDE_PYTHON:-python3}
    size="1 GB"
    if [ -n "$on" ]; then python=$on/bin/python size="0.1 GB"; fi
    echo "making $tools with $("$python" --version)${on:+ on $on} (about $size; once)" >&2
    "$python" -m venv --clear "$tools"
    if [ -n "$on" ]; then
        where='import sysconfig; print(sysconfig.get_path("purelib"))'
        "$python" -c "$where" > "$("$tools/bin/python" -c "$where")/beside.pth"
    fi
    "$tools/bin/python" -m pip -qq --disable-pip-version-check install --no-deps \
        --require-hashes -r requirements/docs.lock
    printf '%s\n' "$want" > "$tools/.made"
fi
if [ "${1:-}" = tools ]; then exit 0; fi
PATH=$PWD/$tools/bin:$PATH \
    "$tools/bin/python" -m sphinx -q -W --keep-going -b html "$@" docs build/docs
echo "documentation: $PWD/build/docs/index.html"
