"""Models are held against their cases in the files of their names; what has none is held against itself."""

import sys

import numpy as np
import pytest

from prosper_ng.components import components_of
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import DiscreteLatents
from prosper_ng.models.mca import MCA
from prosper_ng.protocols import lacking
from prosper_ng.testing import ModelCase, Skipped, check_model, checks_of, parametrize_with_checks
from tests.helpers.model_cases import cases, without_tests
from tests.models.test_bsc import CASES


def test_every_model_of_the_folder_is_tested():
    models = components_of("prosper_ng.models")
    of_states = {kind for kind, model in models.items() if not lacking(model, DiscreteLatents)}
    assert {case.kind for case in cases().values()} == of_states
    assert set(models) - of_states == {"laplace"}
    assert "laplace" not in without_tests()


@parametrize_with_checks({kind: cases()[kind] for kind in without_tests()})
def test_models_without_tests_of_their_own(check):
    check()


def outcome(case: ModelCase, name: str) -> str:
    """What becomes of one check: nothing, why it was skipped, or why it failed."""
    try:
        dict(checks_of(case))[name]()
    except Skipped as reason:
        return f"skipped: {reason}"
    except AssertionError as error:
        return f"failed: {error}"
    return ""


class WrongJoint(BSC):
    def log_joint(self, prepared, projected, codes):
        return super().log_joint(prepared, projected, codes) + 1e-6


class WrongPrior(BSC):
    def log_prior(self, prepared, codes):
        return super().log_prior(prepared, codes) - 0.01


class WrongNeighbors(BSC):
    def log_joint_of_neighbors(self, prepared, projected, neighborhood):
        found = super().log_joint_of_neighbors(prepared, projected, neighborhood)
        found.switched[0, 0] += 0.1
        return found


class WrongPosterior(BSC):
    def preselect(self, prepared, projected, batch, chosen, tempering):
        found = super().preselect(prepared, projected, batch, chosen, tempering)
        found.free_energy[0] -= 1e-3
        return found


class WrongStep(BSC):
    def maximize(self, params, sums, step):
        new = super().maximize(params, sums, step)
        if "sigma" in step.learn:
            new["sigma"] *= 1.2
        return new


class WrongStatistics(BSC):
    def accumulate(self, prepared, projected, batch, codes, weights, sums):
        super().accumulate(prepared, projected, batch, codes, weights, sums)
        sums["n"] += len(codes) > 0


class WrongSamples(BSC):
    def sample(self, params, n_rows, rng):
        values, states = super().sample(params, n_rows, rng)
        return values + 0.2 * params["sigma"], states


class Infinite(BSC):
    def initial(self, moments, rng):
        params = super().initial(moments, rng)
        params["W"][:, :1] = np.inf
        return params


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (WrongJoint, "log joint equals the reference"),
        (WrongJoint, "missing entries leave the log joint of the observed ones"),
        (WrongPrior, "log prior equals the reference"),
        (WrongPrior, "prior is a distribution and the same for all rows"),
        (WrongNeighbors, "neighbors have the log joints of the states they are"),
        (WrongPosterior, "preselected states weigh what listing them gives"),
        (WrongStep, "m step is a maximum of the expected log joint"),
        (WrongStep, "entropy identity holds right after a full m step"),
        (WrongStatistics, "statistics add up over any split in any order"),
        (WrongStatistics, "zero weights and empty batches add nothing"),
        (WrongSamples, "samples have the moments of the model"),
        (Infinite, "learning stays finite and legal: plain"),
    ],
)
def test_a_check_finds_what_is_wrong(model, name):
    references = {each: getattr(CASES["bsc"], each) for each in ("log_joint", "prior", "mean", "variance")}
    wrong = ModelCase(lambda n_latents: model(n_latents=n_latents), **references)
    assert outcome(wrong, name).startswith("failed: ")


def test_what_a_model_or_its_case_does_not_say_is_skipped_with_the_reason():
    bare = ModelCase(lambda n_latents: MCA(n_latents=n_latents))
    reason = "skipped: the case of mca has no reference `log_joint`"
    assert outcome(bare, "log joint equals the reference") == reason
    assert outcome(bare, "zero weights and empty batches add nothing") == ""


def test_all_checks_at_once_name_the_one_that_fails():
    case = ModelCase(lambda n_latents: WrongStatistics(n_latents=n_latents))
    said = r"bsc, statistics add up over any split in any order: sum of the .* \(\d latents, \d observed .*, seed \d+\)"
    with pytest.raises(AssertionError, match=said):
        check_model(case)


def test_without_hypothesis_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r'choose their sizes with hypothesis: pip install "prosper_ng\[test\]"'):
        check_model(CASES["bsc"])
    assert outcome(CASES["bsc"], "zero weights and empty batches add nothing") == ""
