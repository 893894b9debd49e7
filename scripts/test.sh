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
