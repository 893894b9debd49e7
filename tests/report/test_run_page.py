"""The page of a run: it says what the run did, whatever state it is in, and names in it are only names."""

import re
import shutil
import sys
from importlib import resources

import h5py
import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.drawing.charts import number_of_active
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.status import StatusFile
from tests.helpers.pages import Page, check
from tests.helpers.small_runs import DENOISE, SEARCH, Runner, complaint, undisturbed, write_image

HOSTILE = """</pre></title></script><script>alert(1)</script><img src=x onerror="alert(2)"> {{ 7 * 7 }} ' $x^$ -->"""


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder of a finished run."""
    return undisturbed(tmp_path_factory.mktemp("learned") / "run")


@pytest.fixture
def report(tmp_path, capsys):
    """A function (folder) -> its page, which holds what every page has to."""

    def made(folder):
        path = tmp_path / "page.html"
        assert cli.main(["report", str(folder), "--output", str(path)]) == 0
        assert capsys.readouterr().out == f"{path}\n"
        page = Page(path)
        check(page)
        return page

    return made


def write_run(folder, config=None, attributes=None, results=None, n_sweeps=0, provenance=None):
    """A run without learning; its configuration and results are what is asked for."""
    folder.mkdir()
    stored = StoredConfig(config or {"name": "made"}, "name: made\n", {"name": "made.yaml:1:7"})
    file = RunFile(folder, stored, provenance or {}, {"name": "made", **(attributes or {})})
    for sweep in range(1, n_sweeps + 1):
        file.record(sweep, {"free_energy": -5.0 / sweep})
    file.set_results(results or {})
    assert file.flush() is None
    StatusFile(folder, n_iterations=9).write(state="running", iteration=n_sweeps)
    return folder


def test_page_of_a_finished_run(learned, report):
    page = report(learned)
    text = page.text
    assert "BSC with 6 latents learned from 120 rows of 9 values (bars) in 12 sweeps" in text
    assert re.search(r"\d of 6 true dictionary elements were recovered", text)
    assert page.texts["h1"] == ["small"]
    digest = h5py.File(learned / "run.h5").attrs["digest"]
    assert digest in page.texts["code"]
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert labels[0].startswith("Curve of free energy per row (nats) over 12 sweeps: ")
    assert [label.split(" over ")[0] for label in labels[:3]] == [
        "Curve of free energy per row (nats)", "Curve of noise level σ (units of the data)",
        "Curve of mean activity π (probability)",
    ]  # fmt: skip
    assert any("of being active of 6 latents" in label for label in labels)
    assert {"E-step", "M-step", "writing files", "estep.n_states", "training.annealing.temperature"} <= set(
        page.texts["th"]
    )
    assert f"{learned.with_suffix('.yaml')}:6:33" in page.texts["td"]
    assert "default" in page.texts["td"]
    assert any("kind: search" in text for text in page.texts["pre"])
    assert any(image["alt"].startswith("Dictionary: 6 elements") for image in page.all("img"))
    assert {"prosper_ng", "git_commit", "input_sha256", "version_numpy"} <= set(page.texts["th"])
    facts = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    evaluated = h5py.File(learned / "run.h5")["history/n_evaluated"][-1]
    assert facts["looked at in a sweep, states or posteriors"] == f"{evaluated:.4g} per row"


def test_page_lies_in_the_folder_of_the_run_and_replaces_the_one_before(learned, capsys):
    (learned / "report.html").write_text("old")
    assert cli.main(["--quiet", "report", str(learned / "run.h5")]) == 0
    assert capsys.readouterr().out == ""
    check(Page(learned / "report.html"))
    assert not list(learned.glob(".report*"))


@pytest.mark.parametrize(("identity", "is_said"), [("at convergence", True), ("after M-step", False)])
def test_a_gap_that_is_the_distance_from_convergence_is_said_to_be_one(learned, tmp_path, report, identity, is_said):
    with h5py.File(learned / "run.h5") as file:
        assert file.attrs["entropy_identity"] == "after M-step"
    folder = shutil.copytree(learned, tmp_path / "run")
    with h5py.File(folder / "run.h5", "r+") as file:
        file.attrs["entropy_identity"] = identity
        file["history/entropy_gap"][-1] = 0.0123
    facts = report(folder).texts
    assert ("entropy gap, 0 at convergence" in facts["dt"]) == is_said
    assert ("0.0123 per row" in facts["dd"]) == is_said
    with h5py.File(folder / "run.h5", "r+") as file:
        file["history/entropy_gap"][...] = 2e-15
    page = report(folder)
    assert ("0 per row" in page.texts["dd"]) == is_said
    assert not any(svg["aria-label"].startswith("Curve of entropy gap") for svg in page.all("svg"))


def test_images_before_and_after(tmp_path, capsys, report):
    write_image(tmp_path / "image.png")
    run = Runner(tmp_path / "run", DENOISE.replace("IMAGE", str(tmp_path / "image.png")), capsys)
    assert run().status == 0
    page = report(run.folder)
    before, after = (float(n) for n in re.search(r"PSNR went from ([\d.]+) dB to ([\d.]+) dB", page.text).groups())
    alternatives = [image["alt"] for image in page.all("img")][:3]
    assert [text.split(",")[0] for text in alternatives] == [
        f"The {name} image" for name in ("clean", "noisy", "denoised")
    ]
    assert f"PSNR {before:.2f} dB" in alternatives[1]
    assert f"PSNR {after:.2f} dB" in alternatives[2]
    assert any(svg["aria-label"].startswith("Curve of PSNR (dB) over 2 sweeps") for svg in page.all("svg"))


def test_missing_pixels_and_large_images_are_shown(tmp_path, report):
    clean = np.full((40, 2900), 100.0)
    masked = np.where(np.arange(2900) % 2, np.nan, clean)
    folder = write_run(tmp_path / "run", results={"images": {"clean": clean, "masked": masked, "inpainted": clean + 1}})
    page = report(folder)
    assert [image["alt"] for image in page.all("img")] == [
        "The clean image, 40 x 2900 pixels.",
        "The masked image, 40 x 2900 pixels. 50.0% of the pixels are missing.",
        "The inpainted image, 40 x 2900 pixels. PSNR 48.13 dB, SSIM 1.000.",
    ]
    assert [image["width"] for image in page.all("img")] == ["966"] * 3
    assert sum("Shown at 1/3 of its size." in text for text in page.texts["p"]) == 3


def test_a_run_that_stopped_half_way(tmp_path, capsys, report):
    run = Runner(tmp_path / "run", SEARCH, capsys)
    run.folder.mkdir()
    (run.folder / "stop").touch()
    assert run().status == 75
    text = report(run.folder).text
    assert "until it was stopped after 1 of 12 sweeps" in text
    assert "stopped by the file" in text


def test_a_failed_run_says_why(tmp_path, report):
    folder = write_run(tmp_path / "run", n_sweeps=2)
    StatusFile(folder, n_iterations=9).write(state="failed", iteration=2, reason="the disk is full")
    page = report(folder)
    assert "the disk is full" in page.text
    assert "failed after 2 of 9 sweeps" in page.text


def test_a_run_that_has_not_finished_a_sweep(tmp_path, report):
    page = report(write_run(tmp_path / "run"))
    assert "There are no curves: the run has not finished a sweep yet." in page.text
    assert "There is no picture of the dictionary" in page.text
    assert page.all("svg") == page.all("img") == []


def test_later_starts_and_long_texts_of_the_provenance(tmp_path, report):
    folder = write_run(tmp_path / "run", provenance={"host": "first", "git_diff": "+ a <b>\n" * 900})
    with h5py.File(folder / "run.h5", "r+") as file:
        file.create_group("provenance/attempt-0002").attrs["host"] = "second"
    page = report(folder)
    assert {"First start", "Start 2"} <= set(page.texts["h3"])
    assert {"first", "second"} <= set(page.texts["td"])
    assert any(text.startswith("+ a <b> + a <b>") for text in page.texts["pre"])


def test_names_are_only_names(tmp_path, report):
    def made(name, word):
        config = {"name": word, "model": {"kind": word, word: word}, "data": {"kind": word, "path": word}}
        folder = write_run(
            tmp_path / name, config, {"name": word}, {"images": {word: np.ones((4, 4))}}, 2, {word: word}
        )
        StatusFile(folder).write(state="failed", iteration=1, reason=word)
        return report(folder)

    hostile, harmless = made("a", HOSTILE.replace("/", "|")), made("b", "word")
    shape = [[(element.tag, sorted(element.attributes)) for element in page.elements] for page in (hostile, harmless)]
    assert shape[0] == shape[1]
    assert "{{ 7 * 7 }}" in hostile.text
    assert "alert(2)" in hostile.text


def test_written_configuration_stays_text(tmp_path, capsys, report):
    run = Runner(tmp_path / "run", f"# {HOSTILE}\n{SEARCH}", capsys)
    assert run("training.n_sweeps=1").status == 0
    page = report(run.folder)
    assert len(page.all("script")) == 1
    assert any("onerror" in text for text in page.texts["pre"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("history/free_energy", np.float64(1)),
        ("history/free_energy", np.full(2, np.nan)),
        ("history/sweep", np.ones((2, 2))),
        ("results/images", np.ones(3)),
        ("results/images/clean", np.ones(3)),
        ("results/images/clean", np.full((4, 4), np.inf)),
        ("results/truth", np.ones(3)),
        ("results/truth/W", np.ones((3, 2))),
        ("parameters/latest/W", np.zeros((0, 0))),
        ("parameters/latest/pi", np.full(3, 7.0)),
    ],
)
def test_what_has_no_sense_is_left_out(tmp_path, report, name, value):
    folder = write_run(
        tmp_path / "run", {"name": "made", "model": {"n_latents": 3}}, {"patch_shape": (2, 2)}, n_sweeps=2
    )
    with h5py.File(folder / "run.h5", "r+") as file:
        if name in file:
            del file[name]
        file[name] = value
    report(folder)


def test_the_number_of_active_latents_is_that_of_independent_ones():
    rng = np.random.default_rng(3)
    activity = rng.uniform(size=5)
    states = np.array([[row >> h & 1 for h in range(5)] for row in range(32)])
    probabilities = np.where(states, activity, 1 - activity).prod(axis=1)
    expected = [probabilities[states.sum(axis=1) == n].sum() for n in range(6)]
    np.testing.assert_allclose(number_of_active(activity), expected, rtol=1e-12)


def test_activity_of_an_alphabet_is_that_of_all_values_but_zero(tmp_path, report):
    folder = write_run(tmp_path / "run", {"model": {"kind": "dsc", "n_latents": 3, "values": [0, 1, 2]}}, n_sweeps=1)
    file = RunFile(tmp_path, StoredConfig({}, "", {}), {}, {})
    file.set_parameters(NamedArrays.of(pi=np.array([0.7, 0.2, 0.1])))
    assert file.flush() is None
    with h5py.File(folder / "run.h5", "r+") as to, h5py.File(tmp_path / "run.h5") as made:
        to.copy(made["parameters/latest"], "parameters/latest")
    (label,) = [svg["aria-label"] for svg in report(folder).all("svg") if "active latents" in svg["aria-label"]]
    assert label.startswith("Distribution of the number of active latents: 0.9 on average, most often 1")


def test_colors_can_be_read_on_light_and_on_dark():
    style = (resources.files("prosper_ng.report") / "templates/page.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(\w+(?:-\w+)?): (#\w{6})", block)) for block in style.split("@media", 2)[:2])
    for theme in (light, dark):
        for name in (
            "ink",
            "pale",
            "link",
            "bad",
            *(n for n in theme if n in "blue red green violet orange teal brown"),
        ):
            for ground in ("paper", "card"):
                assert contrast(theme[name], theme[ground]) >= 4.5, (name, ground)
        assert contrast(theme["ink"], theme["tint"]) >= 4.5
        assert contrast(theme["ink"], theme["bad-tint"]) >= 4.5


def contrast(a, b):
    """The ratio of luminances, as the Web Content Accessibility Guidelines define it."""
    channels = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in (a, b)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ [0.2126, 0.7152, 0.0722])
    return (high + 0.05) / (low + 0.05)


def test_what_cannot_be_reported_is_one_sentence(learned, tmp_path, capsys, monkeypatch):
    assert "there is no run folder" in complaint(capsys, "report", tmp_path / "absent")
    assert "holds no run.h5" in complaint(capsys, "report", tmp_path)
    (tmp_path / "taken").touch()
    sentence = complaint(capsys, "report", learned, "--output", tmp_path / "taken" / "page.html")
    assert "the page cannot be written to" in sentence
    assert "the page cannot be written to" in complaint(capsys, "report", learned, "--output", tmp_path)
    for package in ("jinja2", "matplotlib"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            assert complaint(capsys, "report", learned) == (
                f'error: pages need the package {package}; install it with: pip install "prosper_ng[report]"\n'
            )
