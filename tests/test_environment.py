import ast
import importlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numba
import pytest

from prosper_ng import environment, paths
from prosper_ng.environment import choose_kernel_cache, limit_threads, own_kernel_cache
from prosper_ng.errors import UserError
from prosper_ng.kernel_sources import kernel_sources, module_texts


def test_one_thread_unless_the_user_says_otherwise():
    chosen = {"OMP_NUM_THREADS": "4"}
    limit_threads(chosen)
    assert chosen == {**dict.fromkeys(environment.THREAD_VARIABLES, "1"), "OMP_NUM_THREADS": "4"}
    chosen["PROSPER_NG_THREADS"] = "2"
    limit_threads(chosen)
    assert {chosen[name] for name in environment.THREAD_VARIABLES} == {"2"}


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_is_named(wrong):
    with pytest.raises(UserError, match=f"PROSPER_NG_THREADS is '{wrong}'"):
        limit_threads({"PROSPER_NG_THREADS": wrong})


def test_the_users_own_cache_folder_is_left_alone():
    chosen = {"NUMBA_CACHE_DIR": "/mine"}
    choose_kernel_cache(chosen)
    assert chosen == {"NUMBA_CACHE_DIR": "/mine"}
    assert own_kernel_cache(chosen) is None


def test_a_folder_chosen_by_a_parent_process_is_chosen_anew(tmp_path):
    chosen = {"NUMBA_CACHE_DIR": "/old", "PROSPER_NG_NUMBA_CACHE": "/old", "XDG_CACHE_HOME": str(tmp_path)}
    choose_kernel_cache(chosen)
    folder = own_kernel_cache(chosen)
    assert folder is not None
    assert folder.is_dir()
    assert folder.is_relative_to(tmp_path)


def test_a_folder_that_numba_uses_in_this_process_stays_whatever_happens_to_the_sources(monkeypatch):
    monkeypatch.setattr(environment, "_cache_key", None)
    in_use = numba.config.CACHE_DIR
    chosen = {"NUMBA_CACHE_DIR": in_use, "PROSPER_NG_NUMBA_CACHE": in_use}
    choose_kernel_cache(chosen)
    assert own_kernel_cache(chosen) == Path(in_use)


