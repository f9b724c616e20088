#!/bin/sh
# The library's tests on the oldest or the newest versions that pyproject.toml admits:
#     sh scripts/test_bounds.sh oldest|newest [PYTEST ARGUMENTS]
# What is the pipeline's (its tests, those of the whole house) is tested on requirements.lock alone.
set -eu

set_of=$1
shift
place=.venv-$set_of
case $set_of in
oldest) candidates="python3.11 python3" ;;
newest) candidates="python3.13 python3.12 python3" ;;
*) echo "which? oldest or newest" >&2; exit 2 ;;
esac
want=$(cksum < "requirements/$set_of.lock")
if [ "$(cat "$place/.made" 2>/dev/null || true)" != "$want" ]; then
    python=
    for candidate in ${PROGRAMDE_PYTHON:-} $candidates; do
        if "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || { echo "test-$set_of: needs one of $candidates" >&2; exit 1; }
    echo "making $place with $("$python" --version)" >&2
    "$python" -m venv --clear "$place"
    # the lock names everything: nothing is left for pip to work out, at which an old one is slow
    "$place/bin/python" -m pip -qq --disable-pip-version-check install --no-deps \
        --require-hashes -r "requirements/$set_of.lock"
    "$place/bin/python" -m pip --disable-pip-version-check check
    printf '%s\n' "$want" > "$place/.made"
fi
# the checkout itself is on the path: nothing is installed of it
exec "$place/bin/python" -m pytest -q -n auto --maxprocesses 8 \
    tests/analysis tests/calibration tests/compat tests/controls tests/crt tests/io tests/report \
    tests/screen tests/tails tests/test_array_files.py tests/test_compiled.py \
    tests/test_docstrings.py tests/test_large_tables.py tests/test_limits.py \
    tests/test_option_fields.py tests/test_ranges.py tests/test_readme.py \
    tests/test_root_finding.py tests/test_stamps.py tests/test_threads.py tests/test_tl.py "$@"
