"""The rules of the house that no linter knows: each finds the places in one file where it is broken."""

import ast
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

import prosper_ng
from prosper_ng.config.loader import load
from prosper_ng.experiments.run_config import RunConfig

ROOT = Path(__file__).parents[1]
FOLDERS = [".ci", "configs", "docs", "jobs", "prosper_ng", "scripts", "tests"]

Place = tuple[int, str]

# Small control messages may be pickled, by the two methods that are made for them; arrays never.
MESSAGE_METHODS = {"broadcast", "gather"}
PICKLING_CALLS = {
    "allgather", "allreduce", "alltoall", "bcast", "exscan", "gather", "ibcast", "irecv", "isend", "recv", "reduce",
    "scan", "scatter", "send", "sendrecv",
}  # fmt: skip
OWN_GENERATORS = {"BitGenerator", "Generator", "PCG64", "Philox", "SeedSequence", "default_rng"}
PICKLING_MODULES = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def files(*patterns: str) -> list[Path]:
    """The files of the project that match; this one is left out, for it holds an example of everything forbidden."""
    inside = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    found = [path for path in [*inside, *ROOT.glob("*")] if path.is_file() and path != Path(__file__)]
    return sorted(path for path in found if any(fnmatch(relative(path), pattern) for pattern in patterns))


def relative(path: Path) -> str:
    """The path as seen from the checkout; `*` in a pattern for it matches folders too."""
    return path.relative_to(ROOT).as_posix()