def test_a_cache_that_cannot_be_written_gives_way_to_a_private_temporary_one(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(paths.tempfile, "gettempdir", lambda: str(tmp_path))
    chosen = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    choose_kernel_cache(chosen)
    folder = own_kernel_cache(chosen)
    assert folder is not None
    assert folder.parent == tmp_path / f"prosper_ng-{os.getuid()}"
    assert folder.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("home", "own"),
    [("", None), ("none", None), ("file", None), ("locked", "mine"), ("there", None), ("there", "mine")],
)
def test_matplotlib_gets_a_temporary_folder_where_the_home_cannot_hold_its_own(home, own, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(paths.tempfile, "gettempdir", lambda: str(tmp_path))
    place = str(tmp_path / home) if home else ""
    monkeypatch.setenv("HOME", place)
    chosen = {"HOME": place} | ({} if own is None else {"MPLCONFIGDIR": own})
    environment.choose_picture_cache(chosen)
    temporary = str(tmp_path / f"prosper_ng-{os.getuid()}" / "matplotlib")
    assert chosen.get("MPLCONFIGDIR") == (own or (None if home == "there" else temporary))
    assert not (tmp_path / "none").exists()


def test_no_home_is_made_for_a_user_without_one(tmp_path, monkeypatch):
    monkeypatch.setattr(paths.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    chosen: dict[str, str] = {}
    choose_kernel_cache(chosen)
    assert own_kernel_cache(chosen).parent == tmp_path / f"prosper_ng-{os.getuid()}"
    assert not (tmp_path / "none").exists()


def test_without_any_folder_for_temporary_files_there_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(paths.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"there is no folder for temporary files .*; set TMPDIR"):
        choose_kernel_cache({"XDG_CACHE_HOME": str(tmp_path / "file")})


def test_folders_of_versions_long_gone_are_removed(tmp_path):
    kernels = tmp_path / "prosper_ng" / "kernels"
    for name in ("old", "recent"):
        (kernels / name).mkdir(parents=True)
    os.utime(kernels / "old", (time.time() - 40 * 86400,) * 2)
    choose_kernel_cache({"XDG_CACHE_HOME": str(tmp_path)})
    assert not (kernels / "old").exists()
    assert (kernels / "recent").exists()


FILES = {
    "environment": "",
    "numerics/__init__": "",
    "numerics/constants": "LIMITS = (1.0, 2.0)\nSCALE = LIMITS[1]\nNAME = 'constants'\n",
    "numerics/shared": "from prosper_ng.numerics.constants import SCALE as FACTOR\n",
    "errors": 'class UserError(Exception):\n    """What a user did wrong."""\n',
    "interface": "from prosper_ng.numerics.constants import NAME\n\nclass Model:\n    name = NAME\n",
    "kernels": """
from numba import njit

from prosper_ng.errors import UserError
from prosper_ng.interface import (
    Model,
)
from prosper_ng.numerics.shared import FACTOR


def check(model: Model) -> None:
    if scaled(1.0) > 2:
        raise UserError(model.name)


@njit(cache=True)
def scaled(x):
    return FACTOR * x
""",
    "cli": "from prosper_ng.kernels import scaled\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a kernel that takes a constant from another file, by way of a third one."""
    root = tmp_path / "prosper_ng"
    (root / "numerics").mkdir(parents=True)
    for name, text in FILES.items():
        (root / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(environment, "__file__", str(root / "environment.py"))
    return root


@pytest.mark.parametrize(
    ("name", "old", "new", "changes_it"),
    [
        ("kernels", "FACTOR * x", "FACTOR + x", True),
        ("numerics/constants", "= LIMITS[1]", "= LIMITS[0]", True),
        ("numerics/constants", "(1.0, 2.0)", "(1.0, 3.0)", True),
        ("numerics/constants", "'constants'", "'numbers'", False),
        ("errors", "What a user did", "What somebody did", False),
        ("errors", "(Exception)", "(ValueError)", False),
        ("interface", "name = NAME", "name = ''", False),
        ("cli", "\n", "\nA = 1\n", False),
    ],
)
def test_the_cache_belongs_to_what_kernels_depend_on(package, name, old, new, changes_it):
    before = environment._cache_key()
    assert environment._cache_key() == before
    text = FILES[name].replace(old, new)
    assert text != FILES[name]
    (package / f"{name}.py").write_text(text, encoding="utf-8")
    assert (environment._cache_key() != before) == changes_it


@pytest.mark.parametrize(
    ("imports", "use"),
    [
        ("from prosper_ng import constants", "constants.SCALE"),
        ("import prosper_ng.constants", "prosper_ng.constants.SCALE"),
        ("import prosper_ng.constants as c", "c.SCALE"),
        ("from prosper_ng.constants import *", "SCALE"),
        ("from .constants import SCALE", "SCALE"),
        ("from . import constants as c", "c.SCALE"),
        ("if True:\n    from prosper_ng.constants import SCALE as S\nT = [S]", "T[0]"),
        ("from prosper_ng.constants import SCALE\nT = {}\nT[1] = SCALE", "T[1]"),
        ("from prosper_ng.constants import SCALE\ndef of(x):\n    return SCALE * x", "of(2.0)"),
    ],
)
@pytest.mark.parametrize(
    "kernel",
    [
        "from numba import njit\n@njit(\n    cache=True,\n)\ndef f(x):\n    return USE\n",
        "from prosper_ng.kernels import kernel\n@kernel\ndef f(x):\n    return USE\n",
        "import numba as nb\ndef make():\n    '''Text\n\nof it.'''\n    @nb.njit\n    def f(x):\n        return USE\n",
        "import numba\ndef f(x):\n    text = '''# no\ncomment'''\n    return USE\ncompiled = numba.njit(f)\n",
    ],
)
def test_whatever_way_a_constant_takes_into_a_kernel(imports, use, kernel):
    constants = '"""Numbers."""\n# The first.\nSCALE = 2.0  # so far\nOTHER = """\n"""\n'
    texts = {"prosper_ng": "", "prosper_ng.constants": constants}
    texts["prosper_ng.kernel"] = f"{imports}\n{kernel.replace('USE', use)}"
    assert "SCALE = 2.0" in kernel_sources(texts)["prosper_ng.constants"]


def test_every_compiled_function_is_covered_with_all_it_uses():
    """Its own file as a whole, and what it imports: here the compiled functions themselves tell, and a real parser."""
    texts = module_texts(Path(environment.__file__).parent, "prosper_ng")
    sources = kernel_sources(texts)
    used = set()
    for name in [name for name, text in texts.items() if "@kernel" in text]:
        assert sources[name] == texts[name]
        kernels = [value for value in vars(importlib.import_module(name)).values() if hasattr(value, "py_func")]
        codes = [kernel.py_func.__code__ for kernel in kernels if kernel.py_func.__module__ == name]
        words = {word for code in codes for word in code.co_names}
        imports = [node for node in ast.walk(ast.parse(texts[name])) if isinstance(node, ast.ImportFrom)]
        used |= {(node.module, alias.name) for node in imports for alias in node.names if alias.name in words}
    own = [(module, name) for module, name in used if module.startswith("prosper_ng")]
    assert len(own) > 20
    assert [(module, name) for module, name in own if name not in sources.get(module, "")] == []


def test_what_only_the_program_uses_is_not_in_the_key():
    texts = module_texts(Path(environment.__file__).parent, "prosper_ng")
    others = {name: text for name, text in kernel_sources(texts).items() if "@kernel" not in text}
    assert "prosper_ng.errors" not in others
    assert not any("Protocol" in text or "UserError" in text for text in others.values())


def test_the_key_is_found_fast():
    seconds = []
    for _ in range(5):
        start = time.process_time()  # not of the clock, for others may be at work here
        environment._cache_key()
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1


KERNEL = """
from numba import njit

@njit(cache=True)
def double(x):
    return 2 * x
"""

WARM_UP = """
from prosper_ng.environment import prepare_environment
prepare_environment()
import sys
sys.path.insert(0, "{folder}")
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.warm_up import warm_up
from kernel import double
warm_up(SerialCommunicator(), lambda: double(1.0))
print(double(4.0), sum(double.stats.cache_hits.values()), sum(double.stats.cache_misses.values()))
"""


def warmed_up(folder):
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-c", WARM_UP.format(folder=folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_poisoned_cache_is_rebuilt_once(tmp_path):
    (tmp_path / "kernel.py").write_text(textwrap.dedent(KERNEL), encoding="utf-8")
    assert warmed_up(tmp_path) == ["8.0", "0", "1"]
    assert warmed_up(tmp_path) == ["8.0", "1", "0"]
    (index,) = tmp_path.rglob("*.nbi")
    index.write_bytes(index.read_bytes()[:-20] + b"\xff" * 20)
    assert warmed_up(tmp_path) == ["8.0", "0", "1"]
    (compiled,) = tmp_path.rglob("*.nbc")
    compiled.write_bytes(b"\x80\x04garbage")
    assert warmed_up(tmp_path) == ["8.0", "0", "1"]
    assert warmed_up(tmp_path) == ["8.0", "1", "0"]
