"""Components that live outside the package: in files given by `--import`, and in installed packages."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from prosper_ng import cli, plugins
from prosper_ng.campaigns.plan import load_plan
from prosper_ng.components import components_of
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import read_status
from tests.helpers.kernel_caches import kernel_folder
from tests.helpers.plug_in_files import ANOTHER, CONFIG, FILE, POOR, TEXT, prosper
from tests.helpers.small_runs import SEARCH, complaint

COMMAND = (sys.executable, "-m", "prosper_ng")
CAMPAIGN = "name: many\nbase: run.yaml\ngrid: {model.floor: [3.0, 5.0]}\n"


def run_of(folder, file, *arguments):
    """The exit status of a run with a plug-in, in a folder beside its configuration."""
    config = folder / "run.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    return cli.main(["--quiet", "run", str(config), "--output", str(folder / "run"), "--import", str(file), *arguments])


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The folder of a finished run with a model from a file; that file is beside it."""
    folder = tmp_path_factory.mktemp("learned")
    assert run_of(folder, shutil.copy(FILE, folder)) == 0
    return folder / "run"


def test_a_run_keeps_the_plug_in_that_it_uses(learned):
    record = read_run(learned)
    assert record.config["model"] == {**record.config["model"], "kind": "bright_start", "floor": 4.0}
    assert record.plug_ins == {
        "bright_start.py": {
            "made_with": "--import bright_start.py",
            "kinds": "bright_start",
            "sha256": hashlib.sha256(FILE.read_bytes()).hexdigest(),
            "text": TEXT,
        }
    }
    assert f"bright_start.py {hashlib.sha256(FILE.read_bytes()).hexdigest()[:12]}" in read_status(learned).code
    assert "bright_start" not in components_of("prosper_ng.models")


def test_a_plug_in_that_is_not_used_is_not_kept(tmp_path, learned):
    config = tmp_path / "plain.yaml"
    config.write_text(SEARCH, encoding="utf-8")
    for name, more in (("plain", []), ("imported", ["--import", str(FILE)])):
        assert cli.main(["--quiet", "run", str(config), "--output", str(tmp_path / name), *more]) == 0
    plain, imported = read_run(tmp_path / "plain"), read_run(tmp_path / "imported")
    assert plain.plug_ins == imported.plug_ins == {}
    assert plain.attributes["digest"] == imported.attributes["digest"] != read_run(learned).attributes["digest"]


def test_a_learned_model_needs_its_file_again(learned, tmp_path, capsys):
    for command in (["infer"], ["reconstruct"], ["sample", "--rows", "5"]):
        arguments = [command[0], str(learned), *command[1:], "--output", str(tmp_path / f"{command[0]}.h5")]
        assert complaint(capsys, *arguments) == (
            f"error: {learned / 'run.h5'}: this run needs the kind `bright_start`; it was made with "
            "--import bright_start.py\n"
        )
        assert cli.main([*arguments, "--import", str(FILE), "--quiet"]) == 0
        assert capsys.readouterr().err == ""


