"""`prosper_ng.learn`: the bits of the command, from whatever holds the rows, and nothing done to its host process."""

import os
import signal
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest
import yaml

import prosper_ng
from prosper_ng import cli
from prosper_ng.data.sources.bars import Bars
from prosper_ng.errors import UserError
from prosper_ng.estep.search import Search
from prosper_ng.models.bsc import BSC
from prosper_ng.models.gsc import GSC
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.run_record import read_run
from prosper_ng.training.settings import Training

D, H, N = 6, 5, 140
SETTINGS = {
    "model": {"kind": "gsc", "n_latents": H},
    "estep": {"kind": "search", "n_states": 9},
    "training": {"n_sweeps": 5, "updates_per_sweep": 3, "block_rows": 16},
}


@pytest.fixture(scope="module")
def data():
    """Rows (N, D) of which some values are missing."""
    rng = np.random.default_rng(4)
    values = (rng.random((N, H)) < 0.3) @ rng.normal(0.0, 3.0, (D, H)).T + rng.standard_normal((N, D))
    values[rng.random((N, D)) < 0.1] = np.nan
    return values


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """The record of what the command makes of them."""
    folder = tmp_path_factory.mktemp("run")
    np.save(folder / "data.npy", data)
    source = {"kind": "npy", "path": str(folder / "data.npy"), "missing": True}
    config = {"name": "run", "seed": 7, "data": source, **SETTINGS, "output": {"figures": False}}
    (folder / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert cli.main(["--quiet", "run", str(folder / "run.yaml"), "--output", str(folder / "run")]) == 0
    return read_run(folder / "run")


@pytest.fixture(scope="module")
def learned(data):
    return prosper_ng.learn(data, seed=7, missing=True, **SETTINGS)


def quick(data, **changes):
    """A short run over complete rows."""
    chosen = {"estep": "auto", "training": {"n_sweeps": 2, "block_rows": 32}} | changes
    return prosper_ng.learn(np.nan_to_num(data), BSC(n_latents=3), **chosen)


def test_the_command_and_the_function_make_the_same_bits(run, learned):
    assert (learned.digest, learned.data_digest) == (run.attributes["digest"], run.attributes["data_digest"])
    assert learned.params.keys() == run.parameters.keys()
    for name, values in learned.params.items():
        assert values.tobytes() == np.asarray(run.parameters[name]).tobytes(), name
    assert learned.history.keys() == run.history.keys() - {"seconds_io"}
    assert learned.history["free_energy"].tobytes() == run.history["free_energy"].tobytes()
    assert (learned.n_sweeps, learned.ending) == (5, run.status.reason)


@pytest.mark.parametrize("holder", ["list", "fortran", "memmap", "h5py", "components"])
def test_whatever_holds_the_rows_it_is_the_same(data, learned, tmp_path, holder):
    held, settings = data, SETTINGS
    np.save(tmp_path / "data.npy", data)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        if holder == "list":
            held = data.tolist()
        elif holder == "fortran":
            held = np.asfortranarray(data)
        elif holder == "memmap":
            held = np.load(tmp_path / "data.npy", mmap_mode="r")
        elif holder == "h5py":
            held = file.create_dataset("data", data=data)
        else:
            training = Training(n_sweeps=5, updates_per_sweep=3, block_rows=16)
            settings = {"model": GSC(n_latents=H), "estep": Search(n_states=9), "training": training}
        assert prosper_ng.learn(held, seed=7, missing=True, **settings).digest == learned.digest


def test_rows_in_a_file_beyond_the_budget_make_the_same_bits(data, learned):
    memory = {"data_budget": "1kB", "states_budget": "1kB"}
    assert prosper_ng.learn(data, seed=7, missing=True, memory=memory, **SETTINGS).digest == learned.digest


def test_a_dataset_of_the_package_will_do():
    dataset = Bars(n_bars=6, n_rows=60).open(3)
    found = prosper_ng.learn(dataset, {"kind": "bsc", "n_latents": 6}, training={"n_sweeps": 2})
    assert found.digest == prosper_ng.learn(dataset.read(0, 60), BSC(n_latents=6), training={"n_sweeps": 2}).digest


def test_a_listener_sees_each_sweep_and_may_end_it(data):
    seen = []

    def listen(report, params):
        seen.append((report.sweep, report.free_energy, params["W"].copy()))
        params["W"] = 0.0  # a copy: nothing that is learned
        return report.sweep == 3

    found = quick(data, training={"n_sweeps": 9, "block_rows": 32}, on_sweep=listen)
    assert [sweep for sweep, *_ in seen] == [1, 2, 3]
    assert [energy for _, energy, _ in seen] == found.history["free_energy"].tolist()
    assert (seen[-1][2] == found.params["W"]).all()
    assert (found.n_sweeps, found.ending) == (3, "ended by on_sweep after sweep 3 of 9")
    assert found.digest == quick(data, training={"n_sweeps": 3, "block_rows": 32}).digest


def test_an_error_of_the_listener_comes_out(data):
    def listen(report, params):
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        quick(data, on_sweep=listen)


def test_a_stopping_rule_ends_it(data):
    rules = {"relative_change": 0.5, "patience": 2}
    found = quick(data, training={"n_sweeps": 50, "stopping": rules})
    assert found.n_sweeps < 10
    assert "the free energy changed by no more than 0.5 of itself" in found.ending


def test_it_starts_from_an_earlier_result_or_given_parameters(data):
    first = quick(data, training={"n_sweeps": 20})
    again = quick(data, training={"n_sweeps": 1}, start=first)
    given = quick(
        data, training={"n_sweeps": 1}, start={name: values.tolist() for name, values in first.params.items()}
    )
    assert again.digest == given.digest
    assert again.history["free_energy"][0] > quick(data, training={"n_sweeps": 1}).history["free_energy"][0]
    partly = quick(data, training={"n_sweeps": 1, "learn": ["W"]}, start={"pi": [0.4, 0.1, 0.2]})
    assert partly.params["pi"].tolist() == [0.4, 0.1, 0.2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"model": {"kind": "bsc", "n_latents": -3}},
            "learn(...): error: `model.n_latents` must be an integer",
        ),
        ({"model": "bcs"}, "unknown kind `bcs` of `model`; did you mean `bsc`?"),
        ({"model": 3}, "`model` must be a kind, one of bsc"),
        ({"model": Search()}, "not Search(...)"),
        ({"estep": "serch"}, "did you mean `search`?"),
        ({"training": {"n_sweep": 3}}, "unknown field `n_sweep` in `training`; did you mean `n_sweeps`?"),
        ({"training": {"learn": ["V"]}}, "training.learn: model bsc has no parameter 'V'; it has"),
        ({"seed": -1}, "`seed` must be an integer"),
        ({"memory": {"data_budget": "much"}}, "data_budget 'much' is not a size"),
        ({"start": {"W": np.zeros((2, 2))}}, "start: W has the shape (2, 2), and model bsc here needs (6, 3)"),
        ({"start": {"V": 1.0}}, "start holds none of the parameters"),
        (
            {"start": {"sigma": -1.0}},
            "start: sigma (standard deviation of the noise) must be a number of 1e-100 or more",
        ),
        ({"start": {"pi": 0.5}, "training": {"initial_file": "a.npz"}}, "leave one of them out"),
        ({"comm": 3}, "comm must be None or a communicator of mpi4py, not int"),
        ({"data": np.zeros(5)}, "the array has 1 dimensions"),
        ({"data": np.zeros((0, 4))}, "the array has no rows"),
        ({"data": np.full((9, 2), np.nan)}, "row 0, column 0 (counted from 0) is nan"),
        ({"data": [[1.0, 2.0], [3.0]]}, "the array is no table of numbers"),
        ({"data": [["a", "b"]]}, "only real numbers can be learned from"),
        ({"data": np.ma.masked_less(np.eye(4), 0.5)}, "marked so (the mask), as 12 of the 16 values"),
    ],
)
def test_what_cannot_be_learned_from_is_one_clear_error(data, changes, sentence):
    arguments = {"data": np.nan_to_num(data), "model": BSC(n_latents=3)} | changes
    with pytest.raises(UserError) as caught:
        prosper_ng.learn(**arguments)
    assert sentence in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_parameters_of_whitened_rows_are_no_start(data, learned):
    from dataclasses import replace

    from prosper_ng.data.preprocessing import Preprocessing

    with pytest.raises(UserError, match="whitened or whose means were removed"):
        quick(data, start=replace(learned, preprocessing=Preprocessing(remove_mean=True)))


