"""What the axes of parameters are called."""

from dataclasses import dataclass

import pytest

from prosper_ng.models.axes import axes_of
from prosper_ng.models.bsc import BSC
from prosper_ng.models.dsc import DSC
from prosper_ng.models.gsc import GSC
from prosper_ng.models.interface import ParameterSpec, learnable
from prosper_ng.numerics.constraints import REAL
from tests.helpers.model_cases import instances


@pytest.mark.parametrize("n_observed", [1, 4, 6])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (BSC(n_latents=4), {"W": ("D", "H"), "sigma": (), "pi": ("H",)}),
        (BSC(n_latents=1, shared_pi=True, data_mean=True), {"W": ("D", "H"), "sigma": (), "pi": (), "mu": ("D",)}),
        (DSC(n_latents=4, values=(0, 1, 2, 3), shared_pi=False), {"pi": ("H", "K")}),
        (GSC(n_latents=4, slab="full", noise="full"), {"Psi": ("H", "H_2"), "Sigma": ("D", "D_2"), "mu": ("H",)}),
        (GSC(n_latents=4, noise="diagonal"), {"psi": ("H",), "sigma": ("D",)}),
    ],
)
def test_axes_have_the_symbols_of_the_papers_whatever_is_equally_long(model, expected, n_observed):
    found = axes_of(model, n_observed)
    assert expected.items() <= found.items()


@pytest.mark.parametrize("kind", sorted(instances()))
def test_all_axes_of_all_models_have_names_of_their_own(kind):
    model = instances()[kind](3)
    specs = learnable(model.parameters(5))
    found = axes_of(model, 5)
    assert {name: len(own) for name, own in found.items()} == {name: len(spec.shape) for name, spec in specs.items()}
    for own in found.values():
        assert len(set(own)) == len(own)
        assert not set(own) & specs.keys()


@dataclass(frozen=True)
class Peculiar:
    """Takes an even number of latents only, and calls its dictionary D."""

    n_latents: int = 4

    def __post_init__(self):
        if self.n_latents % 2:
            raise ArithmeticError("odd")

    def parameters(self, n_observed):
        shapes = {"D": (n_observed, self.n_latents), "pairs": (self.n_latents // 2, 7), "few": (3,)}
        return {name: ParameterSpec(shape, REAL, name) for name, shape in shapes.items()}


def test_a_model_that_cannot_be_made_with_one_more_latent_has_names_all_the_same():
    found = axes_of(Peculiar(), 5)
    assert found == {"D": ("n_observed", "H"), "pairs": ("pairs_0", "pairs_1"), "few": ("few_0",)}
