"""M-steps that ranks share: one digest, errors that all get, totals that any number of ranks can go on with."""

import numpy as np
import pytest

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.models.bsc import BSC
from prosper_ng.models.mixture import Mixture
from prosper_ng.numerics.sharing import of_all
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.failure import RemoteDefect
from prosper_ng.parallel.team import on_team
from prosper_ng.training import owners
from prosper_ng.training.owners import Owners, most_sharing
from prosper_ng.training.totals import PartTotals, kept_statistics_of

K_MEANS = Mixture(n_components=5, noise="scalar", equal_weights=True)


def rows():
    rng = np.random.default_rng(0)
    return rng.standard_normal((600, 4)) * [1, 10, 1e-3, 1] + 1e3 * rng.integers(0, 9, (600, 1))


@pytest.fixture
def always_shared(monkeypatch):
    monkeypatch.setattr(owners, "LEAST_SHARED", 0)


def test_many_components_are_shared_and_nothing_else():
    assert most_sharing(Mixture(n_components=900), 50) == 900
    assert most_sharing(Mixture(n_components=900), 5) == 1
    assert most_sharing(BSC(n_latents=700), 50) == 1
    assert on_team(3, lambda comm: Owners(Mixture(n_components=2), 50_000, comm).leads) == [True, False, False]


@pytest.mark.parametrize("updates", [1, 2])
@pytest.mark.parametrize(
    "model",
    [
        {"kind": "mixture", "n_components": 13, "noise": "scalar", "equal_weights": True},
        {"kind": "mixture", "n_components": 40, "unused": "redraw"},
        {"kind": "mfa", "n_components": 11, "n_factors": 2, "unused": "redraw"},
        {"kind": "mfa", "n_components": 30, "n_factors": 2, "noise": "shared", "unused": "redraw"},
    ],
)
def test_the_digest_is_that_of_one_rank(always_shared, model, updates):
    data = rows()
    data[::7, 2] = np.nan

    def learned(comm):
        training = {
            "n_sweeps": 5,
            "updates_per_sweep": updates,
            "annealing": {"parameter_noise": {"W": [[0, 1.0], [1, 0.0]]}},
        }
        return prosper_ng.learn(
            data, model, estep={"kind": "clusters"}, missing=True, training=training, comm=comm, progress=False
        )

    whole = learned(None)
    for size in (2, 3):
        found = on_team(size, learned)
        assert {each.digest for each in found} == {whole.digest}
        assert found[0].history["free_energy"].tolist() == whole.history["free_energy"].tolist()


@pytest.mark.parametrize("error", [UserError("no such luck"), ZeroDivisionError("a defect")])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_what_one_rank_comes_to_all_raise(error, stage):
    def failing(comm):
        shared = Owners(K_MEANS, 4, comm, least=0)
        with shared.together():
            for k in range(3):
                if (comm.rank, k) == (1, stage):
                    raise error
                of_all(np.zeros(len(np.arange(5)[comm.rank :: 3])))

    def told(comm):
        with pytest.raises((UserError, ZeroDivisionError, RemoteDefect)) as caught:
            failing(comm)
        return type(caught.value), str(caught.value).splitlines()[-1]

    found = on_team(3, told)
    if isinstance(error, UserError):
        assert found == [(UserError, "no such luck")] * 3
    else:
        assert [kind for kind, _ in found] == [RemoteDefect, ZeroDivisionError, RemoteDefect]
        assert "a defect" in found[1][1]


def test_totals_go_from_any_number_of_ranks_to_any_other():
    kept = kept_statistics_of(K_MEANS, 4)
    expected = PartTotals(kept, 2)
    rng = np.random.default_rng(1)
    expected.restore({name: rng.random(values.shape) for name, values in expected.arrays().items()})

    def gone_through(comm):
        shared = Owners(K_MEANS, 4, comm, least=0)
        totals = PartTotals(shared.statistics, 2)
        shared.restore(totals, expected.arrays() if comm.is_root else {})
        return shared.whole_totals(totals)

    for size in (1, 2, 3, 5):
        found, *others = on_team(size, gone_through)
        assert others == [{}] * (size - 1)
        assert {name: each.tolist() for name, each in found.items()} == {
            name: each.tolist() for name, each in expected.arrays().items()
        }
    alone = Owners(K_MEANS, 4, SerialCommunicator())
    assert alone.leads
    assert not alone.is_shared
