"""Preselected states of the maximum models against the same states listed one by one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.estep.interface import Target
from prosper_ng.estep.listed import Listed
from prosper_ng.estep.preselection import Preselection
from prosper_ng.latents.candidates import candidate_tree
from prosper_ng.latents.lattice import lattice
from prosper_ng.latents.posterior import Tempering
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_table import clear, place_states, state_table
from prosper_ng.models.interface import Batch
from prosper_ng.models.maximum import preselection as _maximum_preselection
from prosper_ng.models.maximum import superpositions
from prosper_ng.models.mca import MCA
from prosper_ng.models.mmca import MMCA
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream

MODELS = {
    "mca": lambda n: MCA(n_latents=n),
    "mca-soft": lambda n: MCA(n_latents=n, superposition="soft"),
    "mmca": lambda n: MMCA(n_latents=n),
    "mmca-soft": lambda n: MMCA(n_latents=n, superposition="soft"),
}
EACH = pytest.mark.parametrize("make", list(MODELS.values()), ids=list(MODELS))


def target_for(make, sigma, seed=0, temperature=1.0, missing=False, likely=0.7, n_rows=40) -> Target:
    """Twelve latents, of MMCA with many entries of either sign that nearly cancel; two that are likely on."""
    model, rng = make(12), np.random.default_rng(seed)
    W = rng.normal(size=(19, 12)).round(1) + 1e-7 * rng.normal(size=(19, 12))
    pi = rng.uniform(0.05, 0.3, 12)
    pi[:2] = likely
    params = NamedArrays.of(W=W if isinstance(model, MMCA) else np.abs(W), sigma=sigma, pi=pi)
    values, _ = model.sample(params, n_rows, rng)
    observed = rng.random(values.shape) < 0.7 if missing else None
    batch = Batch(np.arange(n_rows), values if observed is None else np.where(observed, values, 0.0), observed)
    tempering = Tempering(temperature, anneal_prior=bool(seed % 2))
    prepared = model.prepare(params, temperature)
    projected = model.project(prepared, batch)
    streams, workspace = stream(1, "test"), model.workspace(prepared)
    return Target(model, prepared, projected, batch, model.activity(params), streams, tempering, workspace=workspace)


def check(target: Target, n_candidates=7, max_active=4) -> None:
    """That statistics, free energies and entropies agree to 12 digits with those of the listed states."""
    estep = Preselection(n_candidates=n_candidates, max_active=max_active)
    quick, listed = estep.posterior(target, None), Listed(target, estep.find(target, None))
    assert quick.free_energy == pytest.approx(listed.free_energy, rel=1e-12)
    assert quick.entropy == pytest.approx(listed.entropy, rel=1e-11, abs=1e-11)
    ours, theirs = (NamedArrays(target.model.statistics(target.batch.values.shape[1])) for _ in range(2))
    quick.accumulate(None, ours)
    listed.accumulate(None, theirs)
    for name in ours:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-12, abs=1e-12 * np.abs(theirs[name]).max()), name


@EACH
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    sigma=st.sampled_from([0.02, 0.2, 1.0]),
    temperature=st.sampled_from([1.0, 1.3, 6.0]),
    missing=st.booleans(),
    likely=st.sampled_from([0.7, 1 - 1e-10]),
)
def test_what_is_left_out_shows_in_no_digit(make, seed, sigma, temperature, missing, likely):
    check(target_for(make, sigma, seed, temperature, missing, likely))


def plain_statistics(target: Target, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`A` and `A_y` with all states (S, H), from nothing but the formulas."""
    params, rho = target.prepared, target.prepared.powers.rho
    values, observed, W = target.projected.values, target.projected.observed, params.elements.T
    shown = states[:, None, :] * W
    if rho == np.inf:
        won = np.abs(shown).argmax(axis=-1)[..., None] == np.arange(len(states[0]))
        shares = won * states[:, None, :].astype(float)
        means = (shares * W).sum(axis=-1)
    else:
        total = (np.sign(shown) * np.abs(shown) ** rho).sum(axis=-1)
        means = np.sign(total) * np.abs(total) ** (1 / rho)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(states[:, None, :] > 0, np.abs(W) / np.abs(means)[..., None], 0.0)
        shares = np.where(states.sum(axis=1)[:, None, None] == 1, ratio > 0, np.minimum(1.0, ratio) ** (rho - 1))
    distances = (observed[:, None] * (values[:, None] - means) ** 2).sum(axis=-1)
    log_joint = states @ params.log_odds - 0.5 * distances / params.sigma**2
    weights = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mass, moment = weights.T @ observed, weights.T @ (values * observed)
    of_all = shares.sum(axis=-1, keepdims=True)
    own = mass[..., None] * (of_all * W - means[..., None]) + moment[..., None]
    return np.einsum("sdh,sd->dh", shares * of_all, mass), np.einsum("sdh,sdh->dh", shares, own)


