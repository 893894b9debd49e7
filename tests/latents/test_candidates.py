"""States that candidates combine to, beside plain enumeration."""

from itertools import combinations, product

import numpy as np
import pytest

from prosper_ng.latents.candidates import Preselected, candidate_tree
from prosper_ng.latents.space import LatentSpace


def listed(candidates: np.ndarray, space: LatentSpace, most: int) -> set[tuple[int, ...]]:
    """Zero, singletons, and all states of 2 to `most` active candidates."""
    states = [np.zeros(space.n_latents, np.int64)]
    chosen = [(h,) for h in range(space.n_latents)]
    chosen += [some for k in range(2, most + 1) for some in combinations(candidates, k)]
    for some in chosen:
        for values in product(range(1, space.n_values), repeat=len(some)):
            states.append(np.zeros(space.n_latents, np.int64))
            states[-1][list(some)] = values
    return {tuple(state) for state in states}


@pytest.mark.parametrize("n_latents", [3, 64, 100, 200])
@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 1.0, 2.0)])
def test_states_of_many_latents_are_those_that_candidates_combine_to(n_latents, values):
    """Bits anywhere in a word, the highest with the lowest: no number of another type could hold them."""
    space, rng = LatentSpace(n_latents, values), np.random.default_rng(n_latents)
    ends = [0, n_latents - 1, 1]
    candidates = np.array([ends, rng.permutation(n_latents)[:3], rng.permutation(n_latents)[:3]])
    codes = Preselected(candidates, candidate_tree(3, 3, space.n_values)).codes(space)
    for row, states in zip(candidates, codes, strict=True):
        found = [tuple(state) for state in space.decode(states)]
        assert len(found) == len(set(found))
        assert set(found) == listed(row, space, 3)
