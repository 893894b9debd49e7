#!/usr/bin/env python3
"""What scikit-learn's `check_estimator` says of each estimator, as a table: checks that ran, passed, were skipped.

python scripts/bench/check_estimators.py [--n-components 4 12] [--only BSC GSC]

Each line is a process of its own, once with SCIPY_ARRAY_API=1, which one of the checks asks for, and once without.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from typing import Any

from prosper_ng.environment import prepare_environment

prepare_environment()

import sklearn
from sklearn.utils.estimator_checks import check_estimator

from prosper_ng import estimators

NAMES = (
    "BSC", "TSC", "DSC", "MCA", "MMCA", "GSC", "NoisyOR", "SBN", "KMeans", "GaussianMixture", "Mixture", "MFA",
    "MixtureClassifier",
)  # fmt: skip


def checked(name: str, n_components: int) -> dict[str, Any]:
    """How many checks came to what, the names of those that did not pass, and processor seconds."""
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(getattr(estimators, name)(n_components), on_skip=None, on_fail=None)
    counts = {status: sum(each["status"] == status for each in results) for status in ("passed", "skipped", "failed")}
    others = sorted({each["check_name"] for each in results if each["status"] != "passed"})
    return counts | {"others": others, "seconds": time.process_time() - begun}


def in_a_process(name: str, n_components: int, array_api: bool) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if key != "SCIPY_ARRAY_API"}
    environment |= {"SCIPY_ARRAY_API": "1"} if array_api else {}
    command = [sys.executable, __file__, "--one", name, str(n_components)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-components", type=int, nargs="+", default=[4, 12], help="4 is exhaustive, 12 searches")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(checked(arguments.one[0], int(arguments.one[1]))))
        return
    print(f"scikit-learn {sklearn.__version__}, Python {sys.version.split()[0]}\n")
    print("| estimator | n_components | SCIPY_ARRAY_API | checks | passed | skipped | failed | CPU s | not passed |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for n_components in arguments.n_components:
        for name in arguments.only:
            for array_api in (False, True):
                found = in_a_process(name, n_components, array_api)
                counts = [found[status] for status in ("passed", "skipped", "failed")]
                cells = [
                    name,
                    n_components,
                    "yes" if array_api else "no",
                    sum(counts),
                    *counts,
                    f"{found['seconds']:.0f}",
                ]
                print("|", " | ".join(map(str, [*cells, ", ".join(found["others"])])), "|", flush=True)


if __name__ == "__main__":
    main()