def rows_without_the_last(make, sigma: float, n_rows: int, missing: bool) -> Target:
    """Five latents of which the last is in no row, although it is as likely as the others."""
    model, rng = make(5), np.random.default_rng(3)
    W = rng.uniform(1.0, 6.0, (16, 5)) * (1 if isinstance(model, MCA) else rng.choice([-1.0, 1.0], (16, 1)))
    params, present = (NamedArrays.of(W=W, sigma=sigma, pi=np.append(np.full(4, 0.2), last)) for last in (0.2, 1e-10))
    values, _ = model.sample(present, n_rows, rng)
    observed = rng.random(values.shape) < 0.8 if missing else None
    batch = Batch(np.arange(n_rows), values if observed is None else np.where(observed, values, 0.0), observed)
    prepared = model.prepare(params)
    projected = model.project(prepared, batch)
    return Target(model, prepared, projected, batch, model.activity(params), stream(1, "test"), Tempering())


@EACH
@pytest.mark.parametrize("n_rows", [10, 60], ids=["foreseen", "found out"])
@pytest.mark.parametrize("missing", [False, True], ids=["", "missing"])
def test_entries_that_win_next_to_nothing_are_right_to_nine_digits(make, n_rows, missing):
    """In every row the states that make them win weigh less than what shows in its free energy."""
    smallest = []
    for sigma in (0.3, 0.4, 0.5, 0.6, 0.8):
        target = rows_without_the_last(make, sigma, n_rows, missing)
        estep, space = Preselection(n_candidates=5, max_active=5), target.model.space
        A, A_y = plain_statistics(target, space.decode(space.enumerate()))
        counts = 1e-16 * n_rows < A
        smallest.append(A[counts].min())
        for posterior in (estep.posterior(target, None), Listed(target, estep.find(target, None))):
            free_energy, entropy = posterior.free_energy.copy(), posterior.entropy.copy()
            sums = NamedArrays(target.model.statistics(16))
            posterior.accumulate(None, sums)
            assert sums["A"][counts] == pytest.approx(A[counts], rel=1e-9, abs=0)
            assert sums["A_y"][counts] / sums["A"][counts] == pytest.approx(A_y[counts] / A[counts], rel=1e-9)
            assert (posterior.free_energy == free_energy).all()
            assert (posterior.entropy == entropy).all()
    assert min(smallest) < 1e-11


@EACH
def test_singletons_whose_products_lose_their_digits_are_looked_at_again(make):
    """Beside entries of 1e8 a matrix product does not see what tells two singletons apart."""
    target, rng = target_for(make, 0.3), np.random.default_rng(1)
    W = 1e8 * rng.uniform(1.0, 2.0, (19, 12))
    W[:, 1] = W[:, 0] + 0.1 * rng.normal(size=19)
    params = NamedArrays.of(W=W, sigma=0.3, pi=np.full(12, 0.1))
    batch = Batch(np.arange(40), W[:, 0] + 0.3 * rng.normal(size=(40, 19)))
    prepared = target.model.prepare(params)
    projected, workspace = target.model.project(prepared, batch), target.model.workspace(prepared)
    target = target._replace(prepared=prepared, batch=batch, projected=projected, workspace=workspace)
    quick = Preselection(n_candidates=3, max_active=2).posterior(target, None)
    singletons = target.model.space.encode(np.eye(12, dtype=int)[:2])
    exact = target.log_joint(np.ascontiguousarray(np.broadcast_to(singletons, (40, 2, 1))))
    odds = quick.weighed.masses[:, 1] / quick.weighed.masses[:, 0]
    assert odds == pytest.approx(np.exp(exact[:, 1] - exact[:, 0]), rel=1e-9)


@EACH
def test_most_states_are_never_met(make):
    target, estep = target_for(make, 0.1, n_rows=64), Preselection(n_candidates=7, max_active=4)
    posterior = estep.posterior(target, None)
    listed = {code.tobytes() for row in estep.find(target, None).codes for code in row}
    assert target.workspace.superpositions(4).table.n_states[0] < 0.9 * len(listed)
    assert len(posterior.weighed.nodes) < 64 * 20


