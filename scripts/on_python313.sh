#!/usr/bin/env bash
# The suite on Python 3.13, whatever the Python of this machine: in a clone with an environment of its
# own. Where the machine has no 3.13 (on the path or among pyenv's), a throwaway folder with Debian 13
# is made from the mirror that this machine uses. That needs root and debootstrap; where they cannot be
# had, one line says so and nothing fails.
#
#   bash scripts/on_python313.sh [COMMAND]      another command than `make test`
#
# PROGRAMDE_DEBIAN13 names a folder with Debian 13, to use it again and in any case; else it is made
# and deleted.
set -euo pipefail
cd "$(dirname "$0")/.."
command=${1:-make test}
ours='import sys, venv, ensurepip, ssl; sys.exit(sys.version_info[:2] != (3, 13))'
if [ -x .venv/bin/python ] && .venv/bin/python -c "$ours"; then
    echo "python 3.13: is what .venv is made of"
    exit 0
fi
log=$(mktemp)

cannot() {
    echo "python 3.13: not tried here: $1"
    exit 0
}

# the first 3.13 of this machine that can make environments
here=
if [ -z "${PROGRAMDE_DEBIAN13:-}" ]; then
    for candidate in python3.13 "$(pyenv root 2>/dev/null || true)"/versions/3.13*/bin/python3.13; do
        if "$candidate" -c "$ours" >/dev/null 2>&1; then
            here=$candidate
            break
        fi
    done
fi

folder=${PROGRAMDE_DEBIAN13:-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    kept=
else
    folder=$(realpath -m "$folder")
    kept=1
fi
leave() {
    for place in proc dev; do
        if mountpoint -q "$folder/$place"; then umount "$folder/$place"; fi
    done
    # what is still mounted is not ours to delete
    if [ -z "$kept" ] && ! mountpoint -q "$folder/dev" && ! mountpoint -q "$folder/proc"; then
        rm -rf --one-file-system "$folder"
    fi
    rm -f "$log"
}
trap leave EXIT

if [ -n "$here" ]; then
    git clone -q . "$folder/project"
    inside() { env -u PIP_CONSTRAINT PROGRAMDE_PYTHON="$here" /bin/sh -c "cd '$folder/project' && $1"; }
    inside "make env" >"$log" 2>&1 || cannot "its environment cannot be made: $(tail -n 1 "$log")"
    inside "$command"
    exit
fi

if [ ! -x "$folder/usr/bin/python3.13" ]; then
    [ "$(id -u)" = 0 ] || cannot "needs root"
    command -v debootstrap >/dev/null ||
        { apt-get update -qq && apt-get install -y -qq debootstrap; } >"$log" 2>&1 ||
        cannot "needs debootstrap"
    sources="/etc/apt/sources.list /etc/apt/sources.list.d"
    # shellcheck disable=SC2086
    mirror=$(grep -rhoE '(URIs: |deb )(\[[^]]*\] )?https?://[^ ]+' $sources 2>/dev/null |
        grep -oE 'https?://[^ ]+' | sed -n 1p || true)
    [ -n "$mirror" ] || cannot "no mirror of Debian is set up"
    # its packages are run in this folder alone and thrown away: an older machine lacks the keys
    debootstrap --variant=minbase --no-check-gpg \
        --include=python3,python3-venv,git,make,ca-certificates trixie "$folder" "$mirror" \
        >"$log" 2>&1 || cannot "$(tail -n 1 "$log")"
    for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" /etc/resolv.conf /etc/hosts; do
        if [ -e "$file" ]; then
            mkdir -p "$folder$(dirname "$file")"
            cp -L "$file" "$folder$file"
        fi
    done
    # wheels and constraints of this machine's own Python are no use to another
    sed -i -E '/constraint|find-links/d' "$folder/etc/pip.conf" \
        "$folder$HOME/.config/pip/pip.conf" 2>/dev/null || true
    rm -rf "$folder/etc/ssl"
    cp -rL /etc/ssl "$folder/etc/"
fi

rm -rf "$folder/project"
git clone -q . "$folder/project"
mount -t proc proc "$folder/proc" 2>"$log" || cannot "$(tail -n 1 "$log")"
mount --bind /dev "$folder/dev"
inside() { env -u PIP_FIND_LINKS -u PIP_CONSTRAINT chroot "$folder" /bin/sh -c "cd /project && $1"; }
inside "make env" >"$log" 2>&1 || cannot "its environment cannot be made: $(tail -n 1 "$log")"
inside "$command"
