"""What pictures of a run say that only its record knows."""

import csv
import io

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.data.preprocessing import Preprocessing, Whitening
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.report.pictures import fields_of, unit_of_data
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.run_record import RunRecord, read_run
from tests.helpers.pages import Page
from tests.helpers.small_runs import complaint


@pytest.mark.parametrize(
    ("data", "unit"),
    [
        ({"kind": "image"}, "8-bit scale"),
        ({"kind": "image", "whiten": "zca"}, "of whitened data"),
        ({"kind": "npy", "whiten": "none"}, "units of the data"),
        ("nothing", "units of the data"),
    ],
)
def test_the_noise_has_the_unit_of_the_rows(data, unit):
    fields = dict.fromkeys(RunRecord.__dataclass_fields__)
    assert unit_of_data(RunRecord(**fields | {"config": {"data": data}})) == unit


@pytest.fixture
def gratings(tmp_path):
    """A function (whitening, patch_shape) -> the folder of a run with two stripes, a blob and noise of 8 x 9 pixels."""

    def made(kind="none", patch_shape=(8, 9, 1)):
        rows, columns = np.mgrid[:8, :9]
        square = (rows - 4.0) ** 2 + (columns - 4.0) ** 2
        stripes = [np.exp(-square / 8) * np.cos(2 * np.pi * 0.25 * (at - 4.2)) for at in (columns, rows)]
        noise = np.random.default_rng(1).normal(size=(8, 9))
        W = np.stack([*stripes, -np.exp(-square / 4), noise]).reshape(4, 72).T
        (tmp_path / "run").mkdir()
        about = {"name": "run", "n_observed": 72, "patch_shape": np.array(patch_shape)}
        file = RunFile(tmp_path / "run", StoredConfig({"name": "run"}, "name: run\n", {}), {}, about)
        if kind != "none":
            data = np.random.default_rng(0).normal(size=(200, 72)) @ np.random.default_rng(2).normal(size=(72, 72))
            covariance = np.cov(data.T)
            zca, pca = (Whitening.of_moments(each, np.zeros(72), covariance, 1e-4, "data") for each in ("zca", "pca"))
            if kind == "pca":
                W = np.linalg.solve(zca.matrix.T @ zca.inverse.T, pca.matrix.T @ (zca.inverse.T @ W))
                whitening = pca
            else:
                whitening = zca
            file.set_preprocessing(Preprocessing(True, whitening).arrays())
        file.set_parameters(NamedArrays.of(W=W, sigma=2.0, pi=np.full(4, 0.2)))
        file.record(1, {"free_energy": -5.0, "sigma": 2.0})
        assert file.flush() is None
        return tmp_path / "run"

    return made


KINDS = ["gabor", "gabor", "globular", "neither"]


@pytest.mark.parametrize("kind", ["none", "zca", "pca"])
def test_receptive_fields_are_those_of_whitened_rows_however_these_were_turned(gratings, kind):
    found = fields_of(read_run(gratings(kind)))
    assert found.kind.tolist() == KINDS
    np.testing.assert_allclose(found.frequency[:2], 0.25, atol=1e-3)
    np.testing.assert_allclose(found.orientation[:2] % 179.9, [90, 0], atol=0.2)
    assert found.center_sign[2] == -1


def test_fields_as_a_table_a_picture_and_on_a_page(gratings, tmp_path, capsys):
    run = gratings()
    assert cli.main(["show", str(run), "--fields"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["kind"] for row in table] == KINDS
    assert [row["element"] for row in table] == ["0", "1", "2", "3"]
    assert float(table[0]["frequency"]) == pytest.approx(0.25, abs=1e-3)
    said = "4 receptive fields: 1 globular (25%), 2 Gabor-like, 1 neither"
    assert cli.main(["plot", str(run), "--output", str(tmp_path / "fields.svg")]) == 0
    assert said in (tmp_path / "fields.svg").read_text()
    assert cli.main(["report", str(run), "--output", str(tmp_path / "page.html")]) == 0
    page = Page(tmp_path / "page.html")
    assert f"{said}." in page.texts["p"]
    labels = [svg["aria-label"] for svg in page.all("svg")]
    assert any(label.startswith(f"Envelopes of {said}; n_x is 0.") for label in labels)
    assert any("fields; 0.25 cycles a pixel in the median" in label for label in labels)


@pytest.mark.parametrize("patch_shape", [(1, 72), (72,), (2, 4, 9)])
def test_elements_that_are_no_pictures_have_no_fields(gratings, tmp_path, capsys, patch_shape):
    run = gratings(patch_shape=patch_shape)
    assert fields_of(read_run(run)) is None
    why = "has no receptive fields: its elements are no pictures, or have a side of less than 6 pixels"
    capsys.readouterr()
    assert why in complaint(capsys, "show", run, "--fields")
    assert "its elements are no pictures" in complaint(capsys, "plot", run, "--output", tmp_path / "fields.png")
    assert cli.main(["report", str(run), "--output", str(tmp_path / "page.html")]) == 0
    assert "receptive field" not in (tmp_path / "page.html").read_text().lower()
