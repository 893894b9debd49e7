"""`prosper-ng run` on real ranks: the bits of a single process, whatever happens on the way."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import read_status
from tests.conftest import on_libraries, within
from tests.helpers.small_runs import ANNEALED, DENOISE, RESTARTS, SEARCH, newest_checkpoint, write_image

PROGRAMS = Path(__file__).parent / "programs"
COMMAND = (sys.executable, "-m", "prosper_ng")
TEXTS = {
    "search": SEARCH.replace("updates_per_sweep: 3", "updates_per_sweep: 4"),
    "annealed": ANNEALED,
    "restarts": RESTARTS,
    "exhaustive": SEARCH.replace("{kind: search, n_states: 12}", "{kind: exhaustive}"),
    "image": DENOISE.replace("kind: denoise", "kind: restore") + "output: {figures: false}\n",
    "left-open": "name: a\ndata: {kind: image, image: IMAGE, noise: 25}\ntask: restore\noutput: {figures: false}\n",
    "pictures": DENOISE.replace("image: IMAGE", "image: [IMAGE, coins], n_patches: 300, missing: 0.1").replace(
        "updates_per_sweep: 4}\ntask: {kind: denoise, every: 3}",
        "updates_per_sweep: 4, start: rows}\noutput: {figures: false}",
    ),
    "noisy-or": SEARCH.replace("n_bars: 6", "n_bars: 6, observable: bernoulli, amplitude: 0.9, noise: 0.05")
    .replace("{kind: bsc, n_latents: 6}", "{kind: noisy_or, n_latents: 8, leak: true}")
    .replace("block_rows: 16", "block_rows: 16, annealing: {parameter_noise: {W: [[0, 0.2], [6, 0.0]]}}"),
}
SOME = ["search", "restarts"]
"""Runs that are enough for a group of one rank, and for the other library: they send all that training sends."""


def assert_same_bits(expected_folder, folder):
    expected, found = read_run(expected_folder), read_run(folder)
    assert found.attributes["digest"] == expected.attributes["digest"]
    assert found.attributes["digest"] == read_status(folder).digest
    assert found.attributes["data_digest"] == expected.attributes["data_digest"] == read_status(folder).data_digest
    for name, values in expected.parameters.items():
        assert np.asarray(found.parameters[name]).tobytes() == np.asarray(values).tobytes(), name
    for name, image in expected.results.get("images", {}).items():
        assert found.results["images"][name].tobytes() == image.tobytes(), name
    assert found.results.get("psnr") == expected.results.get("psnr")
    assert found.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        if not name.startswith(("seconds_", "elapsed")):
            assert found.history[name].tobytes() == values.tobytes(), name
    mine, theirs = (newest_checkpoint(each, expected.attributes["n_rows"]) for each in (expected_folder, folder))
    assert theirs.iteration == mine.iteration
    assert theirs.rows.keys() == mine.rows.keys()
    for name, rows in mine.rows.items():
        assert theirs.rows[name].tobytes() == rows.tobytes(), name
    assert (theirs.root["params"].buffer == mine.root["params"].buffer).all()
    for name in mine.root:
        if name.startswith("totals/"):
            assert np.asarray(theirs.root[name]).tobytes() == np.asarray(mine.root[name]).tobytes(), name


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of runs without a launcher, each beside its configuration."""
    folder = tmp_path_factory.mktemp("alone")
    write_image(folder / "picture.png")
    for name, text in TEXTS.items():
        (folder / f"{name}.yaml").write_text(text.replace("IMAGE", f"{folder}/picture.png"), encoding="utf-8")
    files = [folder / f"{name}.yaml" for name in TEXTS]
    subprocess.run([sys.executable, PROGRAMS / "run_each.py", folder, *files], check=True, timeout=240)
    return folder


@pytest.fixture
def disturb(mpiexec, tmp_path):
    """A function (n_ranks, how, rank, sweep, arguments...) -> the finished process, and its seconds after that."""

    def run(n_ranks, how, rank, sweep, *arguments):
        clock = tmp_path / "disturbed_at"
        done = mpiexec(
            n_ranks,
            sys.executable,
            PROGRAMS / "run_disturbed.py",
            how,
            str(rank),
            str(sweep),
            *arguments,
            env={"DISTURBED_AT": str(clock)},
        )
        return done, time.time() - float(clock.read_text(encoding="utf-8"))

    return run


