#!/usr/bin/env bash
# All checks, in an environment of their own; arguments go to pytest: `bash scripts/test.sh -m ""` adds the slow tests.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

failed=()

check() {
    local output
    if output=$("$@" 2>&1); then
        printf 'passed: %s\n' "$*"
    else
        printf '%s\nFAILED: %s\n' "$output" "$*"
        failed+=("$1")
    fi
}

# Tests that need a program of the system are skipped without it; where Debian's packages may be installed, they are.
install_if_absent() {
    local program=$1
    shift
    if command -v "$program" >/dev/null || ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        return 0
    fi
    export DEBIAN_FRONTEND=noninteractive
    if ! { timeout 120 apt-get update && timeout 300 apt-get install -y --no-install-recommends "$@"; } >/dev/null 2>&1; then
        say "$program could not be installed; tests that need it are skipped"
    fi
}

install_if_absent chromedriver chromium chromium-driver
# Tests on a real Slurm need Debian's packages. Where these cannot be had, the tests are skipped, and say why.
install_slurm() {
    ! command -v slurmctld >/dev/null || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        return 0
    fi
    say "installing slurm-wlm and munge"
    {
        timeout 300 apt-get -qq update
        DEBIAN_FRONTEND=noninteractive timeout 300 apt-get -qq install --no-install-recommends \
            slurm-wlm munge libpmix-dev
    } >/dev/null 2>&1 </dev/null || say "they could not be installed; what needs Slurm is skipped"
}

prepare_environment all,test
install_slurm
check ruff check --quiet .
check ruff format --check --diff --quiet .
check mypy
check lint-imports --no-logo
python -m pytest "$@" || failed+=(pytest)

if [ ${#failed[@]} -gt 0 ]; then
    say "failed: ${failed[*]}"
    exit 1
fi