def test_what_only_looks_needs_no_file(learned, tmp_path, capsys):
    assert cli.main(["show", str(learned), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["iterations"] == 12
    assert cli.main(["report", str(learned), "--output", str(tmp_path / "page.html")]) == 0
    assert "bright_start" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_run_does_not_go_on_with_another_text(tmp_path, capsys):
    file = Path(shutil.copy(FILE, tmp_path))
    assert run_of(tmp_path, file) == 0
    assert run_of(tmp_path, file, "--set", "training.n_sweeps=13") == 0
    renamed = Path(shutil.copy(FILE, tmp_path / "renamed.py"))
    renamed.write_text(TEXT.replace('plugin("models")', 'plugin("models", kind="bright_start")'), encoding="utf-8")
    digest = read_run(tmp_path / "run").attributes["digest"]
    for other in (renamed, file):
        file.write_text(TEXT.replace("super().initial", "super(  ).initial"), encoding="utf-8")
        capsys.readouterr()
        assert run_of(tmp_path, other, "--set", "training.n_sweeps=14") == 2
        old, new = (hashlib.sha256(each).hexdigest()[:12] for each in (FILE.read_bytes(), other.read_bytes()))
        assert capsys.readouterr().err == (
            f"error: {tmp_path / 'run'} holds a run with other plug-ins: the kind bright_start came from "
            f"bright_start.py (SHA-256 {old}), and comes from {other.name} (SHA-256 {new}) now; choose another output "
            "folder, or bring back what the run was started with: the text of a file is in its run.h5, in the group "
            "plug_ins\n"
        )
    assert read_run(tmp_path / "run").attributes["digest"] == digest
    assert cli.main(["infer", str(tmp_path / "run"), "--quiet", "--import", str(file)]) == 0
    assert capsys.readouterr().err.startswith(
        f"warning: {tmp_path / 'run' / 'run.h5'}: the kind bright_start came from"
    )
    file.write_text(read_run(tmp_path / "run").plug_ins["bright_start.py"]["text"], encoding="utf-8")
    assert run_of(tmp_path, file, "--set", "training.n_sweeps=14") == 0


def test_configurations_know_its_kind_and_fields(tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    assert cli.main(["validate", str(config)]) == 2
    without = capsys.readouterr().err
    assert "unknown kind `bright_start` of `model`" in without
    assert "legal are bsc, bvae, dsc, ef_mca, glyphs, gsc, laplace, mca, mfa, mixture, mmca" in without
    assert "kinds of your own come by --import FILE" in without
    assert cli.main(["--import", str(FILE), "validate", str(config), "--set", "model.kind=bright_strat"]) == 2
    assert "unknown kind `bright_strat` of `model`; did you mean `bright_start`?" in capsys.readouterr().err
    assert cli.main(["validate", f"--import={FILE}", str(config), "--set", "model.flor=1.0"]) == 2
    assert "did you mean `floor`?" in capsys.readouterr().err
    assert cli.main(["validate", "--imp", str(FILE), str(config), "--quiet"]) == 0
    assert cli.main(["estimate", str(config), "--import", str(FILE), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_rows"] == 120


def test_the_schema_for_editors_lists_it(capsys):
    assert cli.main(["schema", "--import", str(FILE)]) == 0
    with_it = capsys.readouterr().out
    assert "What no value of the first dictionary is below." in with_it
    assert cli.main(["schema"]) == 0
    assert json.loads(with_it)["$defs"].keys() - json.loads(capsys.readouterr().out)["$defs"].keys() == {"BrightStart"}


def test_nothing_else_names_files_to_import(tmp_path, capsys):
    config = tmp_path / "run.yaml"
    for line in (f"import: {FILE}", f"imports: [{FILE}]", f"plug_ins: {FILE}"):
        config.write_text(f"{CONFIG}{line}\n", encoding="utf-8")
        assert cli.main(["validate", str(config)]) == 2
        assert f"unknown field `{line.partition(':')[0]}`" in capsys.readouterr().err


BROKEN = {
    "syntax": ("import numpy\n\ndef f(:\n", "line 3: SyntaxError: invalid syntax"),
    "import": ("\nimport no_such_module\n", "line 2: ModuleNotFoundError: No module named 'no_such_module'"),
    "error": ("def f():\n    return 1 / 0\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
    "exit": ("import sys\nsys.exit(0)\n", "line 2: SystemExit: 0"),
    "nothing": ("x = 1\n", 'it holds no component; @prosper_ng.plugin("models") makes a class one'),
    "null": ("x = 1\0\n", "source code string cannot contain null bytes"),
}
SAID = {
    "methods": (POOR.replace("GROUP", "models").replace("check", "initial"), "FILE: Poor lacks "),
    "task": (
        POOR.replace("GROUP", "tasks"),
        "FILE: Poor lacks rehearse, measure, finish, ",
    ),
    "group": (TEXT.replace('"models"', '"model"'), "plugin('model'): there is no such "),
    "bare": (
        TEXT.replace('plugin("models")', "plugin"),
        "there is no such group; legal are models, observables, sources, esteps, ",
    ),
    "taken": (ANOTHER, "models/bsc.py; give one of them another name\n"),
    "taken by no kind": (
        TEXT.replace('"models"', '"models", kind="interface"'),
        "kind `interface` exists already, in ",
    ),
    "former": (TEXT.replace('"models"', '"models", kind="neighbourhood"'), "is a former name of another one"),
    "name": (TEXT.replace('"models"', '"models", kind="my-kind"'), "'my-kind' is no name of a kind"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_costs_one_sentence(case, tmp_path, capsys):
    text, reason = BROKEN[case]
    file, config = tmp_path / "mine.py", tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    config.write_text(SEARCH, encoding="utf-8")
    before = set(sys.modules)
    said = complaint(capsys, "validate", config, "--import", file)
    assert said.startswith(f"error: --import {file}: ")
    assert said.endswith(f"{reason}\n")
    assert not [name for name in set(sys.modules) - before if "mine" in name]


@pytest.mark.parametrize("case", SAID)
def test_a_component_that_is_none_costs_one_sentence(case, tmp_path, capsys):
    text, reason = SAID[case]
    file, config = tmp_path / "mine.py", tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    config.write_text(SEARCH, encoding="utf-8")
    assert reason.replace("FILE", str(file)) in complaint(capsys, "validate", config, "--import", file)
    assert cli.main(["validate", str(config), "--quiet"]) == 0


def test_a_file_that_cannot_be_read_costs_one_sentence(tmp_path, capsys):
    config, latin, text = tmp_path / "run.yaml", tmp_path / "latin.py", tmp_path / "mine.txt"
    config.write_text(SEARCH, encoding="utf-8")
    latin.write_bytes(TEXT.replace("small", "klein\xfc").encode("latin-1"))
    text.write_text(TEXT, encoding="utf-8")
    (tmp_path / "folder.py").mkdir()
    reasons = {
        tmp_path / "gone.py": "there is no such file",
        tmp_path / "folder.py": "it cannot be read (Is a directory)",
        latin: "it is not UTF-8 text",
        text: "a plug-in is a file of Python, whose name ends in .py",
    }
    for file, reason in reasons.items():
        assert complaint(capsys, "validate", config, "--import", file) == f"error: --import {file}: {reason}\n"
    assert "expected one argument" in complaint(capsys, "validate", config, "--import")


def test_files_that_are_in_each_others_way(tmp_path, capsys):
    config, other, twin = tmp_path / "run.yaml", tmp_path / "other.py", tmp_path / "bright_start.py"
    config.write_text(CONFIG, encoding="utf-8")
    other.write_text(TEXT.replace('"models"', '"models", kind="bright_start"'), encoding="utf-8")
    twin.write_text(TEXT, encoding="utf-8")
    said = complaint(capsys, "validate", config, "--import", FILE, "--import", other)
    assert said == (f"error: {other}: kind `bright_start` exists already, in {FILE}; give one of them another name\n")
    said = complaint(capsys, "validate", config, "--import", FILE, "--import", twin)
    assert said == f"error: --import {twin}: {FILE} has the same name; rename one of them\n"
    assert cli.main(["validate", str(config), "--quiet", "--import", str(FILE), "--import", str(FILE)]) == 0


def test_kernels_of_a_file_are_cached_under_its_text(tmp_path):
    file, text = tmp_path / "bright_start.py", f"{TEXT}# {tmp_path}\n"
    cache, configured = kernel_folder(), numba.config.CACHE_DIR

    def raised(text):
        file.write_text(text, encoding="utf-8")
        os.utime(file, (1e9, 1e9))  # as where files are copied with their times
        with plugins.imported([str(file)]):
            kernel = sys.modules["prosper_ng_plugin_bright_start"].at_least
            values = np.array([-1.0, 3.0])
            kernel(values, 0.5)
            assert kernel.stats.cache_path.startswith(f"{cache}{os.sep}plug-in-")
            return values.tolist(), sum(kernel.stats.cache_hits.values())

    assert raised(text) == ([0.5, 3.0], 0)
    assert raised(text) == ([0.5, 3.0], 1)
    assert raised(text.replace("max(values[place], floor)", "min(values[place], floor)")) == ([-1.0, 0.5], 0)
    assert raised(text) == ([0.5, 3.0], 1)
    assert configured == numba.config.CACHE_DIR


def test_kernels_of_other_files_that_a_plug_in_calls_are_watched(tmp_path, capsys, monkeypatch):
    helper, file, config = tmp_path / "helping_kernels.py", tmp_path / "mine.py", tmp_path / "run.yaml"
    helper.write_text(
        "import numba\n\n@numba.njit(cache=True)\ndef shifted(value):\n    return value + 1.0\n", encoding="utf-8"
    )
    text = TEXT.replace("import numba\n", "import numba\nfrom helping_kernels import shifted\n")
    file.write_text(text.replace("= max(values[place], floor)", "= shifted(values[place])"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def shifted():
        sys.modules.pop("helping_kernels", None)
        with plugins.imported([str(file)]):
            values = np.zeros(1)
            sys.modules["prosper_ng_plugin_mine"].at_least(values, 0.0)
            return values[0]

    assert shifted() == 1.0
    helper.write_text(helper.read_text(encoding="utf-8").replace("1.0", "2.5"), encoding="utf-8")
    assert shifted() == 2.5
    config.write_text(CONFIG.replace("bright_start", "mine"), encoding="utf-8")
    del sys.modules["helping_kernels"]
    assert cli.main(["validate", str(config), "--import", str(file)]) == 0
    del sys.modules["helping_kernels"]
    assert capsys.readouterr().err == (
        f"warning: --import needs {helper}, too, which runs do not keep, and whose changes they do not notice\n"
    )


def test_scripts_of_jobs_name_the_file_by_its_full_path(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # without Slurm
    place = tmp_path / "my files"
    place.mkdir()
    (place / "run.yaml").write_text(CONFIG, encoding="utf-8")
    (place / "many.yaml").write_text(CAMPAIGN, encoding="utf-8")
    shutil.copy(FILE, place)
    monkeypatch.chdir(place)
    for config in ("run.yaml", "many.yaml"):
        assert cli.main(["submit", config, "--dry-run", "--import", "bright_start.py"]) == 0
        script = capsys.readouterr().out
        assert f"arguments=(--import '{place / 'bright_start.py'}')\n" in script
        assert '"${arguments[@]}"' in script


@pytest.mark.heavy
def test_the_runs_of_a_campaign_get_the_file(tmp_path):
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "many.yaml").write_text(CAMPAIGN, encoding="utf-8")
    shutil.copy(FILE, tmp_path)
    done = prosper("campaign", "run", "many.yaml", "--import", "bright_start.py", "--output", "out", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    with plugins.imported([str(tmp_path / "bright_start.py")]):
        plan = load_plan(tmp_path / "many.yaml", folder=tmp_path / "out")
    assert len({read_run(run.folder).attributes["digest"] for run in plan.runs}) == 2
    assert all(read_run(run.folder).plug_ins.keys() == {"bright_start.py"} for run in plan.runs)

    missing = f"the campaign in out was planned with --import {tmp_path / 'bright_start.py'}, which is not given now"
    for words in (["plan", "many.yaml", "--output", "out"], ["rerun", "out", plan.runs[0].id]):
        refused = prosper("campaign", *words, folder=tmp_path)
        assert refused.returncode == 2
        assert "unknown kind `bright_start` of `model`" in refused.stderr
        assert refused.stderr.endswith(f"{missing}\n")
    assert ": 2 finished" in prosper("campaign", "status", "out", folder=tmp_path).stdout
    words = ["campaign", "rerun", "out", plan.runs[0].id, "--import", "bright_start.py"]
    again = prosper(*words, folder=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    aside = tmp_path / "out" / "set-aside" / f"{plan.runs[0].id}-1"
    assert read_run(aside).attributes["digest"] == read_run(plan.runs[0].folder).attributes["digest"]


@pytest.mark.mpi
def test_all_ranks_import_the_file(learned, mpiexec, tmp_path):
    file = learned.parent / "bright_start.py"
    command = [*COMMAND, "--quiet", "run", learned.parent / "run.yaml", "--import", file, "--output", tmp_path / "two"]
    done = mpiexec(2, *command, timeout=240)
    assert done.returncode == 0, done.stderr
    assert read_run(tmp_path / "two").attributes["digest"] == read_run(learned).attributes["digest"]
    for output in ("one.h5", "two.h5"):
        words = ["infer", tmp_path / "two", "--import", file, "--output", tmp_path / output, "--quiet"]
        assert (
            mpiexec(2, *COMMAND, *words, timeout=240).returncode if output == "two.h5" else cli.main([*map(str, words)])
        ) == 0


@pytest.mark.mpi
def test_ranks_with_different_files_of_one_name_do_not_start(learned, mpiexec, tmp_path):
    other = tmp_path / "bright_start.py"
    other.write_text(TEXT.replace("4.0", "4.5"), encoding="utf-8")
    run = [*COMMAND, "run", learned.parent / "run.yaml", "--output", tmp_path / "run", "--import"]
    done = mpiexec(1, *run, learned.parent / "bright_start.py", ":", "-n", "1", *run, other)
    assert done.returncode == 2
    assert f"--import bright_start.py: {os.uname().nodename} has another file of this name than root" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
