#!/usr/bin/env bash
# Makes the virtual environment and sees to it that MuJoCo can render without a display. Called by make.
set -euo pipefail

python=${PYTHON:-python3}
venv=${VENV:-.venv}

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 2; }

command -v "$python" >/dev/null || fail "$python not found; install Python 3.11 or newer, or call make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || fail "$("$python" --version) is too old; Python 3.11 or newer is needed (make PYTHON=/path/to/python3)"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "Making $venv"
    "$python" -m venv --clear "$venv" >/dev/null 2>&1 || {
        # Debian ships venv apart from Python.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
            "$python" -m venv --clear "$venv"
        else
            fail "$python cannot make a virtual environment; as root: apt-get install python3-venv"
        fi
    }
fi

say "Installing the pinned dependencies (torch is the largest; a few minutes on the first call)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable '.[dev,tensorboard,atari,gym,stats]'

# MuJoCo renders through a software OpenGL where there is no GPU and no display.
rendering() { "$venv/bin/python" -c 'from harness.tasks import select_backend; print("MuJoCo renders with", select_backend())'; }
if ! rendering 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing a software OpenGL (libosmesa6, libegl1, libgl1)"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            libosmesa6 libegl1 libgl1 >/dev/null
        rendering || fail "MuJoCo cannot render here; $venv/bin/wm doctor says more"
    else
        fail "MuJoCo cannot render here; as root: apt-get install libosmesa6 (or libegl1 libgl1), then call make again"
    fi
fi
