"""The files of runs and of campaigns, taken for each other."""

import pytest

from prosper_ng import cli
from prosper_ng.campaigns.file_kinds import kind_of_file
from prosper_ng.campaigns.plan import keep, load_plan
from tests.helpers.campaigns import write_campaign
from tests.helpers.small_runs import SEARCH, complaint


@pytest.fixture
def files(tmp_path):
    """The file of a run and that of a campaign."""
    run = tmp_path / "run.yaml"
    run.write_text(SEARCH, encoding="utf-8")
    return run, write_campaign(tmp_path, "grid: {model.n_latents: [4, 6]}")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SEARCH, "run"),
        (SEARCH + "repeats: 3\n", "run"),
        ("base: run.yaml\ngrid: {seed: [1, 2]}\n", "campaign"),
        ("base: run.yaml\nrepeats: 2\nmodel: {kind: bsc}\n", "campaign"),
        ("name: x\nseed: 3\n", None),
        ("- 1\n", None),
        ("a: [\n", None),
        ("", None),
    ],
)
def test_names_of_fields_tell_what_a_file_describes(tmp_path, text, kind):
    path = tmp_path / "some.yaml"
    path.write_text(text, encoding="utf-8")
    assert kind_of_file(path) == kind


@pytest.mark.parametrize("action", ["plan", "run", "status", "collect", "rerun"])
def test_a_run_is_no_campaign(files, capsys, action):
    told = complaint(capsys, "campaign", action, files[0])
    assert told.startswith(f"error: {files[0]} is the configuration of a single run")
    assert f"prosper-ng run {files[0]} runs it" in told


@pytest.mark.parametrize("command", ["run", "validate", "estimate"])
def test_a_campaign_is_no_run(files, capsys, command):
    told = complaint(capsys, command, files[1])
    assert told.startswith(f"error: {files[1]} describes a campaign")
    assert f"prosper-ng campaign run {files[1]} runs them" in told


def test_show_of_a_campaign_names_the_command_that_shows_it(files, capsys, tmp_path):
    told = complaint(capsys, "show", files[1])
    assert f"prosper-ng campaign status {files[1]} shows how its runs stand" in told
    folder = tmp_path / "out"
    (folder / "runs").mkdir(parents=True)
    keep(load_plan(files[1], folder=folder))
    for place in (folder, folder / "runs"):
        assert f"prosper-ng campaign status {folder} shows how its runs stand" in complaint(capsys, "show", place)
    assert "is the configuration of a run; name the folder of the run" in complaint(capsys, "show", files[0])


def test_a_page_is_written_of_results_not_of_a_configuration(files, capsys):
    assert "name the folder of its results" in complaint(capsys, "report", files[0])


def test_what_is_wrong_with_a_file_of_the_right_kind_is_told_in_full(files, capsys):
    path = files[0].with_name("wrong.yaml")
    path.write_text(SEARCH + "repeats: 3\n", encoding="utf-8")
    assert cli.main(["run", str(path)]) == 2
    assert "error: unknown field `repeats`" in capsys.readouterr().err
