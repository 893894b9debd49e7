"""What is said to Slurm, where no Slurm is needed: options, scripts, arrays, errors."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from prosper_ng import cli
from prosper_ng.campaigns.arrays import cut
from prosper_ng.errors import UserError
from prosper_ng.slurm.options import JobOptions, parse_limit, seconds_of_limit
from prosper_ng.slurm.queue import queue
from prosper_ng.slurm.script import array_script, pack_map, scripts_by_hand, single_script, task_map
from prosper_ng.slurm.submission import clean_environment, hopeless
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import read_status
from tests.helpers.campaigns import write_campaign
from tests.helpers.small_runs import SEARCH

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.mark.parametrize("name", scripts_by_hand())
def test_the_scripts_by_hand_say_what_the_template_says(name):
    assert (JOBS / name).read_text(encoding="utf-8") == scripts_by_hand()[name]
    assert {*scripts_by_hand(), "train.pbs", "prosper-ng.def"} == {path.name for path in JOBS.iterdir()}


@pytest.mark.parametrize(
    ("text", "limit", "seconds"),
    [
        ("90", "90", 5400),
        ("2:30", "2:30", 150),
        ("04:00:00", "04:00:00", 14400),
        ("2-12", "2-12", 216000),
        ("1-00:30", "1-00:30", 88200),
        ("1-02:03:04", "1-02:03:04", 93784),
        ("90s", "00:01:30", 90),
        ("1h30m", "01:30:00", 5400),
        ("2d", "2-00:00:00", 172800),
        ("36h", "1-12:00:00", 129600),
    ],
)
def test_time_limits(text, limit, seconds):
    assert parse_limit(text) == limit
    assert seconds_of_limit(text) == seconds_of_limit(limit) == seconds


@pytest.mark.parametrize("text", ["", "0", "0:00", "1x", "-5", "1:2:3:4", "h", "1h 30m", "UNLIMITED"])
def test_what_is_no_time_limit(text):
    with pytest.raises(UserError, match="is not a time; legal is like 1h30m"):
        parse_limit(text)


def test_warnings_come_in_time():
    assert JobOptions().warning_seconds == JobOptions(time="04:00:00").warning_seconds == 120
    assert JobOptions(time="5").warning_seconds == 60
    assert JobOptions(time="0:02").warning_seconds == 1
    assert JobOptions(time="5", warning=7).warning_seconds == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nodes": 0}, "--nodes is 0"),
        ({"cpus_per_task": -1}, "--cpus-per-task is -1"),
        ({"others": (("time", "3"),)}, "'time' is set by the script"),
        ({"others": (("Gres", "3"),)}, "'Gres' is no option of sbatch"),
        ({"others": (("comment", "a\n#SBATCH --x"),)}, r"--comment 'a\\n#SBATCH --x' holds the end of a line"),
    ],
)
def test_options_that_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        JobOptions(**options)


def test_ranks_spread_over_nodes():
    assert JobOptions(nodes=2).with_ranks(6).ntasks_per_node == 3
    with pytest.raises(UserError, match="5 ranks do not spread evenly over 2 nodes"):
        JobOptions(nodes=2).with_ranks(5)


def test_scripts_are_sound_whatever_the_names(tmp_path):
    folder = tmp_path / 'it\'s 100% "mine" $HOME'
    options = JobOptions(time="1:00", others=(("partition", "long"), ("exclusive", None), ("comment", 'say "a b"')))
    one = single_script(options, folder / "a b.yaml", folder, ["--set", "name=x y"], "module load mpi\n")
    many = array_script(options, "a campaign", folder / "tasks.tsv", folder / "logs")
    for text in (one, many):
        assert "#@" not in text
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        assert '#SBATCH --partition=long\n#SBATCH --exclusive\n#SBATCH --comment="say \\"a b\\""\n' in text
    assert "100%% " in one
    assert one.index("module load mpi") < one.index("set -euo pipefail")


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\x1b", "\u2028", "\udcff"])
def test_what_would_begin_a_line_of_its_own_reaches_no_script(letter, tmp_path):
    bad, options = tmp_path / f"r{letter}#SBATCH --x", JobOptions()
    for arguments in ((bad, tmp_path, []), (tmp_path, bad, []), (tmp_path, tmp_path, ["--import", str(bad)])):
        with pytest.raises(UserError, match="which no line of a job script can hold"):
            single_script(options, *arguments)
    for name, tasks, logs in ((f"a{letter}b", tmp_path, tmp_path), ("a", bad, tmp_path), ("a", tmp_path, bad)):
        with pytest.raises(UserError, match="which no line of a job script can hold"):
            array_script(options, name, tasks, logs)


def test_names_of_files_are_no_commands(tmp_path):
    folder = tmp_path / "a;touch X;$(touch Y)`touch Z`'\"&|>W"
    text = single_script(JobOptions(), folder / "config.yaml", folder, ["--import", f"{folder}/m.py"])
    begin, end = text.index("unset SLURM_ARRAY_JOB_ID"), text.index("restarts=")
    script = text[begin:end] + 'printf "%s\\n" "$config" "$folder" "${arguments[@]}"\n'
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{folder}/config.yaml", str(folder), "--import", f"{folder}/m.py"]
    assert list(tmp_path.iterdir()) == []


def test_paths_in_a_task_map():
    assert task_map([(Path("a b/config.yaml"), Path("a b"))]) == "a b/config.yaml\ta b\n"
    with pytest.raises(UserError, match="which no line of a job script can hold"):
        task_map([(Path("a\tb/config.yaml"), Path("a\tb"))])


@pytest.mark.parametrize(
    ("n_runs", "largest", "n_parallel", "expected"),
    [
        (3, 8, None, [("0-2", None)]),
        (10, 4, None, [("0-3", None), ("0-3", None), ("0-1", None)]),
        (10, 4, 7, [("0-3%3", None), ("0-3%2", None), ("0-1%2", None)]),
        (10, 4, 2, [("0-3%1", None), ("0-3%1", None), ("0-1%1", 0)]),
        (10, 4, 1, [("0-3%1", None), ("0-3%1", 0), ("0-1%1", 1)]),
    ],
)
def test_runs_are_cut_into_arrays_that_together_keep_the_limit(n_runs, largest, n_parallel, expected):
    runs = [types.SimpleNamespace(id=number) for number in range(n_runs)]
    arrays = cut(runs, largest, n_parallel)
    assert [(array.tasks, array.after) for array in arrays] == expected
    assert [run for array in arrays for run in array.runs] == runs


def test_packs_of_runs_are_cut_into_arrays_of_as_many_tasks():
    runs = [types.SimpleNamespace(id=str(number)) for number in range(11)]
    arrays = cut(runs, 2, None, 3)
    assert [(array.tasks, len(array.runs)) for array in arrays] == [("0-1", 6), ("0-1", 5)]
    assert [array.tasks for array in cut(runs, 2, 3, 3)] == ["0-1%2", "0-1%1"]
    assert pack_map([run.id for run in arrays[1].runs], 3) == "6\t7\t8\n9\t10\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ntasks-per-node", "2"], "--runs-per-job is for runs of one rank on one node, and these have 2 ranks"),
        (["--parallel", "3", "--cpus-per-task", "4"], "--parallel 3 allows fewer runs at once than the 4 of one job"),
        (["--parallel", "9", "--cpus-per-task", "4"], "# array 1 of 1: sbatch --array=0-1%2 "),
    ],
)
def test_runs_in_packs(tmp_path, capsys, arguments, said):
    path = write_campaign(tmp_path, "repeats: 8\n")
    status = cli.main(["submit", str(path), "--dry-run", "--runs-per-job", "5", "--output", "here", *arguments])
    told = capsys.readouterr()
    assert said in told.out + told.err
    assert status == (0 if said.startswith("#") else 2)


def test_a_job_does_not_inherit_another_one():
    own = {"SLURM_CONF": "x", "SBATCH_ACCOUNT": "a", "PATH": "p"}
    assert clean_environment(own | {"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "9"}) == own


def test_reasons_that_never_pass():
    assert hopeless("PartitionTimeLimit")
    assert hopeless("QOSMaxWallDurationPerJobLimit")
    assert not any(map(hopeless, ("None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit")))


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(SEARCH, encoding="utf-8")
    return tmp_path


def test_without_slurm(no_slurm, capsys):
    assert queue() == {}
    assert cli.main(["submit", "run.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: submitting {no_slurm}/runs/small/job.sbatch: there is no sbatch on this machine")
    assert len(said.splitlines()) == 1
    assert not (no_slurm / "runs").exists()
    (no_slurm / "mine").mkdir()
    assert cli.main(["submit", "run.yaml", "--output", "mine/new"]) == 2
    assert os.listdir("mine") == []


def test_a_dry_run_shows_the_script_and_writes_nothing(no_slurm, capsys):
    before = sorted(os.listdir())
    options = ["--nodes", "2", "--ntasks-per-node", "3", "--time", "2h", "--qos", "high", "--sbatch", "nice=5"]
    assert cli.main(["submit", "run.yaml", "--dry-run", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"#SBATCH --nodes=2", "#SBATCH --ntasks-per-node=3", "#SBATCH --time=02:00:00"} <= set(lines)
    assert {"#SBATCH --signal=B:USR1@120", "#SBATCH --qos=high", "#SBATCH --nice=5"} <= set(lines)
    assert f"it continues: sbatch {no_slurm}/runs/small/job.sbatch" in lines[1]
    assert "stopped=0" not in lines
    assert cli.main(["submit", "run.yaml", "--dry-run", "--stopped-ok"]) == 0
    assert "stopped=0" in capsys.readouterr().out.splitlines()
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.yaml"], "there is no such file"),
        (["run.yaml", "--parallel", "3"], "--parallel is for campaigns, and run.yaml is one run"),
        (["run.yaml", "--runs-per-job", "3"], "--runs-per-job is for campaigns, and run.yaml is one run"),
        (["run.yaml", "--site", "nowhere.sh"], "--site nowhere.sh cannot be read"),
        (["run.yaml", "--set", "model.n_latent=3"], "unknown field"),
    ],
)
def test_mistakes_are_named_before_anything_is_submitted(no_slurm, capsys, arguments, said):
    assert cli.main(["submit", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (no_slurm / "runs").exists()


def started(text, *arguments, cwd, **variables):
    """A job script, run where no Slurm is, as Slurm would start it: its status, and what it prints."""
    told = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", **variables}
    done = subprocess.run(
        ["bash", "-c", text, "job.sbatch", *arguments],
        cwd=cwd, env={**os.environ, **told}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("words", ["python='env A=1 {}'", "python=(env A=1 {})", "python={}"])
def test_site_lines_have_the_last_word(tmp_path, monkeypatch, words):
    """On the library, and on what starts Python: one word, several, or several in one text."""
    monkeypatch.setenv("MPI4PY_LIBMPI", "another.so")
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "library: $MPI4PY_LIBMPI" "${A:-}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    site = f"export MPI4PY_LIBMPI=mine.so\n[ -e nowhere ] && false\n: $unset\n{words.format(program)}\n"
    text = single_script(JobOptions(), tmp_path / "c.yaml", tmp_path / "run", ["--set", "name=x y"], site)
    status, said = started(text, cwd=tmp_path)
    assert status == 0, said
    environment = "1 " if "A=1" in words else " "
    assert said.endswith(
        f"library: mine.so {environment}-m prosper_ng run {tmp_path}/c.yaml --output {tmp_path}/run "
        "--ranks 1 --set name=x y\n"
    )


@pytest.mark.parametrize(
    "line", ["module_of_nobody load openmpi", "source nowhere/activate", "false", "cat nowhere.env"]
)
def test_a_site_line_that_fails_ends_the_job_and_is_named(tmp_path, line):
    text = single_script(JobOptions(), tmp_path / "c.yaml", tmp_path / "run", [], f"true\n{line}\necho too far\n")
    number = text.splitlines().index(line) + 1
    status, said = started(text, cwd=tmp_path)
    assert status != 0
    # Of a file that is not there bash speaks itself.
    place = (
        f"line {number}: nowhere" if line.startswith("source") else f"line {number} of this job script, of the part "
    )
    assert place in said
    assert "too far" not in said


def test_a_task_without_a_line_says_so_and_a_line_without_an_end_counts(tmp_path):
    text = scripts_by_hand()["campaign.sbatch"].replace("python=python ", "python=echo ")
    (tmp_path / "tasks.txt").write_bytes(b"a.yaml\r\nb.yaml\tin here")
    for task, wanted in (("0", "a.yaml --output runs/a "), ("1", "b.yaml --output in here ")):
        status, said = started(text, "tasks.txt", cwd=tmp_path, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID=task)
        assert (status, f"-m prosper_ng run {wanted}--ranks 1\n" in said) == (0, True), said
    beyond = started(text, "tasks.txt", cwd=tmp_path, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="2")
    assert beyond == (1, "tasks.txt has no configuration in line 3\n")
    assert "this script is for arrays" in started(text, "tasks.txt", cwd=tmp_path)[1]


@pytest.mark.parametrize(
    ("shown", "cause"),
    [
        ("----\n\nsorry, there is no such topic\n----", "sorry, there is no such topic"),
        (
            "Traceback (most recent call last):\n    raise RuntimeError(errors)\nRuntimeError: no libmpi",
            "RuntimeError: no libmpi",
        ),
        ("srun: error: n1: Exited\nerror: Open MPI finds 1 of them", "Open MPI finds 1 of them"),
        ("", ""),
    ],
)
def test_a_launcher_that_does_not_work_is_named_with_the_cause(tmp_path, shown, cause):
    for name, line in (("srun", f"cat {tmp_path}/shown; exit 1"), ("python", "true"), ("mpiexec", "exit 3")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "shown").write_text(shown, encoding="utf-8")
    text = single_script(JobOptions(), tmp_path / "c.yaml", tmp_path / "run", [], f"python={tmp_path}/python")
    status, said = started(text, cwd=tmp_path, SLURM_NTASKS="3", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (status, "no launcher works; is the right MPI loaded?" in said) == (1, True)
    assert (
        f"srun --mpi=pmi2 --kill-on-bad-exit=1 does not start 3 ranks that find each other{': ' * bool(cause)}{cause}\n"
        in said
    )


def test_what_was_stopped_ends_as_the_site_says(tmp_path):
    """75, or 0 where other jobs wait for it by afterok; what fails keeps its status."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "status.json").write_text(' "reason": "stopped by the file x"\n', encoding="utf-8")
    (tmp_path / "python").write_text('#!/bin/sh\n[ "$1" != -m ] || exit "$STATUS"\n', encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    site = f"python={tmp_path}/python\n"
    for lines, status, wanted in (("", "75", 75), ("stopped=0\n", "75", 0), ("stopped=0\n", "2", 2)):
        text = single_script(JobOptions(), tmp_path / "c.yaml", tmp_path / "run", [], site + lines)
        assert started(text, cwd=tmp_path, STATUS=status)[0] == wanted


@pytest.fixture
def pbs(tmp_path, monkeypatch):
    """A function (arguments of `qsub -v`) -> status and output of the script for PBS, with a run of one rank."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    (tmp_path / "nodes").write_text("here\n", encoding="utf-8")
    (tmp_path / "bars.yaml").write_text(SEARCH, encoding="utf-8")
    told = {
        "PBS_O_WORKDIR": str(tmp_path),
        "PBS_NODEFILE": str(tmp_path / "nodes"),
        "PBS_JOBID": "12.server",
        "SLURM_JOB_ID": "",
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = (JOBS / "train.pbs").read_text(encoding="utf-8")
    return lambda **variables: started(script, cwd="/", PATH=path, **told, **variables)


def test_the_script_for_pbs_runs_a_configuration_in_a_folder(pbs, tmp_path):
    status, said = pbs(CONFIG="bars.yaml", FOLDER="runs/a run")
    assert (status, "results are in runs/a run" in said) == (0, True), said
    found = read_run(tmp_path / "runs" / "a run")
    assert found.provenance["pbs_jobid"] == "12.server"
    assert read_status(tmp_path / "runs" / "a run").job == "12.server"
    assert "usage: qsub -v CONFIG=FILE,FOLDER=FOLDER jobs/train.pbs" in pbs()[1]
