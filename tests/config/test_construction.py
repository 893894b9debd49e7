"""Settings constructed in Python: the rules and words of the configuration."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prosper_ng.config import from_mapping
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.sources.npy import Npy
from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.estep.variations.neighborhood import NeighborSearch
from prosper_ng.models.bsc import BSC
from prosper_ng.models.dsc import DSC
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.settings import Training


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: BSC(n_latents=-3), "BSC(...): error: `n_latents` must be an integer greater than 0, not the integer"),
        (lambda: BSC(n_latents=3.5), "`n_latents` must be an integer greater than 0, not the number `3.5`"),
        (lambda: BSC(n_latents=True), "`n_latents` must be an integer greater than 0, not the boolean `true`"),
        (lambda: BSC(n_latents=None), "`n_latents` must be an integer greater than 0, not null"),
        (lambda: BSC(n_latents=object()), "`n_latents` is a value (object) that no configuration can hold"),
        (lambda: BSC(), "the field `n_latents` is needed, an integer greater than 0"),
        (lambda: BSC(n_latnts=3), "unknown field `n_latnts`; did you mean `n_latents`?"),
        (lambda: BSC(n_latents=3, unused="forget"), "`unused` must be `keep` or `redraw`, not the text"),
        (lambda: replace(BSC(n_latents=3), n_latents=0), "`n_latents` must be an integer greater than 0"),
        (lambda: Training(annealing={"temprature": 2}), "unknown field `temprature` in `annealing`; did you mean"),
        (lambda: Training(annealing=BSC(n_latents=3)), "`annealing` must be a mapping with the fields temperature"),
        (lambda: Annealing(temperature=[[0, 2.0], [1, -1.0]]), "Annealing(...): error: temperature: the value -1.0"),
        (lambda: Search(variations=[]), "`variations` must be a list that is not empty"),
        (lambda: Search(variations=[Exhaustive()]), "not Exhaustive(...)"),
        (lambda: Search(variations=[{"kind": "evoluton"}]), "did you mean `evolution`?"),
        (lambda: Memory(data_budget="5 parsecs"), "data_budget '5 parsecs' is not a size"),
    ],
)  # fmt: skip
def test_what_is_not_legal_is_said_as_of_a_file(make, sentence):
    with pytest.raises(UserError) as caught:
        make()
    assert sentence in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(UserError) as caught:
        BSC(n_latents=0, shared_pi=1, unsed="keep")
    assert all(name in str(caught.value) for name in ("`n_latents`", "`shared_pi`", "did you mean `unused`?"))


def test_lists_become_tuples_numbers_of_numpy_numbers_and_mappings_settings():
    assert DSC(n_latents=np.int64(4), values=[-1.0, 0, 1]) == DSC(n_latents=4, values=(-1.0, 0.0, 1.0))
    made = Training(annealing={"temperature": [[0, 2], [3, 1]]}, learn=["W"])
    assert made == Training(annealing=Annealing(temperature=((0, 2.0), (3, 1.0))), learn=("W",))
    assert Npy(path=Path("some") / "data.npy").path == "some/data.npy"
    mixed = Search(variations=[Evolution(), {"kind": "neighbourhood"}])
    assert mixed.variations == (Evolution(), NeighborSearch())
    hash(mixed)


def test_settings_that_are_given_are_taken_as_they_are():
    class Own:
        kind, active = "own", True

    own, evolution = Own(), Evolution(n_parents=3)
    assert Search(variations=(own,)).variations[0] is own
    assert Search(variations=[evolution]).variations[0] is evolution


@pytest.mark.parametrize(
    "made", [BSC(n_latents=3), Search(n_states=7, variations=(Evolution(),)), Training(n_sweeps=4)]
)
def test_what_is_constructed_is_what_a_configuration_says(made):
    fields = {name: getattr(made, name) for name in type(made).__dataclass_fields__}
    written = {name: value for name, value in fields.items() if isinstance(value, int | str)}
    if isinstance(made, Search):
        written["variations"] = [{"kind": "evolution"}]
    assert from_mapping(written, type(made)).value == made == replace(made) == pickle.loads(pickle.dumps(made))


def test_components_are_known_without_numpy_and_pydantic():
    code = (
        "import sys, prosper_ng, prosper_ng.components; print([m for m in ('numpy', 'pydantic') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
