"""What E-steps find out while they run belongs to their caller, not to the parameters."""

import pickle

import numpy as np
import pytest

from prosper_ng.estep.interface import Target
from prosper_ng.estep.preselection import Preselection
from prosper_ng.models.bsc import BSC
from prosper_ng.models.capabilities import workspace_for
from prosper_ng.models.gsc import GSC
from prosper_ng.models.interface import Batch
from prosper_ng.models.mca import MCA
from prosper_ng.models.mmca import MMCA
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream

H, D, N = 12, 19, 40
MODELS = {
    "mca": MCA(n_latents=H),
    "mmca-soft": MMCA(n_latents=H, superposition="soft"),
    "bsc": BSC(n_latents=H),
    "gsc": GSC(n_latents=H),
}
EACH = pytest.mark.parametrize("model", list(MODELS.values()), ids=list(MODELS))
ESTEP = Preselection(n_candidates=7, max_active=4)


def targets_of(model) -> list[Target]:
    """Two blocks of rows at the same parameters, without a workspace."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(D, H))
    slabs = {"mu": np.ones(H), "psi": np.ones(H)} if isinstance(model, GSC) else {}
    params = NamedArrays.of(W=np.abs(W) if isinstance(model, MCA) else W, sigma=0.5, pi=np.full(H, 0.2), **slabs)
    values, _ = model.sample(params, 2 * N, rng)
    prepared, streams = model.prepare(params), stream(1, "test")
    blocks = [Batch(np.arange(N) + start, values[start : start + N]) for start in (0, N)]
    return [
        Target(model, prepared, model.project(prepared, block), block, model.activity(params), streams)
        for block in blocks
    ]


def outcome(target: Target) -> bytes:
    """All that comes out of an E-step, to the last bit."""
    sums = NamedArrays(target.model.statistics(D))
    posterior = ESTEP.posterior(target, None)
    posterior.accumulate(None, sums)
    return sums.buffer.tobytes() + posterior.free_energy.tobytes() + posterior.entropy.tobytes()


@EACH
def test_an_estep_leaves_what_belongs_to_the_parameters_as_it_was(model):
    first, second = targets_of(model)
    before = pickle.dumps(first.prepared)
    outcome(first), outcome(second)
    assert pickle.dumps(first.prepared) == before


@EACH
def test_a_workspace_changes_no_bit_whichever_block_comes_first(model):
    alone = [outcome(target) for target in targets_of(model)]
    for order in (slice(None), slice(None, None, -1)):
        targets = targets_of(model)
        shared = workspace_for(model, targets[0].prepared)
        found = [outcome(target._replace(workspace=shared)) for target in targets[order]]
        assert found == alone[order]


@pytest.mark.parametrize("kind", ["mca", "mmca-soft"])
def test_what_one_block_met_is_known_to_the_next(kind):
    targets = targets_of(MODELS[kind])
    shared = workspace_for(MODELS[kind], targets[0].prepared)
    sizes = []
    for target in (*targets, *targets):
        outcome(target._replace(workspace=shared))
        sizes.append(int(shared.superpositions(ESTEP.max_active).table.n_states[0]))
    assert 0 < sizes[0] < sizes[1] == sizes[2] == sizes[3]


@pytest.mark.parametrize("kind", ["mca", "mmca-soft"])
def test_a_workspace_of_other_parameters_is_refused(kind):
    target, other = targets_of(MODELS[kind])[0], targets_of(MODELS[kind])[0]
    shared = workspace_for(MODELS[kind], other.prepared)
    with pytest.raises(ValueError, match="the workspace is that of other parameters"):
        outcome(target._replace(workspace=shared))
