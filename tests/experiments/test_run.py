"""`prosper-ng run` without a launcher: what it leaves behind, going on, and what it refuses."""

import json
import re
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from prosper_ng import cli
from prosper_ng.drawing import figures
from prosper_ng.numerics.matching import amari_index
from prosper_ng.storage.run_record import read_run
from tests.helpers.kernel_caches import kernel_folder
from tests.helpers.small_runs import ANNEALED, DENOISE, SEARCH, Runner, write_image

EXHAUSTIVE = SEARCH.replace("{kind: search, n_states: 12}", "{kind: exhaustive}")
KINDS = {"search": SEARCH, "annealed": ANNEALED, "exhaustive": EXHAUSTIVE}


@pytest.fixture
def runner(tmp_path, capsys):
    """A function (text, folder name) -> a Runner."""
    return lambda text=SEARCH, name="run": Runner(tmp_path / name, text, capsys)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The digest and the record of undisturbed runs, by the text of their configuration."""
    known = {}

    def of(text, *changes):
        if (text, changes) not in known:
            folder = tmp_path_factory.mktemp("reference") / "run"
            path = folder.with_suffix(".yaml")
            path.write_text(text, encoding="utf-8")
            overrides = [argument for change in changes for argument in ("--set", change)]
            assert cli.main(["--quiet", "run", str(path), "--output", str(folder), *overrides]) == 0
            known[text, changes] = read_run(folder)
        return known[text, changes]

    return of


def parameters(record):
    return {name: np.asarray(values).tobytes() for name, values in record.parameters.items()}


def assert_same_results(run, record):
    """The same bits of everything but times."""
    found = read_run(run.folder)
    assert found.attributes["digest"] == record.attributes["digest"]
    assert parameters(found) == parameters(record)
    for name, values in record.history.items():
        if not name.startswith(("seconds_", "elapsed")):
            assert found.history[name].tobytes() == values.tobytes(), name


SAMPLE = """
name: sample
seed: 2
data:
  kind: sample
  n_rows: 500
  model: {kind: bsc, n_latents: 3}
  parameters: {W: [[5, 0, 0], [5, 5, 0], [0, 5, 0], [0, 0, 5]], sigma: 0.5, pi: [0.3, 0.3, 0.3]}
