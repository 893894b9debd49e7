import argparse
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from prosper_ng.cli import main
from prosper_ng.commands import schema, validate
from prosper_ng.commands._arguments import add_config_arguments, load_run_config
from prosper_ng.config import ConfigError, SourceText, load
from prosper_ng.data.images import save_png
from prosper_ng.experiments import preview
from prosper_ng.experiments.run_config import RunConfig

TEXT = """\
name: bars
data: {kind: bars}
model:
  kind: bsc
  n_latents: 10
estep:
  kind: search
  variations: [{kind: evolution, n_parents: 5}]
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "bars.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def run(command, *arguments):
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(arguments))


def test_validate_says_so(path, capsys):
    assert run(validate, path) == 0
    looked_at = "data: 1,000 rows of 25 values from bars; all of them were looked at\n"
    assert capsys.readouterr() == (f"{path}: valid\n{looked_at}", "")
    assert run(validate, path, "--no-data") == 0
    assert capsys.readouterr().out == f"{path}: valid\n"


def test_validate_takes_overrides_and_shows_all_values(path, capsys):
    assert run(validate, path, "--set", "model.n_latents=64", "--set", "seed=3", "--verbose") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"# {path}: valid\nname: bars ")
    again = load(SourceText("shown.yaml", out), RunConfig)
    assert again.value.model.n_latents == 64
    assert again.value.seed == 3
    shown = {line.split("  # ")[0].strip(): line.split("  # ")[1] for line in out.splitlines() if "  # " in line}
    assert shown["n_latents: 64"] == "--set model.n_latents=64"
    assert shown["- kind: evolution"] == f"{path}:8:23"
    assert shown["n_parents: 5"] == f"{path}:8:45"
    assert "default" in shown.values()


def test_the_command_line_prints_the_explanation_as_it_is(path, capsys):
    assert main(["validate", path, "--set", "model.n_latents=0"]) == ConfigError.exit_status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "--set model.n_latents=0: error: `model.n_latents` must be an integer greater than 0, not the integer `0`",
        "  --set model.n_latents=0",
        "                        ^",
    ]


def test_the_command_line_may_be_quiet(path, capsys):
    assert main(["validate", path, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_validate_explains(path):
    with pytest.raises(ConfigError) as caught:
        run(validate, path, "--set", "model.n_latent=64")
    assert str(caught.value).splitlines()[:3] == [
        "--set model.n_latent=64: error: unknown field `n_latent` in `model` (bsc); did you mean `n_latents`?",
        "  --set model.n_latent=64",
        "              ^^^^^^^^",
    ]


def test_other_commands_share_the_arguments(path):
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    loaded = load_run_config(parser.parse_args([path, "--set", "seed=7"]))
    assert isinstance(loaded.value, RunConfig)
    assert loaded.origins["seed"] == "--set seed=7"


def test_schema_covers_a_run(capsys):
    assert run(schema) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["required"]) == {"name", "data"}
    assert printed["else"]["required"] == ["model"]
    assert "bsc" in printed["properties"]["model"]["discriminator"]["mapping"]
    assert printed["properties"]["model"]["description"]
    words = {"enum": ["amortized", "auto", "clusters", "exhaustive", "gaussian", "preselection", "search"]}
    assert words in printed["properties"]["estep"]["anyOf"]


def test_schema_covers_a_campaign(capsys):
    assert run(schema, "--campaign") == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["properties"]) >= {"grid", "zip", "list", "random", "sum", "exclude", "repeats"}
    assert printed["required"] == ["name"]


def modules_after(code):
    code = f"import sys; {code}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_help_imports_next_to_nothing():
    loaded = modules_after("import prosper_ng.commands.validate, prosper_ng.commands.schema")
    assert not loaded & {"mpi4py", "h5py", "numpy", "numba", "pydantic", "yaml"}


def test_configuration_needs_no_arrays():
    assert not modules_after("import prosper_ng.config") & {"mpi4py", "h5py", "numpy", "numba"}


def test_validation_needs_no_mpi_and_no_hdf5(path):
    code = f"import argparse; from prosper_ng.commands import validate; p = argparse.ArgumentParser(); \
validate.configure(p); validate.run(p.parse_args([{path!r}, '--no-data']))"
    assert not modules_after(code) & {"mpi4py", "h5py", "matplotlib", "skimage"}


@pytest.fixture
def validated(tmp_path, monkeypatch, capsys):
    """A function (overrides, *arguments) -> status, output and errors of `validate`, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bars.yaml").write_text(TEXT, encoding="utf-8")

    def call(overrides=(), *arguments):
        status = main(["validate", "bars.yaml", *(word for each in overrides for word in ("--set", each)), *arguments])
        return status, *capsys.readouterr()

    return call