def code_lines(text: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function that are neither docstring nor comment nor empty."""
    first = node.body[0]
    documented = range(0)
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        documented = range(first.lineno, (first.end_lineno or first.lineno) + 1)
    numbered = enumerate(text.splitlines()[node.lineno - 1 : node.end_lineno], start=node.lineno)
    return sum(bool(line.strip()) and line.strip()[0] != "#" and i not in documented for i, line in numbered)


def long_file(text: str) -> Iterator[Place]:
    if (n_lines := len(text.splitlines())) > 400:
        yield n_lines, f"{n_lines} lines, at most 400"


def long_function(text: str) -> Iterator[Place]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (n_lines := code_lines(text, node)) > 40:
            yield node.lineno, f"{node.name} has {n_lines} lines of code, at most 40"


def pickled_message(text: str) -> Iterator[Place]:
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef) or function.name in MESSAGE_METHODS:
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PICKLING_CALLS:
                yield node.lineno, f"{ast.unparse(node.func)} pickles what it carries"


def global_randomness(text: str) -> Iterator[Place]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"np.random", "numpy.random"}:
            if node.attr not in OWN_GENERATORS:
                yield node.lineno, ast.unparse(node)
        elif "random" in imported(node) or (isinstance(node, ast.ImportFrom) and node.module == "numpy.random"):
            yield node.lineno, ast.unparse(node)


def pickle_in_files(text: str) -> Iterator[Place]:
    for node in ast.walk(ast.parse(text)):
        allows = isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
        is_harmless = isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} <= {"effective_n_jobs"}
        if allows or (imported(node) & PICKLING_MODULES and not is_harmless):
            yield node.lineno, ast.unparse(node)


def unlocked_hdf5(text: str) -> Iterator[Place]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"h5py.File", "File"}:
            words = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if words.get("locking") != "'best-effort'":
                yield node.lineno, ast.unparse(node)


def lenient_yaml(text: str) -> Iterator[Place]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and re.fullmatch(r"yaml\.(\w+_)?load(_all)?", ast.unparse(node)):
            yield node.lineno, ast.unparse(node)


def machine_path(text: str) -> Iterator[Place]:
    yield from matches(text, r"(?<![\w.~-])/((work|root|opt)/[\w.]|(home|Users|scratch)/\w)")


def registry_host(text: str) -> Iterator[Place]:
    hosts = r"\b(test\.)?pypi\.org|pythonhosted\.org|anaconda\.org|[\w.-]*(artifactory|nexus)[\w-]*\.\w+"
    yield from matches(text, hosts + r"|--(extra-)?index-url|--trusted-host|--find-links")


def broken_script(text: str) -> Iterator[Place]:
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    if checked.returncode:
        yield 1, checked.stderr.strip()
    if text.startswith("#!") and "set -euo pipefail" not in text.splitlines():
        yield 1, "goes on after an error: no set -euo pipefail"


def imported(node: ast.AST) -> set[str]:
    """The top-level modules that a node imports."""
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]} if node.level == 0 else set()
    return {alias.name.partition(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()


def matches(text: str, pattern: str) -> Iterator[Place]:
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.search(pattern, line):
            yield number, match.group()


class Rule(NamedTuple):
    """Where a rule holds, what breaks it, and texts that do, so that the rule itself is tested."""

    patterns: tuple[str, ...]
    find: Callable[[str], Iterator[Place]]
    broken: tuple[str, ...]
    but_for: str | None = None
    """A file that need not keep it."""


ANY = ("*.py", "*.sh", ".ci/run", "*.md", "*.yaml", "*.cfg", "*.toml", "*.cff", "*.sbatch")
SCRIPTS = ("*.sh", ".ci/run", "*.sbatch")
PROGRAM = ("prosper_ng/*.py", "scripts/*.py")
COMPILED_CODE = "prosper_ng/kernel_files.py"
"""What this file keeps is run by the processor: a pickle can do no more than that."""
RULES = {
    "files are short": Rule(("*.py", "*.sh"), long_file, ("pass\n" * 401,)),
    "functions are short": Rule(("*.py",), long_function, ("def f():\n" + "    pass\n" * 40,)),
    "arrays are not pickled on their way": Rule(
        ("prosper_ng/parallel/mpi.py",), pickled_message, ("def total(self, x):\n    return self._comm.allreduce(x)",)
    ),
    "there is no global random state": Rule(
        PROGRAM, global_randomness, ("np.random.seed(1)", "import random", "from numpy.random import rand")
    ),
    "files hold no pickles": Rule(
        PROGRAM,
        pickle_in_files,
        ("import pickle", "from joblib import dump", "np.load(path, allow_pickle=True)"),
        COMPILED_CODE,
    ),
    "HDF5 files are locked where that is possible": Rule(
        PROGRAM, unlocked_hdf5, ("h5py.File(path)", "h5py.File(path, 'r+', locking=False)", "File(p, 'w')")
    ),
    "YAML is read strictly": Rule(
        PROGRAM, lenient_yaml, ("yaml.load(text)", "yaml.safe_load(text)", "yaml.load_all(t)")
    ),
    "no path of one machine": Rule(ANY, machine_path, ("cd /home/someone/data", "open('/work/x')", "/root/.cache")),
    "no host of a registry": Rule(
        ANY, registry_host, ("https://pypi.org/simple", "pip install --extra-index-url x", "artifactory.lab.org")
    ),
    "scripts are sound": Rule(SCRIPTS, broken_script, ("if true; then", "#!/bin/bash\nfalse")),
}


@pytest.mark.parametrize("name", RULES)
def test_rule_is_kept(name):
    rule = RULES[name]
    checked = [path for path in files(*rule.patterns) if relative(path) != rule.but_for]
    assert checked
    broken = [
        f"{relative(path)}:{line}: {what}"
        for path in checked
        for line, what in rule.find(path.read_text(encoding="utf-8"))
    ]
    assert not broken, "\n".join([name, *broken])


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, rule in RULES.items() for text in rule.broken])
def test_rule_can_be_broken(name, text):
    assert list(RULES[name].find(text))


@pytest.mark.parametrize(
    ("find", "text"),
    [
        (long_file, "pass\n" * 400),
        (long_function, "def f():\n" + '    """One.\n\n    Two.\n    """\n    # Why.\n\n' + "    pass\n" * 39),
        (pickled_message, "def broadcast(self, message):\n    return self._comm.bcast(message)"),
        (pickled_message, "def total(self, x):\n    self._comm.Allreduce(MPI.IN_PLACE, x)"),
        (global_randomness, "np.random.default_rng(1)\nfrom hypothesis import strategies"),
        (pickle_in_files, "np.load(path, allow_pickle=False)\nfrom joblib import effective_n_jobs"),
        (lenient_yaml, "yaml.compose(text)"),
        (unlocked_hdf5, "with h5py.File(path, 'r', locking='best-effort') as file:\n    file['x']"),
        (machine_path, "../work/x and example.org/home/someone and runs/root/"),
        (broken_script, "#!/bin/bash\nset -euo pipefail\ntrue"),
    ],
)
def test_rule_accepts_what_is_right(find, text):
    assert not list(find(text))


@pytest.mark.parametrize("path", files(*SCRIPTS, "*.py"), ids=relative)
def test_what_starts_with_an_interpreter_can_be_started(path):
    assert os.access(path, os.X_OK) == path.read_text(encoding="utf-8").startswith("#!")


@pytest.mark.parametrize("path", files("*.md"), ids=relative)
def test_links_between_documents_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", files("configs/runs/*.yaml"), ids=relative)
def test_shipped_configurations_are_valid(path):
    load(path, RunConfig)


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == prosper_ng.__version__
