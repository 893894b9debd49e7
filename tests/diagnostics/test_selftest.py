"""The self-test finds nothing on a sound machine, and something where a promise is broken."""

import sys
from pathlib import Path

import pytest

from prosper_ng import cli
from prosper_ng.diagnostics.selftest_trials import Trials

BROKEN_RESUMPTION = """
from prosper_ng.environment import prepare_environment
prepare_environment()
from prosper_ng.experiments.run_folder import RunFolder
original = RunFolder._restore
def restore(self, found, state):
    original(self, found, state)
    state.params["sigma"] *= 1 + 1e-15
RunFolder._restore = restore
"""


QUICK = ("undisturbed, on every number of ranks", "everything killed while a checkpoint is written", "a full disk")


@pytest.mark.heavy
@pytest.mark.parametrize("chosen", [QUICK, pytest.param(None, marks=pytest.mark.slow)])
def test_a_single_process_survives(tmp_path, capsys, monkeypatch, chosen):
    """Some of it, and everything among the slow tests, where ranks of a launcher do so, too."""
    original = Trials.trials
    if chosen:
        monkeypatch.setattr(Trials, "trials", lambda self: {name: original(self)[name] for name in chosen})
    status = cli.main(["selftest", "--cycles", "1", "--folder", str(tmp_path), "--launcher", "  "])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0, lines
    assert lines[-1] == "everything held"
    assert sum("same bits" in line for line in lines) >= (2 if chosen else 10)
    assert all("same bits" in line or "not tried: needs the right to mount" in line for line in lines[3:-2])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.timeout(1200)
def test_ranks_survive_everything(tmp_path, capsys):
    if not (Path(sys.prefix) / "bin" / "mpiexec").exists():
        pytest.skip("no MPI library in this environment")
    assert cli.main(["selftest", "--ranks", "3", "--cycles", "3", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("everything held\n")


@pytest.mark.heavy
def test_what_does_not_hold_is_found(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(BROKEN_RESUMPTION)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    trials = Trials(tmp_path, (), 1, 1, seed=3)
    for name, complaint in (
        ("undisturbed, on every number of ranks", None),
        ("a file `stop` in the run folder", "differ"),
    ):
        result = trials.result(name, trials.trials()[name])
        assert (result.complaint or "None").count(str(complaint)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ranks", "0"], "--ranks"),
        (["--cycles", "x"], "--cycles"),
        (["--folder", "/none"], "/none cannot be written"),
    ],
)
def test_what_cannot_be_tried_is_said(capsys, arguments, said):
    assert cli.main(["selftest", *arguments]) == 2
    assert said in capsys.readouterr().err
