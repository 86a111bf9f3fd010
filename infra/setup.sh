#!/bin/sh
# Make .venv/ with the pinned packages and this project in it. Needs Python 3.11 or 3.12 and pip, nothing else.
# Returns at once when .venv/ already matches; PYTHON=... chooses another interpreter for a new one.
set -eu
cd "$(dirname "$0")/.."

fail() { echo "error: $*" >&2; exit 1; }
stamp_now() { { cat requirements.txt pyproject.toml; .venv/bin/python -VV; pwd; } 2>/dev/null | cksum; }
supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1; }

find_python() {
    for candidate in "${PYTHON:-python3}" python3.12 python3.11 python; do
        if supported "$candidate"; then echo "$candidate"; return; fi
    done
    fail "needs Python 3.11 or 3.12 on the PATH (or PYTHON=/path/to/python), found $(python3 -V 2>&1 || true)"
}

make_venv() {  # Debian ships Python without ensurepip: there pip comes from outside the new environment.
    "$1" -m venv --clear .venv >/dev/null 2>&1 && return
    "$1" -m venv --clear --without-pip .venv && "$1" -m pip --python .venv/bin/python install --quiet pip && return
    uv venv --quiet --clear --seed --python "$1" .venv || fail "cannot make .venv: install Python's venv module or uv"
}

install() {  # uv is much faster; whatever stops it, pip reads the same file.
    uv=.venv/bin/uv
    [ -x $uv ] || .venv/bin/python -m pip install --quiet uv 2>/dev/null || uv=$(command -v uv) || uv=false
    "$uv" pip install --quiet --python .venv/bin/python --no-deps "$@" ||
        .venv/bin/python -m pip install --quiet --no-deps "$@" || fail "cannot install the packages (see above)"
}

has_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null

get_chromium() {  # Tests open the reports in it; nothing else needs a browser.
    has_chromium || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null && return
    echo "Installing Chromium for the tests of the reports ..."
    { apt-get install -y -qq --no-install-recommends chromium ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }; } >/dev/null 2>&1 || true
}

get_chromium
supported .venv/bin/python || rm -rf .venv
if [ -f .venv/stamp ] && [ "$(cat .venv/stamp)" = "$(stamp_now)" ]; then exit 0; fi
if [ ! -d .venv ]; then
    python=$(find_python)
    echo "Making .venv with $("$python" -V) ..."
    make_venv "$python"
fi
echo "Installing the packages of requirements.txt into .venv (the first time takes some minutes) ..."
install -r requirements.txt
install -e .
# uv leaves this to the first import, and every worker process imports thousands of modules.
.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
has_chromium || echo "No Chromium found: tests that open reports in a browser are skipped (install chromium)."
stamp_now > .venv/stamp
echo "Installed: . .venv/bin/activate makes data-engine a command of this shell."
