"""Rows that are left out: how many, which, and that nothing is learned from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.estep.preselection import Preselection
from prosper_ng.training.annealing import AnnealingPoint
from prosper_ng.training.data_selection import noisy_values, visited_rows
from prosper_ng.training.held_out import HeldOut
from tests.helpers.model_cases import cases, fitting

shares = st.fractions(min_value="0.001", max_value="0.99", max_denominator=1000).map(float)
N, D, H = 60, 6, 4
ONE_OF_EACH = {case.kind: name for name, case in reversed(cases().items())}.values()
TRAINING = {"n_sweeps": 3, "restarts": 2, "restart_sweeps": 2, "updates_per_sweep": 2, "block_rows": 8}


@given(shares, st.integers(1, 3000), st.integers(0, 9))
def test_as_many_rows_as_asked_for_in_every_part_of_the_data(share, n_rows, seed):
    held_out = HeldOut(share, seed, n_rows)
    chosen = held_out.among(np.arange(n_rows))
    assert chosen.sum() == len(held_out)
    assert abs(len(held_out) - share * n_rows) < 1
    counts = np.concatenate([[0], chosen.cumsum()])
    assert np.abs(counts - share * np.arange(n_rows + 1)).max() < 2


@given(shares, st.integers(2, 3000), st.data())
def test_a_row_is_held_out_whoever_asks_and_whatever_comes_after_it(share, n_rows, data):
    start = data.draw(st.integers(0, n_rows - 1))
    stop = data.draw(st.integers(start, n_rows))
    chosen = HeldOut(share, 3, n_rows).among(np.arange(n_rows))
    assert (HeldOut(share, 3, n_rows).among(np.arange(start, stop)) == chosen[start:stop]).all()
    longer = HeldOut(share, 3, n_rows + 500).among(np.arange(n_rows))
    assert np.count_nonzero(longer != chosen) <= 1


def test_which_rows_they_are_is_drawn():
    first, second = (HeldOut(0.2, seed, 5000).among(np.arange(5000)) for seed in (1, 2))
    assert 100 < np.count_nonzero(first & second) < 300
    within = np.flatnonzero(first) % 5
    assert np.bincount(within).min() > 150


@pytest.mark.parametrize(("n_rows", "share"), [(4, 0.2), (1, 0.5), (99, 0.01), (1, 0.999)])
def test_too_few_rows_for_the_share_are_refused(n_rows, share):
    with pytest.raises(UserError, match=f"held_out: {share:g} of {n_rows} rows is not one row"):
        HeldOut.of(share, 0, n_rows)


def test_they_are_visited_in_every_sweep_as_they_are():
    point = AnnealingPoint(1.0, False, 0.0, 0.3, 2.0, {}, False)
    held_out, blocks = HeldOut(0.25, 5, 64), [range(start, start + 8) for start in range(0, 64, 8)]
    held = np.flatnonzero(held_out.among(np.arange(64)))
    for sweep in range(30):
        rows = np.concatenate(list(visited_rows(5, sweep, blocks, blocks, point, held_out)))
        assert set(held) < set(rows)
        values = noisy_values(5, sweep, rows, np.zeros((len(rows), 2)), point, held_out)
        assert ((values == 0).all(axis=1) == held_out.among(rows)).all()


def test_a_sweep_that_draws_none_of_the_others_learns_from_one():
    point = AnnealingPoint(1.0, False, 0.0, 1e-9, 0.0, {}, False)
    held_out, blocks = HeldOut(0.5, 5, 16), [range(8), range(8, 16)]
    rows = np.sort(np.concatenate(list(visited_rows(5, 0, blocks, blocks, point, held_out))))
    assert np.count_nonzero(~held_out.among(rows)) == 1


@pytest.mark.parametrize(
    ("name", "estep"), [*((name, "preselection") for name in ONE_OF_EACH), ("bsc", "search"), ("noisy-or", "search")]
)
def test_no_model_learns_from_them(name, estep):
    """Also with gaps, restarts, pruned data and noise; but they are told of."""
    model = cases()[name].make(H)
    rng = np.random.default_rng(3)
    rows, others = (model.support.feasible((N, D), rng) for _ in range(2))
    held = HeldOut(0.3, 7, N).among(np.arange(N))
    rows[rng.random((N, D)) < 0.1] = np.nan
    changed = np.where(held[:, None] & ~np.isnan(rows), others, rows)
    annealing = {"parameter_noise": {"pi": 0.01}}
    if estep == "preselection":
        estep = fitting(Preselection(n_candidates=3, max_active=2), model)
        annealing |= {"data_pruning": 0.5, "temperature": [[0, 2.0], [2, 1.0]]}
    found = [
        prosper_ng.learn(
            each, model, estep=estep, training={**TRAINING, "annealing": annealing}, seed=7, missing=True, held_out=0.3
        )
        for each in (rows, changed)
    ]  # fmt: skip
    one, other = found
    for symbol, values in one.params.items():
        assert other.params[symbol].tobytes() == values.tobytes(), symbol
    assert (one.history["free_energy"] == other.history["free_energy"]).all()
    assert (one.history["n_rows_used"] <= N - held.sum()).all()
    assert np.isfinite(one.history["held_out_free_energy"]).all()
    assert (one.history["held_out_free_energy"] != other.history["held_out_free_energy"]).all()


def test_their_free_energy_is_that_of_inference():
    rng = np.random.default_rng(1)
    rows = (rng.random((200, H)) < 0.3) @ rng.normal(0.0, 4.0, (H, D)) + rng.standard_normal((200, D))
    held = HeldOut(0.2, 4, 200).among(np.arange(200))
    settings = {"model": {"kind": "bsc", "n_latents": H}, "estep": "exhaustive", "seed": 4, "held_out": 0.2}
    found = [prosper_ng.learn(rows, training={"n_sweeps": n_sweeps}, **settings) for n_sweeps in (5, 6)]
    expected = found[0].free_energy(rows[held]).mean()
    assert found[1].history["held_out_free_energy"][-1] == pytest.approx(expected, rel=1e-12)


def test_a_part_without_rows_to_learn_from_is_refused():
    with pytest.raises(UserError, match=r"held_out: 0.9 leaves update \d+ of a sweep no rows to learn from"):
        prosper_ng.learn(
            np.eye(20), {"kind": "bsc", "n_latents": 2}, held_out=0.9,
            training={"updates_per_sweep": 10, "block_rows": 2},
        )  # fmt: skip


def test_a_rule_that_waits_for_rows_that_are_not_there_is_refused():
    with pytest.raises(UserError, match=r"held_out_gain waits for what is learned of rows that are held out"):
        prosper_ng.learn(np.eye(20), {"kind": "bsc", "n_latents": 2}, training={"stopping": {"held_out_gain": 0.0}})
