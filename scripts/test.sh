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

install_if_absent chromedriver chromium chromium-driver
install_if_absent slurmctld slurm-wlm munge libpmix-dev
prepare_environment all,test
check ruff check --quiet .
check ruff format --check --diff --quiet .
check mypy
check lint-imports --no-logo
python -m pytest "$@" || failed+=(pytest)

if [ ${#failed[@]} -gt 0 ]; then
    say "failed: ${failed[*]}"
    exit 1
fi
