#!/bin/sh
# Make .venv from requirements.lock, with nothing but a Python on the machine. Does nothing when
# .venv was already made from this very lock file.
# Line ends of Windows, from a copy that git did not make, are taken off first (the sign at the end
# of this line makes a comment of its own):
if grep -qs "$(printf '\r')" "$0"; then tr -d '\r' < "$0" | sh -s; exit $?; fi #
set -eu

made=.venv/.made
want=$(cksum < requirements.lock)
if [ -x .venv/bin/python ] && [ -f "$made" ] && [ "$(cat "$made")" = "$want" ] &&
    .venv/bin/python -c 'import programde, programde_project' 2>/dev/null; then
    touch "$made"
    exit 0
fi

usable='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
python=
for candidate in ${PROGRAMDE_PYTHON:-} python3 python3.12 python3.11 python3.13; do
    if "$candidate" -c "$usable" >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    found=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null || echo none)
    echo "make env: needs Python 3.11, 3.12 or 3.13 with its venv module; python3 here: $found" >&2
    exit 1
fi

echo "making .venv with $("$python" --version) (about 1.5 GB; once)" >&2
"$python" -m venv --clear .venv
pip() { .venv/bin/python -m pip --quiet --quiet --disable-pip-version-check --no-input "$@"; }
pip install --require-hashes -r requirements.lock
pip install --no-deps --no-build-isolation -e .
echo "compiling the kernels (one or two minutes; once)" >&2
# one sampler to a process: what both need is compiled by whichever comes first
.venv/bin/python scripts/compile_kernels.py bernoulli_index &
other=$!
.venv/bin/python scripts/compile_kernels.py stratified_perm
wait "$other"
printf '%s\n' "$want" > "$made"
