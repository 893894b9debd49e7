"""Where compiled kernels go, and that any number of processes may put them there."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from numba import config

from prosper_ng import kernel_files
from prosper_ng.kernel_cache import Places
from prosper_ng.kernel_files import keep_apart
from prosper_ng.kernels import kernel


def double(x):
    return 2 * x


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A function () -> `double` as a kernel that this process has not compiled yet, kept in `tmp_path`."""
    monkeypatch.setattr(kernel_files, "places_apart", lambda digest: Places((tmp_path,), tmp_path))

    def make():
        compiled = kernel(double)
        keep_apart(compiled, "")
        return compiled

    return make


def counts(compiled):
    return sum(compiled.stats.cache_hits.values()), sum(compiled.stats.cache_misses.values())


def test_each_form_of_a_kernel_is_a_file_and_settings_of_numba_stay(fresh, tmp_path):
    before = config.CACHE_DIR
    for expected in ((0, 2), (2, 0)):
        compiled = fresh()
        assert (compiled(2), compiled(2.5)) == (4, 5.0)
        assert counts(compiled) == expected
    assert len(list(tmp_path.iterdir())) == len(list(tmp_path.glob("tests.test_kernels.double-*.nbc"))) == 2
    assert before == config.CACHE_DIR
    compiled.recompile()
    assert compiled(2.5) == 5.0


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-1], lambda content: b"", lambda content: content[:-1] + b"\0" * 5]
)
def test_a_damaged_file_is_made_anew(fresh, damage, tmp_path):
    fresh()(1.0)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    for expected in ((0, 1), (1, 0)):
        compiled = fresh()
        assert compiled(4.0) == 8.0
        assert counts(compiled) == expected


def test_what_another_numba_wrote_is_made_anew(fresh, tmp_path):
    fresh()(1.0)
    (file,) = tmp_path.iterdir()
    garbage = b"\x80\x04garbage"
    kernel_files.put(file, kernel_files._digest_of(garbage) + garbage)
    compiled = fresh()
    assert (compiled(4.0), counts(compiled)) == (8.0, (0, 1))


def test_a_full_disk_is_no_reason_to_fail(fresh, tmp_path, monkeypatch):
    def fail(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kernel_files, "put", fail)
    assert fresh()(3.0) == 6.0
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path):
    (tmp_path / "one.nbc").mkdir()
    with pytest.raises(OSError, match="directory"):
        kernel_files.put(tmp_path / "one.nbc", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["one.nbc"]


KERNELS = """
import numpy as np
from prosper_ng.kernels import kernel

@kernel
def inner(x):
    return np.sqrt(x) + 1

@kernel
def outer(x):
    return 2 * inner(x)

@kernel
def total(x):
    return x.sum()
"""

PROGRAM = """
import os, sys
before = dict(os.environ)
sys.path.insert(0, os.getcwd())
import numba
from prosper_ng import compiling
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.warm_up import warm_up
import mine

def compile_all():
    mine.outer(4.0)
    mine.total(mine.np.ones(3))

with compiling.told() as told:
    warm_up(SerialCommunicator(), compile_all)
assert numba.config.CACHE_DIR == "" and "NUMBA_CACHE_DIR" not in os.environ
print(told.n_kernels, mine.outer(4.0))
"""


def test_processes_that_meet_an_empty_folder_compile_each_kernel_once(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(KERNELS), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=240)[0].split() for process in started]
    # Functions of numba itself that are compiled with them are no files, and do not count.
    assert sorted(int(n_kernels) for n_kernels, _ in said) == [0, 0, 3]
    assert {value for _, value in said} == {"6.0"}
    assert {path.name.split("-")[0] for path in tmp_path.rglob("*.nbc")} == {"mine.inner", "mine.outer", "mine.total"}
    assert not (tmp_path / "__pycache__").exists()


def test_numba_may_be_told_to_compile_nothing(monkeypatch):
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    assert kernel(double) is double
    assert kernel(fastmath={"contract"})(double)(2) == 4


def test_a_large_array_of_a_module_is_named(fresh, monkeypatch):
    table = np.zeros(1 << 20)

    def first():
        return table[0]

    compiled = kernel(first)
    keep_apart(compiled, "")
    with pytest.warns(match="first is compiled anew by every process"):
        compiled()