def test_what_is_doubtful_is_a_warning(data):
    for n_jobs in (None, 2):
        with pytest.warns(UserWarning, match="the data lie far from 0 for how little they vary") as caught:
            prosper_ng.learn(np.nan_to_num(data) + 1e8, BSC(n_latents=3), training={"n_sweeps": 1}, n_jobs=n_jobs)
        assert {warning.filename for warning in caught} == {__file__}


def test_nothing_is_done_to_the_host_process(data, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    handlers, environment = [signal.getsignal(number) for number in numbers], dict(os.environ)
    blas = import_threads()
    quick(data)
    assert [signal.getsignal(number) for number in numbers] == handlers
    assert (dict(os.environ), import_threads(), list(tmp_path.iterdir())) == (environment, blas, [])
    assert capfd.readouterr() == ("", "")


def import_threads():
    from threadpoolctl import threadpool_info

    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


def test_it_works_in_a_thread_and_beside_another(data):
    found = {}
    threads = [threading.Thread(target=lambda name=name: found.update({name: quick(data).digest})) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys("ab", quick(data).digest)


def test_the_names_come_when_they_are_used():
    code = (
        "import sys, prosper_ng; assert {'numpy', 'numba', 'h5py'}.isdisjoint(sys.modules); "
        "assert {'learn', 'load', 'run', 'Learned', 'Outcome'} <= set(dir(prosper_ng)); "
        "prosper_ng.learn; assert 'numpy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'teach'"):
        _ = prosper_ng.teach


def test_noise_is_added_only_to_data_that_may_be_any_numbers():
    rows = np.random.default_rng(0).integers(0, 2, (30, 4))
    with pytest.raises(UserError, match=r"data_noise adds Gaussian noise to the data, and model noisy_or needs 0 or 1"):
        prosper_ng.learn(
            rows, {"kind": "noisy_or", "n_latents": 3}, training={"annealing": {"data_noise": 0.3}, "n_sweeps": 2}
        )


def test_a_model_whose_start_lacks_a_parameter_is_told_which():
    class Lacking(BSC):
        def initial(self, moments, rng):
            whole = super().initial(moments, rng)
            return NamedArrays.of(W=whole["W"], sigma=whole["sigma"])

    with pytest.raises(UserError, match="model bsc: `initial` gives no pi, which it has to"):
        prosper_ng.learn(np.random.default_rng(0).normal(size=(20, 4)), Lacking(n_latents=3))


def test_the_history_is_that_of_the_command(tmp_path):
    data = np.random.default_rng(1).normal(size=(60, 5))
    np.save(tmp_path / "rows.npy", data)
    model = {"kind": "dsc", "n_latents": 3, "values": [0.0, 1.0, 2.0]}
    config = {"name": "a", "data": {"kind": "npy", "path": str(tmp_path / "rows.npy")}, "model": model}
    config |= {"estep": {"kind": "auto"}, "training": {"n_sweeps": 3}, "output": {"figures": False}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert cli.main(["run", "--quiet", str(tmp_path / "a.yaml"), "--output", str(tmp_path / "run")]) == 0
    found = prosper_ng.learn(data, model, training={"n_sweeps": 3}).history
    told = read_run(tmp_path / "run").history
    assert {"free_energy", "pi_mean", "sigma"} <= found.keys()
    same = [name for name in found if not name.startswith("seconds") and name != "elapsed"]
    assert all(np.array_equal(found[name], told[name], equal_nan=True) for name in same)