CANNOT_RUN = {
    "data={kind: npy, path: nowhere.npy}": "error: nowhere.npy: no such file",
    "data={kind: image, image: photo.png, patch_size: 9}": "patches of 9 x 9 pixels do not fit into an image of 6 x 8",
    "task={kind: denoise}": "error: task denoise needs the patches of an image",
    "training.initial.Q=2": "error: training.initial: model bsc has no parameter 'Q'; it has W, sigma, pi",
    "training.learn=[V]": "error: training.learn: model bsc has no parameter 'V'; it has W, sigma, pi",
    "training.annealing.parameter_noise.Q=2": "error: training.annealing: parameter_noise: the model has no parameter",
    "training.initial.sigma=-1": "error: training.initial: sigma (standard deviation of the noise) must be a number",
    "training.initial_file=start.npz": "error: training.initial_file: W in start.npz has the shape (3, 10), and model",
    "training.initial_file=none.npz": "none.npz",
    "training.updates_per_sweep=500": "error: training.updates_per_sweep is 500, but 1000 rows make only ",
    "data={kind: npy, path: rows.npy}": "error: rows.npy: row 1, column 2 (counted from 0) is nan; every value must be",
    "output.folder=bars.yaml": "error: the run folder bars.yaml cannot be made: ",
    "output.folder=bars.yaml/run": "bars.yaml is no folder",
    "output.folder=own": "error: the folder own is not empty and holds no run, but thesis.tex; choose a new folder",
    "memory.scratch=bars.yaml": "error: memory.scratch: bars.yaml cannot be made: ",
}


@pytest.mark.parametrize("override", CANNOT_RUN)
def test_validate_finds_what_would_keep_a_run_from_its_first_sweep(validated, tmp_path, override):
    save_png(tmp_path / "photo.png", np.zeros((6, 8), np.uint8))
    np.save(tmp_path / "rows.npy", np.where(np.arange(60).reshape(12, 5) == 7, np.nan, 1.0))
    np.savez(tmp_path / "start.npz", W=np.ones((3, 10)))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").write_text("")
    before = sorted(tmp_path.iterdir())
    status, out, err = validated([override])
    assert (status, out) == (2, "")
    assert CANNOT_RUN[override] in err
    assert "Traceback" not in err
    assert validated([override], "--no-data") == (0, "bars.yaml: valid\n", "")
    assert sorted(tmp_path.iterdir()) == before


def test_validate_holds_the_data_against_the_model(validated, tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(60.0).reshape(12, 5))
    data = "data={kind: npy, path: rows.npy}"
    status, _, err = validated([data, "model.kind=noisy_or"])
    assert status == 2
    assert "row 0, column 2 (counted from 0) is 2; model noisy_or needs 0 or 1" in err
    status, out, err = validated([data, "model.n_latents=20"])
    assert status == 0
    assert "warning: the data have 12 rows for 20 latents" in err
    assert out.endswith("data: 12 rows of 5 values from rows.npy; all of them were looked at\n")


def test_validate_looks_at_the_first_rows_of_large_data(validated, monkeypatch):
    monkeypatch.setattr(preview, "_FEWEST_ROWS", 100)
    monkeypatch.setattr(preview, "_LOOKED_AT", 1)
    status, out, err = validated(["data.missing=0.99", "data.activity=0.1", "training.updates_per_sweep=15"])
    assert (status, out.splitlines()[-1]) == (
        0,
        "data: 1,000 rows of 25 values from bars; the first 100 of them were looked at",
    )
    assert all(line.startswith("warning: of the first 100 rows: ") for line in err.splitlines())
    assert "of 100 rows hold no observed value" in err


def test_validate_tells_a_run_that_goes_on_from_another_one(validated, capsys):
    short = ["--set", "training.n_sweeps=2", "--set", "output.figures=false"]
    assert main(["run", "bars.yaml", "--quiet", *short]) == 0
    capsys.readouterr()
    status, out, _ = validated(["training.n_sweeps=3"])
    assert status == 0
    assert out.splitlines()[-1] == "runs/bars holds 2 of the 3 sweeps; run goes on with it"
    for arguments in (["seed=1"], ["data.n_rows=400"]):
        status, out, err = validated(arguments)
        assert (status, out) == (2, "")
        assert "runs/bars holds a run of another configuration" in err
    assert validated(["seed=1"], "--output", "elsewhere")[0] == 0


def test_validate_says_what_does_not_fit_here_but_may_elsewhere(validated):
    status, _, err = validated(["data.n_rows=20000000000"])
    assert status == 0
    assert err.startswith("warning: not on this machine alone: 1 rank on host ")


def test_what_a_terminal_cannot_show_is_escaped(validated, monkeypatch, tmp_path):
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["validate", "bars.yaml", "--set", "name=größe 数", "--verbose"]) == 0
    assert main(["validate", "größe.yaml"]) == 2
    sys.stdout.flush()
    assert b'name: "gr\\xf6\\xdfe \\u6570"' in sys.stdout.buffer.getvalue()
    assert b"gr\\xf6\\xdfe.yaml: error: there is no such file" in sys.stderr.buffer.getvalue()


def test_an_argument_that_is_no_text_here_is_refused(validated, monkeypatch):
    status, out, err = validated(["name=gr\udcf6\udcdfe"])
    assert (status, out) == (2, "")
    assert "a character that cannot be printed (U+DCF6) stands here" in err
    assert "to give it as text" not in err
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    status, out, err = validated(["name=gr\udcf6\udcdfe"])
    assert (status, out) == (2, "")
    assert err.startswith(r"error: 'name=gr\udcf6\udcdfe' holds characters that are none in the encoding of this env")
