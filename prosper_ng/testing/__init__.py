"""Checks of models and E-steps, for those in this package and for those of plug-ins.

A model is given as a case: how to make it, and its log joint, prior and mean, written down as plainly as possible.

    CASE = ModelCase(make=lambda n_latents: MyModel(n_latents=n_latents), log_joint=joint, prior=prior)

    check_model(CASE)                     # everything at once

    @parametrize_with_checks({"mine": CASE})   # with pytest: a test for each check
    def test_contract(check):
        check()

What a model does not offer, and what needs a reference that a case does not give, is skipped with the reason. Sizes of
problems are chosen by hypothesis, which is imported when the first check needs it; pytest only by
`parametrize_with_checks`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prosper_ng.testing import edge_checks, estep_checks, model_checks, state_checks
from prosper_ng.testing.cases import LogJoint, ModelCase, OfStates, Skipped, bound
from prosper_ng.testing.estep_checks import EStepCase
from prosper_ng.testing.problems import random_parameters

__all__ = [
    "EStepCase",
    "LogJoint",
    "ModelCase",
    "OfStates",
    "Skipped",
    "check_estep",
    "check_model",
    "checks_of",
    "parametrize_with_checks",
    "random_parameters",
]


def checks_of(case: ModelCase | EStepCase) -> Iterator[tuple[str, Callable[[], None]]]:
    """Names of checks, and functions that make them.

    These raise AssertionError with what is wrong, and `Skipped` where the case or the model does not say enough.
    """
    if isinstance(case, EStepCase):
        return bound(estep_checks.CHECKS, case)
    return bound([*model_checks.CHECKS, *state_checks.CHECKS, *edge_checks.CHECKS], case)


def check_model(case: ModelCase) -> dict[str, str]:
    """Make all checks of a model; those that were skipped, with the reasons.

    Raises AssertionError with the name of the first check that fails, ImportError where hypothesis is not installed.
    """
    return _check(case)


def check_estep(case: EStepCase) -> dict[str, str]:
    """The same of an E-step, or of a variation as part of a search."""
    return _check(case)


def parametrize_with_checks(cases: Mapping[str, ModelCase | EStepCase]) -> Any:
    """A decorator for a pytest function of `check`, which calls it: a test for each check of each case, by its name."""
    import pytest

    def skipping(check: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                check()
            except Skipped as reason:
                pytest.skip(str(reason))

        return run

    found = [(f"{name}: {of}", skipping(check)) for name, case in cases.items() for of, check in checks_of(case)]
    return pytest.mark.parametrize("check", [check for _, check in found], ids=[name for name, _ in found])


def _check(case: ModelCase | EStepCase) -> dict[str, str]:
    skipped = {}
    for name, check in checks_of(case):
        try:
            check()
        except Skipped as reason:
            skipped[name] = str(reason)
        except ImportError:
            raise
        except Exception as error:
            raise AssertionError(f"{case.kind}, {name}: {error}") from error
    return skipped