@on_libraries("n_ranks, names", [(1, SOME), (2, list(TEXTS)), (3, list(TEXTS))], (2, SOME))
def test_any_number_of_ranks_gives_the_bits_of_a_single_process(mpiexec, alone, tmp_path, n_ranks, names):
    files = [alone / f"{name}.yaml" for name in names]
    done = mpiexec(n_ranks, sys.executable, PROGRAMS / "run_each.py", tmp_path, *files, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in names:
        assert_same_bits(alone / name, tmp_path / name)


def test_what_is_compared_are_different_runs_that_learn(alone):
    records = [read_run(alone / name) for name in TEXTS]
    assert len({record.attributes["digest"] for record in records}) == len(TEXTS)
    assert all(record.history["free_energy"][-1] > record.history["free_energy"][0] + 1 for record in records)
    assert newest_checkpoint(alone / "search", 120).rows["codes"].any()


def test_the_command_under_a_launcher(mpiexec, alone, tmp_path):
    done = mpiexec(2, *COMMAND, "run", alone / "search.yaml", "--output", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    last_but_one, last = done.stdout.splitlines()[-2:]
    assert last_but_one == f"results are in {tmp_path / 'run'}"
    assert re.fullmatch(r"recovered \d of 6 dictionary elements", last)
    assert_same_bits(alone / "search", tmp_path / "run")
    assert read_run(tmp_path / "run").provenance["n_ranks"] == 2


def test_another_picture_is_restored_with_the_bits_of_a_single_process(mpiexec, alone, tmp_path):
    write_image(tmp_path / "other.png", (20, 22))
    words = (
        "restore",
        alone / "image",
        tmp_path / "other.png",
        "--set",
        "data.noise=40",
        "--set",
        "output.figures=false",
    )
    for each in (1, 3):
        done = mpiexec(each, *COMMAND, *words, "--output", tmp_path / f"{each}.png", timeout=240)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"the picture is {tmp_path / f'{each}.png'}"
    assert_same_bits(tmp_path / "1", tmp_path / "3")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "3.png").read_bytes()


@pytest.mark.parametrize(
    ("how", "rank", "n_ranks", "n_later"),
    [("SIGINT", 2, 3, 2), ("launcher:SIGUSR1", 0, 2, 3), ("launcher:SIGINT", 1, 2, 1)],
)
def test_stopped_by_a_signal_to_any_process_and_resumed_on_other_ranks(
    disturb, mpiexec, alone, tmp_path, how, rank, n_ranks, n_later
):
    if how == "launcher:SIGINT" and "HYDRA" not in mpiexec(0, "--version").stdout:
        pytest.skip("only MPICH's launcher passes Ctrl-C on and then waits for its ranks")
    folder = tmp_path / "run"
    arguments = ("run", alone / "search.yaml", "--output", folder)
    done, _ = disturb(n_ranks, how, rank, 5, *arguments)
    assert done.returncode == 75, done.stderr
    by = "a signal to another rank" if rank and ":" not in how else how.rpartition(":")[2]
    status = read_status(folder)
    assert status.state == "stopped"
    assert status.reason == f"stopped by {by} after sweep {status.iteration} of 12"
    assert 5 <= status.iteration < 12
    assert done.stdout.splitlines()[-1] == f"{status.reason}; the same command continues"
    again = mpiexec(n_later, *COMMAND, *arguments)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"resumed after sweep {status.iteration} of 12\n")
    assert_same_bits(alone / "search", folder)


def test_killed_on_root_and_resumed_on_other_ranks(disturb, mpiexec, alone, tmp_path):
    """Kills of another rank than root are among those of test_reliability.py."""
    folder = tmp_path / "run"
    arguments = ("run", alone / "search.yaml", "--output", folder)
    done, seconds = disturb(2, "SIGKILL", 0, 7, *arguments)
    assert done.returncode not in (0, 75)
    assert seconds < within(10)
    again = mpiexec(3, *COMMAND, *arguments)
    assert again.returncode == 0, again.stderr
    assert "resumed after sweep 4 of 12\n" in again.stdout
    assert_same_bits(alone / "search", folder)


@pytest.mark.parametrize(("how", "row", "rank", "status"), [("defect", 100, 2, 1), ("user", 0, 0, 3)])
def test_an_error_on_one_rank_ends_all_with_one_message(disturb, mpiexec, alone, tmp_path, how, row, rank, status):
    folder = tmp_path / "run"
    arguments = ("run", alone / "search.yaml", "--output", folder)
    done, seconds = disturb(3, how, row, 6, *arguments)
    assert done.returncode == status
    assert seconds < within(10)
    error = "ZeroDivisionError" if how == "defect" else "error"
    assert len(re.findall(rf"^{error}: injected by the test\n", done.stderr, re.MULTILINE)) == 1
    assert len(re.findall(rf"on rank {rank} of 3, host \S+; all ranks end", done.stderr)) == 1
    assert done.stderr.count("Traceback") == (how == "defect")
    if rank == 0:
        assert (read_status(folder).state, read_status(folder).reason) == ("failed", "injected by the test")
        assert mpiexec(2, *COMMAND, *arguments).returncode == 0
        assert_same_bits(alone / "search", folder)


