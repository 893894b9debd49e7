"""Components of installed packages, found by entry points."""

import hashlib
import json
import re

from prosper_ng.storage.run_record import read_run
from tests.helpers.plug_in_files import ANOTHER, CONFIG, FILE, POOR, TEXT, prosper, python
from tests.helpers.small_runs import SEARCH


def install(site, name, entries, **modules):
    """A package as installers leave it, with these entry points: {(group, kind): module:class}."""
    (site / name).mkdir(parents=True)
    for module, text in {"__init__": "", **modules}.items():
        (site / name / f"{module}.py").write_text(text, encoding="utf-8")
    about = site / f"{name}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
    lines = [f"[prosper_ng.{group}]\n{kind} = {name}.{place}\n" for (group, kind), place in entries.items()]
    (about / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


CLASS = "bright_start:BrightStart"


def test_installed_packages_add_kinds_by_entry_points(tmp_path):
    site = tmp_path / "site"
    install(site, "extra", {("models", "bright_start"): CLASS}, bright_start=TEXT)
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    done = prosper("--quiet", "run", "run.yaml", "--output", "run", folder=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert read_run(tmp_path / "run").plug_ins == {
        "extra": {
            "made_with": "package extra 1.2",
            "kinds": "bright_start",
            "sha256": hashlib.sha256(FILE.read_bytes()).hexdigest(),
        }
    }
    done = prosper("infer", "run", folder=tmp_path)
    assert done.stderr == (
        "error: run/run.h5: this run needs the kind `bright_start`; it was made with package extra 1.2\n"
    )
    done = prosper("infer", "run", folder=tmp_path, PYTHONPATH=str(site))
    assert (done.returncode, done.stderr) == (0, "")
    done = prosper("validate", "run.yaml", "--import", FILE, folder=tmp_path, PYTHONPATH=str(site))
    assert done.stderr == (
        f"error: {FILE}: kind `bright_start` exists already, in package extra 1.2; give one of them another name\n"
    )


def test_a_broken_package_is_no_trouble_to_who_does_not_use_it(tmp_path):
    site = tmp_path / "site"
    install(site, "gone", {("models", "lost"): "nowhere:Class"})
    install(site, "torn", {("models", "torn"): "module:Class"}, module="import no_such_module\n")
    install(site, "plain", {("models", "plain"): "module:Class"}, module="class Class:\n    pass\n")
    install(site, "second", {("models", "bsc"): CLASS}, bright_start=ANOTHER)
    install(site, "third", {("models", "twice"): CLASS}, bright_start=TEXT.replace('s")', 's", kind="twice")'))
    install(site, "fourth", {("models", "twice"): CLASS}, bright_start=TEXT.replace('s")', 's", kind="twice")'))
    reasons = {
        "lost": "the kind `lost` of package gone 1.2 cannot be imported: ModuleNotFoundError: No module named "
        "'gone.nowhere'",
        "torn": "the kind `torn` of package torn 1.2 cannot be imported: ModuleNotFoundError: No module named "
        "'no_such_module'",
        "plain": "the kind `plain` of package plain 1.2 cannot be used: plain.module:Class does not say "
        '@prosper_ng.plugin("models", kind="plain")',
        "bsc": "models/bsc.py; give one of them another name",
        "twice": "kind `twice` exists already, in package ",
        "tsc": "",
    }
    for kind in reasons:
        (tmp_path / f"{kind}.yaml").write_text(SEARCH.replace("kind: bsc", f"kind: {kind}"), encoding="utf-8")
    code = (
        "import sys\nfrom prosper_ng.cli import main\n"
        "for kind in sys.argv[1:]:\n"
        "    print('status', main(['--quiet', 'validate', f'{kind}.yaml']), file=sys.stderr)\n"
        "main(['schema'])\n"
    )
    done = python("-c", code, *reasons, folder=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    *said, after = re.split(r"status (\d)\n", done.stderr)
    assert after == ""
    for (kind, reason), message, status in zip(reasons.items(), said[::2], said[1::2], strict=True):
        assert reason in message
        assert status == ("2" if reason else "0")
        assert message.startswith(f"{kind}.yaml:5:1: error: `model`") if reason else message == ""
    assert "TSC" in json.loads(done.stdout)["$defs"]
    assert "BrightStart" not in done.stdout


def test_a_package_with_the_kind_of_a_default_costs_one_error(tmp_path):
    task = POOR.replace("'GROUP'", "'tasks', kind='train'")
    install(tmp_path / "site", "mine", {("tasks", "train"): "module:Poor"}, module=task)
    (tmp_path / "run.yaml").write_text(SEARCH, encoding="utf-8")
    done = prosper("validate", "run.yaml", folder=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 2
    assert done.stderr.startswith("run.yaml: error: ")
    assert "the kind `train` of package mine 1.2 cannot be used: " in done.stderr
    assert done.stderr.endswith("tasks/train.py; give one of them another name\n")