model: {kind: bsc, n_latents: 3}
estep: exhaustive
training: {n_sweeps: 30}
output: {figures: false}
"""


def test_the_amari_index_where_the_true_mixing_can_be_undone(runner):
    run = runner(SAMPLE)
    assert run().out.splitlines()[-1] == "recovered 3 of 3 dictionary elements"
    record = read_run(run.folder)
    truth, learned = record.results["truth"]["W"], record.parameters["W"]
    assert record.results["amari_index"] == amari_index(truth, learned)
    assert 0 < amari_index(truth, learned) < 0.05


def test_what_a_run_leaves_behind(runner):
    run = runner(SEARCH.replace("figures: false", "figures: true"))
    done = run()
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-2:] == [f"results are in {run.folder}", "recovered 6 of 6 dictionary elements"]
    pictures = {path for path in run.folder.iterdir() if path.suffix == ".png"}
    assert {"curves.png", "dictionary.png"} <= {path.name for path in pictures}
    for path in pictures:
        assert np.asarray(Image.open(path).convert("L")).std() > 0
    others = {path.name for path in run.folder.iterdir()} - {path.name for path in pictures}
    assert others == {"checkpoints", "log.txt", "run.h5", "status.json"}
    status = json.loads((run.folder / "status.json").read_text(encoding="utf-8"))
    assert (status["state"], status["iteration"], status["n_iterations"], status["attempt"]) == ("finished", 12, 12, 1)
    record = read_run(run.folder)
    assert status["free_energy"] == record.history["free_energy"][-1]
    assert record.history["sweep"].tolist() == list(range(1, 13))
    assert all(len(values) == 12 for values in record.history.values())
    assert {name: values.shape for name, values in record.parameters.items() if name == "W"} == {"W": (9, 6)}
    assert record.results["recovered"] == {"found": 6, "of": 6}
    assert "amari_index" not in record.results  # six bars lie in five dimensions
    assert run.checkpoints == [12]
    assert re.search(r"started before sweep 1 of 12\n(.*\n)*.*sweep 12: free energy -[\d.]+\n", run.log())
    assert run.digest == record.attributes["digest"]


def test_the_parameters_in_the_file_are_those_of_the_history(runner):
    run = runner()
    run("output.parameter_sweeps=5")
    history = run.history
    with h5py.File(run.folder / "run.h5") as file:
        kept, latest = file["parameter_history"], file["parameters/latest"]
        assert kept["sweep"][:].tolist() == [5, 10]
        for place, sweep in enumerate((5, 10)):
            assert kept["sigma"][place] == history["sigma"][sweep - 1]
            assert kept["pi"][place].mean() == history["pi_mean"][sweep - 1]
        assert latest["sigma"][()] == history["sigma"][11]
        assert latest["pi"][...].mean() == history["pi_mean"][11]


def test_show_prints_the_digest(runner, capsys):
    run = runner()
    run()
    assert cli.main(["show", str(run.folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["digest"] == run.digest
    assert (shown["state"], shown["iterations"], shown["recovered"]) == ("finished", 12, {"found": 6, "of": 6})


def test_a_picture_is_denoised(runner, tmp_path):
    write_image(tmp_path / "clean.png")
    run = runner(DENOISE.replace("IMAGE", str(tmp_path / "clean.png")))
    done = run()
    assert (done.status, done.err) == (0, "")
    last = re.fullmatch(r"PSNR ([\d.]+) dB before, ([\d.]+) dB after \(([+-][\d.]+) dB\)", done.out.splitlines()[-1])
    before, after, gain = map(float, last.groups())
    assert 18 < before < 22
    assert gain == pytest.approx(after - before, abs=0.011)
    assert gain > 1
    images = {
        name: np.asarray(Image.open(run.folder / f"{name}.png"), float) for name in ("clean", "noisy", "denoised")
    }
    assert (images["clean"] == np.asarray(Image.open(tmp_path / "clean.png"))).all()
    error = np.sqrt(((images["denoised"] - images["clean"]) ** 2).mean())
    assert 20 * np.log10(255 / error) == pytest.approx(after, abs=0.3)
    assert {"comparison.png", "curves.png", "dictionary.png"} <= {path.name for path in run.folder.iterdir()}
    measured = run.history["psnr"]
    assert np.flatnonzero(np.isfinite(measured)).tolist() == [2, 5]
    record = read_run(run.folder)
    assert record.results["psnr"]["after"] == pytest.approx(after, abs=0.006)
    assert record.results["ssim"]["before"] < record.results["ssim"]["after"] <= 1


def test_what_pictures_lack_is_told_on_the_terminal_before_the_first_sweep(runner, monkeypatch):
    run = runner(SEARCH.replace("figures: false", "figures: true"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run("training.n_sweeps=1")
    assert done.status == 0
    first, last = done.err.splitlines()
    lacking = 'pictures need the package matplotlib; install it with: pip install "prosper_ng[plot]"; '
    assert first == f"{lacking}without it the run makes no pictures, and prosper-ng plot draws them later"
    assert last == f"{lacking}the results of the run are kept, and prosper-ng plot {run.folder} draws the pictures"
    log = (run.folder / "log.txt").read_text()
    assert log.index(first) < log.index("sweep 1: ") < log.index(last)
    assert run("output.figures=false").err == ""


def test_pictures_that_fail_cost_no_results(runner, monkeypatch):
    run = runner(SEARCH.replace("figures: false", "figures: true"))
    monkeypatch.setattr(figures, "curves", lambda *_: {}["x"])
    done = run("training.n_sweeps=1")
    assert (done.status, run.status.state) == (0, "finished")
    assert done.err.startswith("the pictures could not be drawn (KeyError: 'x'); the results of the run are kept")
    assert len(run.digest) == 64


def test_an_image_of_one_patch_is_denoised(runner, tmp_path):
    write_image(tmp_path / "clean.png", (4, 4))
    run = runner(DENOISE.replace("IMAGE", str(tmp_path / "clean.png")).replace("updates_per_sweep: 4", "block_rows: 1"))
    assert run("training.n_sweeps=2").status == 0
    assert read_run(run.folder).results["images"]["denoised"].shape == (4, 4, 1)


def test_how_often_a_picture_is_measured_changes_no_bit(runner, tmp_path, reference):
    write_image(tmp_path / "clean.png")
    text = DENOISE.replace("IMAGE", str(tmp_path / "clean.png"))
    run = runner(text)
    run("task.every=1", "output.figures=false", "training.n_sweeps=5")
    run("task.every=null", "output.figures=false")
    assert run.digest == reference(text, "output.figures=false").attributes["digest"]


def test_the_folder_is_named_by_the_configuration_where_the_command_names_none(runner, tmp_path, monkeypatch):
    run = runner()
    monkeypatch.chdir(tmp_path)
    for change, folder in (("name=some run", "runs/some run"), ("output.folder=here", "here")):
        arguments = ["--quiet", "run", str(run.file), "--set", change, "--set", "training.n_sweeps=1"]
        assert cli.main(arguments) == 0
        assert (tmp_path / folder / "run.h5").exists()


def test_quiet_says_nothing(runner, capsys):
    run = runner()
    assert cli.main(["--quiet", *run.arguments()]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", KINDS)
def test_a_finished_run_does_nothing_more_and_says_so(runner, reference, name):
    run, n_sweeps = runner(KINDS[name]), 10 if name == "annealed" else 12
    run()
    digest, checkpoints = run.digest, sorted((run.folder / "checkpoints").iterdir())
    again = run()
    assert again.status == 0
    assert again.out.startswith(f"resumed after sweep {n_sweeps} of {n_sweeps}\n")
    assert run.digest == digest == reference(KINDS[name]).attributes["digest"]
    assert sorted((run.folder / "checkpoints").iterdir()) == checkpoints
    assert (run.status.state, run.status.iteration, run.status.attempt) == ("finished", n_sweeps, 2)
    assert run.status.free_energy == run.history["free_energy"][-1]
    assert len(run.history["sweep"]) == n_sweeps
    assert "attempt-0002" in read_run(run.folder).provenance


@pytest.mark.parametrize("name", ["search", "exhaustive"])
def test_more_sweeps_go_on_to_the_bits_of_a_run_of_that_length(runner, reference, name):
    run, text = runner(KINDS[name]), KINDS[name]
    for n_sweeps in (1, 5, 6, 12):
        assert run(f"training.n_sweeps={n_sweeps}").status == 0
        assert run.status.iteration == n_sweeps
    assert_same_results(run, reference(text))


def test_schedules_by_sweeps_may_be_made_longer_and_those_by_fractions_may_not(runner, reference):
    run = runner(ANNEALED)
    run("training.n_sweeps=7")
    run()
    assert_same_results(run, reference(ANNEALED))
    fraction = "training.annealing.temperature=[[0.0, 3.0], [0.5, 1.0]]"
    other = runner(ANNEALED, "other")
    assert other(fraction, "training.n_sweeps=7").status == 0
    done = other(fraction)
    assert done.status == 2
    assert "  training.n_sweeps: 7 -> 10\n" in done.err


def test_fewer_sweeps_than_are_done_are_refused(runner):
    run = runner()
    run()
    digest = run.digest
    done = run("training.n_sweeps=5")
    assert done.status == 2
    assert done.err == (
        f"error: {run.folder} holds 12 sweeps of this run, more than training.n_sweeps, which is 5; "
        "choose 12 or more, or another output folder\n"
    )
    assert (run.digest, run.status.state) == (digest, "finished")


def test_another_configuration_is_refused_and_what_differs_is_listed(runner):
    run = runner()
    run()
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    done = run("seed=4", "model.n_latents=7", "data.noise=3.0", "training.stopping.patience=9")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        f"error: {run.folder} holds a run of another configuration, which differs in\n"
        "  seed: 3 -> 4\n"
        "  data.noise: 2.0 -> 3.0\n"
        "  model.n_latents: 6 -> 7\n"
        "choose another output folder, or the configuration that the run was started with\n"
    )
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_a_run_annealed_in_fractions_is_not_prolonged_and_why_is_said(runner):
    run = runner()
    fractions = "training.annealing.temperature=[[0.0, 2.0], [0.7, 1.0]]"
    assert run(fractions).status == 0
    done = run(fractions, "training.n_sweeps=13")
    assert done.status == 2
    assert "\n  training.n_sweeps: 12 -> 13\n" in done.err
    assert "positions of training.annealing are fractions of the run: with another number of sweeps than 12" in done.err
    assert f"start in another folder with training.initial_file: {run.folder}, and a run that is to be " in done.err


def test_another_configuration_is_refused_even_where_there_is_no_checkpoint(runner):
    run = runner()
    run("output.checkpoint_sweeps=null", "training.n_sweeps=2")
    for path in (run.folder / "checkpoints").iterdir():
        path.unlink()
    assert "  seed: 3 -> 4\n" in run("seed=4").err
    done = run()
    assert done.status == 0
    assert f"{run.folder} holds this run without a checkpoint; it is begun anew\n" in done.err
    assert len(run.history["sweep"]) == 12


def test_what_does_not_change_the_results_may_change(runner, reference):
    run = runner()
    run("training.n_sweeps=5")
    changes = ("name=other", "output.checkpoint_sweeps=1", "output.keep_checkpoints=3", "training.stopping.patience=4")
    assert run(*changes).status == 0
    assert_same_results(run, reference(SEARCH))
    assert run.checkpoints == [10, 11, 12]


def test_a_run_that_converges_is_finished(runner):
    run = runner(EXHAUSTIVE)
    change = ("training.n_sweeps=500", "training.stopping.relative_change=1e-3")
    assert run(*change).status == 0
    n_sweeps = run.status.iteration
    assert n_sweeps < 100
    assert run.status.reason.startswith("the free energy changed by no more than 0.001 of itself")
    energies = run.history["free_energy"]
    assert (np.abs(np.diff(energies[-4:])) <= 1e-3 * np.abs(energies[-3:])).all()
    again = run(*change)
    assert (again.status, run.status.iteration) == (0, n_sweeps)


def test_a_new_run_starts_from_the_parameters_of_another(runner):
    first, second = runner(), runner(name="second")
    first()
    second(f"training.initial_file={first.folder}", "training.learn=[pi]", "training.n_sweeps=2")
    learned, kept = read_run(first.folder).parameters, read_run(second.folder).parameters
    assert (kept["W"] == learned["W"]).all()
    assert kept["sigma"] == learned["sigma"]
    assert (kept["pi"] != learned["pi"]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.learn=[W, tau]", "training.learn: model bsc has no parameter 'tau'; it has W, sigma, pi"),
        ("training.initial={w: 1.0}", "training.initial: model bsc has no parameter 'w'; it has W, sigma, pi"),
        (
            "training.annealing.parameter_noise={mu: 1.0}",
            "training.annealing: parameter_noise: the model has no parameter 'mu'; it has W, sigma, pi",
        ),
        (
            "training.updates_per_sweep=9",
            "training.updates_per_sweep is 9, but 120 rows make only 8 blocks of 16; legal are 1 to 8 updates, or "
            "smaller training.block_rows",
        ),
        ("task.kind=denoise", "task denoise needs the patches of an image; use data of kind image, or task train"),
        ("data={kind: npy, path: none.npy}", "none.npy: no such file"),
        (
            "estep={kind: exhaustive}",
            "estep exhaustive: 1099511627776 states of 40 latents are too many to enumerate; choose another E-step",
        ),
    ],
)
def test_what_cannot_be_run_is_one_sentence_and_leaves_nothing_behind(runner, change, said):
    run = runner(SEARCH.replace("n_latents: 6", "n_latents: 40").replace("n_states: 12", ""))
    kernels = sorted(kernel_folder().rglob("*.nbc"))
    done = run(change)
    assert (done.status, done.out) == (2, "")
    sentence, *notes = done.err.splitlines()
    assert sentence.startswith(f"error: {said}")
    assert all(note.startswith("  while ") for note in notes)
    assert not run.folder.exists()
    # Nothing that a user can cause is a reason to compile everything again.
    assert set(kernels) <= set(kernel_folder().rglob("*.nbc"))