def test_more_ranks_than_there_are_rows(mpiexec, tmp_path):
    file, folders = tmp_path / "few.yaml", (tmp_path / "alone" / "few", tmp_path / "run")
    text = SEARCH.replace("n_rows: 120", "n_rows: 3").replace("updates_per_sweep: 3", "updates_per_sweep: 1")
    file.write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, PROGRAMS / "run_each.py", tmp_path / "alone", file], check=True, timeout=240)
    done = mpiexec(3, *COMMAND, "run", file, "--output", tmp_path / "run")
    assert done.returncode == 0
    assert (
        "2 of 3 ranks have nothing to do: 3 rows make 1 blocks of 16; start fewer ranks, or choose a smaller "
        "training.block_rows\n"
    ) in done.stderr
    assert len({read_status(folder).digest for folder in folders}) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.learn=[tau]", "training.learn: model bsc has no parameter 'tau'; it has W, sigma, pi"),
        ("estep.n_candidates=40", "preselection: n_candidates 40 and max_active 20 make"),
    ],
)
def test_what_cannot_be_run_is_said_once(mpiexec, tmp_path, change, said):
    file = tmp_path / "large.yaml"
    text = ANNEALED.replace("n_latents: 6", "n_latents: 40").replace("max_active: 3", "max_active: 20")
    file.write_text(text.replace("n_candidates: 4", "n_candidates: 20"), encoding="utf-8")
    done = mpiexec(2, *COMMAND, "run", file, "--output", tmp_path / "run", "--set", change)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert len(done.stderr.splitlines()) <= 2
    assert not (tmp_path / "run").exists()


def test_a_row_that_only_one_rank_reads_is_named_by_it(mpiexec, tmp_path):
    rows = np.random.default_rng(0).standard_normal((120, 4))
    rows[110, 2] = np.inf
    np.save(tmp_path / "rows.npy", rows)
    file = tmp_path / "run.yaml"
    file.write_text(SEARCH.replace("{kind: bars, n_bars: 6, n_rows: 120}", f"{{kind: npy, path: {tmp_path}/rows.npy}}"))
    done = mpiexec(3, *COMMAND, "run", file, "--output", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("error: ") == 1
    assert "row 110, column 2 (counted from 0) is inf" in done.stderr
    assert "while reading the data on rank 2 of 3" in done.stderr


@pytest.mark.parametrize("place", ["run.h5", "checkpoints"])
def test_what_is_there_and_cannot_be_read_is_said_once_and_kept(mpiexec, alone, tmp_path, place):
    arguments = ("run", alone / "search.yaml", "--output", tmp_path / "run")
    shutil.copytree(alone / "search", tmp_path / "run")
    path = tmp_path / "run" / place
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("nowhere")
    done = mpiexec(2, *COMMAND, *arguments)
    assert done.returncode == 2
    assert done.stderr.count(f"{path} is a link to nowhere, and there is nothing") == 1
    path.unlink()
    (tmp_path / "elsewhere").rename(path)
    assert mpiexec(2, *COMMAND, *arguments).returncode == 0
    assert_same_bits(alone / "search", tmp_path / "run")


def test_other_data_are_refused_once_and_the_same_data_go_on(mpiexec, tmp_path):
    """Also where only the rows of one rank, the last one, are others."""
    rows = np.random.default_rng(0).standard_normal((120, 4))
    np.save(tmp_path / "rows.npy", rows)
    file, folder = tmp_path / "run.yaml", tmp_path / "run"
    source = f"{{kind: npy, path: {tmp_path}/rows.npy, whiten: zca}}"
    file.write_text(SEARCH.replace("{kind: bars, n_bars: 6, n_rows: 120}", source))
    arguments = (*COMMAND, "run", file, "--output", folder)
    subprocess.run([*arguments, "--quiet", "--set", "training.n_sweeps=2"], check=True, timeout=240)
    digest = read_status(folder).data_digest
    np.save(tmp_path / "rows.npy", np.vstack([rows[:-1], rows[-1:] + 1]))
    done = mpiexec(3, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count(f"{tmp_path}/rows.npy does not hold the rows that it began with") == 1
    assert len(done.stderr.splitlines()) == 1
    np.save(tmp_path / "moved.npy", rows.astype(np.float64))
    done = mpiexec(3, *arguments, "--set", f"data.path={tmp_path}/moved.npy", "--set", "training.n_sweeps=3")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the data hold the same rows as before") == 1
    assert read_status(folder).data_digest == digest


def test_two_groups_in_one_folder(mpiexec, alone, tmp_path):
    """The second finds the lock of the first, which is this process."""
    from prosper_ng.storage.lock import RunLock

    (tmp_path / "run").mkdir()
    with RunLock(tmp_path / "run"):
        done = mpiexec(2, *COMMAND, "run", alone / "search.yaml", "--output", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("is in use by process") == 1
    assert len(done.stderr.splitlines()) == 2
