"""A learned dictionary applied to other pictures: what is learned of them, what is written, what is refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

import prosper_ng
from prosper_ng import cli
from prosper_ng.storage.run_record import read_run
from tests.helpers.small_runs import DENOISE, complaint, undisturbed, write_image

LEARN = DENOISE.replace("n_sweeps: 8", "n_sweeps: 3") + "output: {figures: false}\n"


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder of a run that has learned from gray patches."""
    folder = tmp_path_factory.mktemp("learned")
    write_image(folder / "image.png", (30, 34))
    return undisturbed(folder / "run", LEARN.replace("IMAGE", str(folder / "image.png")))


@pytest.fixture
def other(tmp_path):
    """Another picture, of another size, in a file with blanks and umlauts in its name."""
    path = tmp_path / "zweites schönes Bild.png"
    write_image(path, (25, 40))
    return path


def restore(*arguments):
    sets = [word for each in ("data.noise=50", "output.figures=false") for word in ("--set", each)]
    return cli.main(["restore", *map(str, arguments), *sets])


def test_the_noise_of_the_other_picture_is_learned_and_the_dictionary_stays(learned, other, tmp_path, capsys):
    assert restore(learned, other, "--output", tmp_path / "out") == 0
    before, after = read_run(learned), read_run(tmp_path / "out")
    for name in ("W", "pi", "sigma"):
        assert np.array_equal(before.parameters[name], after.parameters[name]) == (name == "W")
    assert before.parameters["sigma"] < 35 < after.parameters["sigma"] < 65
    assert after.results["psnr"]["after"] > after.results["psnr"]["before"] + 3
    assert after.results["images"]["restored"].shape == (25, 40, 1)
    assert {"restored.png", "uncertainty.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert f"{after.results['psnr']['after']:.2f} dB after" in capsys.readouterr().out


def test_python_gets_what_the_command_writes_and_sweeps_refine_the_dictionary(learned, other, tmp_path):
    assert restore(learned, other, "--sweeps", "2", "--output", tmp_path / "out") == 0
    changes = ["data.noise=50", "output.figures=false"]
    outcome = prosper_ng.restore(learned, other, tmp_path / "python", n_sweeps=2, overrides=changes, progress=False)
    assert (outcome.finished, outcome.learned.n_sweeps) == (True, 2)
    assert outcome.learned.digest == read_run(tmp_path / "out").attributes["digest"]
    assert not np.array_equal(outcome.learned.params["W"], read_run(learned).parameters["W"])


def test_a_saved_model_fills_gaps_of_a_picture_with_sixteen_bits(learned, tmp_path, capsys):
    prosper_ng.load(learned).save(tmp_path / "model.h5")
    write_image(tmp_path / "8.png", (24, 26))
    values = np.asarray(Image.open(tmp_path / "8.png")).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "scan.tif", values)
    hidden = np.random.default_rng(0).random(values.shape) < 0.2
    Image.fromarray(hidden).save(tmp_path / "gaps.png")
    words = ["--set", f"data.mask={tmp_path}/gaps.png", "--set", f"data.clean={tmp_path}/8.png"]
    words += ["--set", "task.n_rounds=2", "--set", "output.figures=false", "--output", str(tmp_path / "out.tif")]
    for _ in range(2):  # the same command again
        assert cli.main(["restore", str(tmp_path / "model.h5"), str(tmp_path / "scan.tif"), *words]) == 0
    written = tifffile.imread(tmp_path / "out.tif")
    np.testing.assert_array_equal(written, tifffile.imread(tmp_path / "out" / "restored.tif"))
    np.testing.assert_array_equal(written[~hidden], values[~hidden])
    assert np.abs(written[hidden] - values[hidden].astype(float)).mean() < 0.2 * 65535
    assert f"the picture is {tmp_path / 'out.tif'}" in capsys.readouterr().out


def test_pictures_with_other_channels_are_refused_in_words(learned, other, tmp_path, capsys):
    colors = tmp_path / "colors.png"
    Image.open(other).convert("RGB").save(colors)
    said = complaint(capsys, "restore", learned, colors)
    assert f"{colors} has color, and {learned} has learned from gray patches" in said
    assert restore(learned, colors, "--set", "data.channels=gray", "--output", tmp_path / "gray.jpg") == 0
    assert Image.open(tmp_path / "gray.jpg").size == (40, 25)
    capsys.readouterr()
    text = LEARN.replace("IMAGE", str(colors)).replace("patch_size: 4", "patch_size: 4, channels: color")
    in_color = undisturbed(tmp_path / "in-color", text.replace("n_sweeps: 3", "n_sweeps: 1"))
    assert f"{other} is gray, and {in_color} has learned from patches in color" in complaint(
        capsys, "restore", in_color, other
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["data.remove_mean=false"], "data.remove_mean is false, and"),
        (["data.whiten=zca"], "data.whiten is zca, and"),
        (["data.patch_size=5"], "data.patch_size is [5, 5], and"),
        (["data.crop=[0, 0, 3, 20]"], "do not fit into an image of 3 x 20"),
    ],
)
def test_what_does_not_fit_the_dictionary_is_refused(learned, other, tmp_path, capsys, changes, words):
    sets = [word for change in changes for word in ("--set", change)]
    assert words in complaint(capsys, "restore", learned, other, "--output", tmp_path / "out", *sets)


def test_runs_without_patches_of_pictures_and_files_of_others_are_refused(learned, other, tmp_path, capsys):
    bars = tmp_path / "bars.h5"
    prosper_ng.learn(np.eye(6), {"kind": "bsc", "n_latents": 2}, training={"n_sweeps": 1}).save(bars)
    assert "rows of 6 values, which are no patches of pictures" in complaint(capsys, "restore", bars, other)
    mine = tmp_path / "mine.png"
    mine.write_bytes(other.read_bytes())
    assert "exists already" in complaint(capsys, "restore", learned, other, "--output", mine)
    assert "belongs to what is read here" in complaint(capsys, "restore", learned, mine, "--output", mine)
    assert mine.read_bytes() == other.read_bytes()
    whitened = tmp_path / "whitened"
    text = LEARN.replace("IMAGE", str(other)).replace("patch_size: 4", "patch_size: 4, whiten: zca")
    undisturbed(whitened, text.replace("n_sweeps: 3", "n_sweeps: 1"))
    assert "has learned from whitened patches" in complaint(capsys, "restore", whitened, other)