@EACH
@pytest.mark.parametrize("missing", [False, True])
def test_a_table_that_is_too_small_is_emptied_and_filled_again(make, missing, monkeypatch):
    monkeypatch.setattr(superpositions, "TABLE_NUMBERS", 20 * 32)
    monkeypatch.setattr(_maximum_preselection, "_COLLECTED_NUMBERS", 17 * 19)
    target = target_for(make, 1.0, missing=missing)
    check(target)
    assert len(target.workspace.superpositions(4).means) == 20


@EACH
def test_rows_side_by_side_are_not_mixed_up(make):
    target = target_for(make, 0.5, n_rows=200)
    whole = Preselection(n_candidates=5, max_active=3).posterior(target, None)
    part = Batch(np.arange(150, 200), target.batch.values[150:])
    rest = target._replace(batch=part, projected=target.model.project(target.prepared, part))
    tail = Preselection(n_candidates=5, max_active=3).posterior(rest, None)
    assert (whole.free_energy[150:] == tail.free_energy).all()


@EACH
def test_rows_without_a_finite_log_joint_are_nan(make):
    target = target_for(make, 1.0)
    target.batch.values[3] = 1e200
    target = target._replace(projected=target.model.project(target.prepared, target.batch))
    posterior = Preselection(n_candidates=3, max_active=2).posterior(target, None)
    lost = np.arange(40) == 3
    assert (np.isnan(posterior.free_energy) == lost).all()
    assert (np.isnan(posterior.entropy) == lost).all()
    sums = NamedArrays(target.model.statistics(19))
    posterior.accumulate(~lost, sums)
    assert np.isfinite(sums["counts"]).all()
    posterior.accumulate(None, sums)
    assert np.isnan(sums["counts"]).any()


@pytest.mark.parametrize(("n_candidates", "max_active"), [(1, 1), (5, 1), (5, 3), (6, 6), (9, 2)])
def test_a_lattice_knows_what_its_nodes_hold(n_candidates, max_active):
    found = lattice(n_candidates, max_active)
    sets: list[tuple[int, ...]] = []
    for parent, slot in zip(found.parents, found.slots, strict=True):
        sets.append((*(sets[parent] if parent >= 0 else ()), int(slot)))
    expected = [each for k in range(1, max_active + 1) for each in combinations(range(n_candidates), k)]
    assert sorted(sets, key=lambda each: (len(each), each)) == sets == expected
    for node, each in enumerate(sets):
        held = {sets[i] if i >= 0 else () for i in found.subsets[node, : len(each)]}
        assert held == set(combinations(each, len(each) - 1))
        assert found.subsets[node, 0] == found.parents[node]
        assert (found.parents[found.children[node] : found.children[node + 1]] == node).all()
    assert found.children[0] == found.levels[1]
    assert found.children[-1] == len(sets)
    assert [len(sets[i]) for i in found.levels[:-1]] == list(range(1, max_active + 1))


def test_a_state_has_one_place_whoever_asks():
    rng = np.random.default_rng(0)
    candidates = np.stack([rng.permutation(100)[:6] for _ in range(30)]) % 70
    candidates = np.stack([np.unique(row, return_index=True)[0][:4] for row in candidates])
    tree = candidate_tree(4, 3, 2)
    rows, nodes = np.repeat(np.arange(30), len(tree.parents)), np.tile(np.arange(len(tree.parents)), 30)
    table, places = state_table(70, 1000), np.full(len(rows), -1)
    assert place_states(table, 0, candidates, rows, tree, nodes.astype(np.int32), places) == len(rows)
    states = LatentSpace(70).decode(table.codes[places])
    for row, node, state in zip(rows, nodes, states, strict=True):
        active = set()
        while node >= 0:
            active.add(candidates[row, tree.slots[node]])
            node = tree.parents[node]
        assert set(np.flatnonzero(state)) == active
    n_states = table.n_states[0]
    assert len(np.unique(table.codes[:n_states], axis=0)) == n_states == len(set(places))
    clear(table)
    assert (table.slots == -1).all()
    small = state_table(70, 10)
    stopped = place_states(small, 0, candidates, rows, tree, nodes.astype(np.int32), places)
    assert len(set(places[:stopped])) == small.n_states[0] == 10
