"""What a run came to is the same wherever it is read."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.run_numbers import RunNumbers, in_status, read_numbers, run_numbers
from prosper_ng.storage.run_record import RunFileError, last_numbers, read_run
from prosper_ng.storage.status import StatusFile, read_status

RESULTS = {
    "psnr": {"before": 20.5, "after": 28.0, "curve": np.arange(3.0)},
    "recovered": {"found": 3, "of": 4},
    "use": np.ones(4),
    "truth": {"sigma": 2.0},
    "words": "none",
    "is_good": True,
}


@pytest.fixture
def run(tmp_path):
    """The folder of a run of two sweeps with results of all kinds."""
    about = {"name": "run", "n_observed": 2, "headline": '["sigma"]'}
    file = RunFile(tmp_path, StoredConfig({"name": "run"}, "name: run\n", {}), {}, about)
    file.describe_parameters({"sigma": "noise", "W": "dictionary"}, {})
    file.set_parameters(NamedArrays.of(W=np.ones((2, 4)), sigma=2.0))
    for sweep in (1, 2):
        values = {"free_energy": -5.0 * sweep, "sigma": 2.0, "n_evaluated": 3.0, "temperature": 1.0, "seconds_io": 0.1}
        file.record(sweep, values | ({"psnr": 27.0} if sweep == 1 else {}))
    file.set_results(RESULTS)
    assert file.flush() is None
    return tmp_path


def test_the_numbers_are_those_of_the_whole_record(run):
    found, record = read_numbers(run), read_run(run)
    assert found == RunNumbers(last_numbers(record), ["sigma"])
    assert list(found.numbers) == list(last_numbers(record))
    assert found.numbers["psnr"] == 27
    assert found.numbers["n_evaluated"] == 6
    assert found.numbers["recovered_all"] == 0
    assert {"psnr_curve", "truth_sigma", "temperature", "seconds_io", "sweep"}.isdisjoint(found.numbers)


def test_a_status_brings_them_back_and_counts_where_the_run_is_finished(run):
    found = read_numbers(run)
    StatusFile(run).write(state="finished", **in_status(found))
    status = read_status(run)
    assert run_numbers(run, status) == found
    other = replace(status, numbers={"free_energy": 1.0})
    assert run_numbers(run, other).numbers == {"free_energy": 1.0}
    assert run_numbers(run, replace(other, state="stopped")) == found
    StatusFile(run).write(state="running")
    assert read_status(run).numbers is None


def test_what_json_has_no_number_for_stays_in_the_file(run):
    assert in_status(RunNumbers({"a": float("nan")}, [])) == {}
    assert in_status(None) == {}


@pytest.mark.parametrize("change", ["no headline", "no roles", "a link in the history"])
def test_a_file_of_another_version_or_with_links_is_read_as_a_whole_or_refused(run, change):
    expected, status = read_numbers(run), StatusFile(run).status
    with h5py.File(run / "run.h5", "r+") as file:
        if change == "no headline":
            del file.attrs["headline"]
        elif change == "no roles":
            for item in file["parameters/latest"].values():
                item.attrs.pop("role", None)
        else:
            file["history/other"] = h5py.ExternalLink("/etc/hostname", "x")
    assert read_numbers(run) is None
    if change == "a link in the history":
        with pytest.raises(RunFileError, match="link"):
            run_numbers(run, status)
    else:
        assert run_numbers(run, status) == expected
