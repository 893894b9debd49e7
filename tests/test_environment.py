import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numba
import pytest

from prosper_ng import environment
from prosper_ng.environment import choose_kernel_cache, limit_threads, own_kernel_cache
from prosper_ng.errors import UserError


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
    monkeypatch.setattr(environment.tempfile, "gettempdir", lambda: str(tmp_path))
    chosen = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    choose_kernel_cache(chosen)
    folder = own_kernel_cache(chosen)
    assert folder is not None
    assert folder.parent == tmp_path / f"prosper_ng-{os.getuid()}"
    assert folder.parent.stat().st_mode & 0o777 == 0o700


def test_folders_of_versions_long_gone_are_removed(tmp_path):
    kernels = tmp_path / "prosper_ng" / "kernels"
    for name in ("old", "recent"):
        (kernels / name).mkdir(parents=True)
    os.utime(kernels / "old", (time.time() - 40 * 86400,) * 2)
    choose_kernel_cache({"XDG_CACHE_HOME": str(tmp_path)})
    assert not (kernels / "old").exists()
    assert (kernels / "recent").exists()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a kernel that takes a constant from another file."""
    root = tmp_path / "prosper_ng"
    (root / "numerics").mkdir(parents=True)
    (root / "kernels.py").write_text(
        "from numba import njit\n\nfrom prosper_ng.numerics import (\n    constants,\n)\n", encoding="utf-8"
    )
    for name in ("environment.py", "numerics/__init__.py", "numerics/constants.py", "cli.py"):
        (root / name).write_text("A = 1\n", encoding="utf-8")
    monkeypatch.setattr(environment, "__file__", str(root / "environment.py"))
    return root


@pytest.mark.parametrize(
    ("name", "changes_it"),
    [("kernels.py", True), ("numerics/constants.py", True), ("numerics/__init__.py", True), ("cli.py", False)],
)
def test_the_cache_belongs_to_what_kernels_depend_on(package, name, changes_it):
    before = environment._cache_key()
    assert environment._cache_key() == before
    with (package / name).open("a", encoding="utf-8") as stream:
        stream.write("B = 2\n")
    assert (environment._cache_key() != before) == changes_it


def test_every_file_with_a_compiled_function_is_covered():
    root = Path(environment.__file__).parent
    with_kernels = {path for path in root.rglob("*.py") if "njit" in path.read_text(encoding="utf-8")}
    assert with_kernels - {root / "environment.py"} <= set(environment._kernel_sources(root))


def test_the_key_is_found_fast():
    environment._cache_key()
    start = time.perf_counter()
    environment._cache_key()
    assert time.perf_counter() - start < 0.1  # about 8 ms; the bound leaves room for a busy machine


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
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
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
