# Sourced by the other scripts: `prepare_environment EXTRAS` moves to the checkout and installs it into .venv.

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "error: $*"
    exit 1
}

is_supported() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
        if is_supported "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    [ -z "${PYTHON:-}" ] || fail "PYTHON is '$PYTHON', which is not a Python 3.11 or newer"
    fail "no Python 3.11 or newer was found; install one, or name it: PYTHON=/path/to/python bash $0"
}

is_usable() { is_supported "$1/bin/python" && "$1/bin/pip" --version >/dev/null 2>&1; }

make_venv() {
    local python
    ! is_usable .venv || return 0
    [ ! -e .venv ] || fail ".venv is not a working environment with Python 3.11 or newer; remove that folder and start again"
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv >&2 ||
        fail "'$python -m venv' did not work; where Python comes from the system's packages, install its venv package"
}

# What was installed is remembered, so that a second call neither waits for pip nor needs a network.
install_checkout() {
    local extras=$1 stamp="$PWD/.venv/installed-${1//,/-}" wanted begun
    wanted=$(cat setup.cfg pyproject.toml && pwd -P)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing prosper_ng[$extras] into .venv, with numpy, scipy, numba, h5py and what else it needs: up to 700 MB"
    say "this takes a minute or two where the network is fast, and says nothing until it is done"
    begun=$SECONDS
    .venv/bin/python -m pip install -qq --disable-pip-version-check --editable ".[$extras]" >&2 ||
        fail "pip could not install prosper_ng[$extras]; the lines above say why"
    say "installed in $((SECONDS - begun)) s"
    printf '%s\n' "$wanted" >"$stamp"
}

prepare_environment() {
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    make_venv
    install_checkout "$1"
    PATH="$PWD/.venv/bin:$PATH"
}
