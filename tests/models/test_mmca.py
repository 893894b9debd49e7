"""Maximum magnitude causes beside their plain definition."""

from prosper_ng.models.mmca import MMCA
from prosper_ng.testing import parametrize_with_checks
from tests.models.test_mca import case_of_maximum

CASES = {
    "mmca": case_of_maximum(lambda n_latents: MMCA(n_latents=n_latents, shared_pi=True), 1.2),
    "mmca-soft": case_of_maximum(lambda n_latents: MMCA(n_latents=n_latents, superposition="soft"), 1.2),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()
