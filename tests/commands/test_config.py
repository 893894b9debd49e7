import argparse
import json
import subprocess
import sys

import pytest

from prosper_ng.cli import main
from prosper_ng.commands import schema, validate
from prosper_ng.commands._arguments import add_config_arguments, load_run_config
from prosper_ng.config import ConfigError, SourceText, load
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
    assert set(printed["required"]) == {"name", "data", "model"}
    assert "bsc" in printed["properties"]["model"]["discriminator"]["mapping"]
    assert printed["properties"]["model"]["description"]
    assert {"enum": ["auto", "exhaustive", "preselection", "search"]} in printed["properties"]["estep"]["anyOf"]


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
validate.configure(p); validate.run(p.parse_args([{path!r}]))"
    assert not modules_after(code) & {"mpi4py", "h5py", "matplotlib", "skimage"}
