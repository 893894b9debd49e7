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

# Tests that need a program of the system are skipped without it; where packages of Debian may be installed, it is there.
install_if_absent() {
    local program=$1
    shift
    if command -v "$program" >/dev/null || ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        return 0
    fi
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@"; } >/dev/null 2>&1 ||
        say "$program could not be installed; tests that need it are skipped"
}

install_if_absent chromedriver chromium chromium-driver
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
