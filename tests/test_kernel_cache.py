import os
import sys
import time
import types

import pytest

import prosper_ng
from prosper_ng import kernel_cache, paths
from prosper_ng.kernel_cache import Places, find, places, places_of


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """A function (**environment) -> the places of kernels of a user whose home is an empty folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(paths.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(kernel_cache, "_key", lambda is_root, since: "key")

    def choose(**environment):
        for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in ({"HOME": tmp_path / "home"} | environment).items():
            monkeypatch.setenv(name, str(value))
        return find()

    return choose


def test_kernels_are_kept_in_the_home_folder(chosen, tmp_path):
    folder = tmp_path / "home" / ".cache" / "prosper_ng" / "kernels" / "key"
    assert chosen() == Places((folder,), folder)
    assert folder.is_dir()
    other = tmp_path / "other"
    assert chosen(XDG_CACHE_HOME=other).write == other / "prosper_ng" / "kernels" / "key"


def test_or_where_the_user_says(chosen, tmp_path):
    assert chosen(NUMBA_CACHE_DIR=tmp_path / "mine") == Places((tmp_path / "mine" / "key",), tmp_path / "mine" / "key")
    assert list((tmp_path / "home").iterdir()) == []


def test_kernels_of_a_folder_that_cannot_be_written_are_used_all_the_same(chosen, tmp_path, monkeypatch):
    """As those of an image."""
    monkeypatch.setattr(kernel_cache, "can_be_made", lambda folder: "image" not in folder.parts)
    found = chosen(NUMBA_CACHE_DIR=tmp_path / "image")
    own = tmp_path / "home" / ".cache" / "prosper_ng" / "kernels" / "key"
    assert found == Places((tmp_path / "image" / "key", own), own)
    assert not (tmp_path / "image").exists()


@pytest.mark.parametrize("wrong", [{"XDG_CACHE_HOME": "file"}, {"HOME": "none"}])
def test_a_home_that_cannot_hold_them_gives_way_to_a_private_temporary_folder(chosen, wrong, tmp_path):
    found = chosen(**{name: tmp_path / place for name, place in wrong.items()})
    assert found.write == tmp_path / f"prosper_ng-{os.getuid()}" / "key"
    assert found.write.parent.stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "none").exists()


def test_without_any_folder_they_are_kept_nowhere(chosen, tmp_path, monkeypatch):
    monkeypatch.setattr(paths.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    assert chosen(XDG_CACHE_HOME=tmp_path / "file").write is None


def test_folders_of_versions_long_gone_are_removed(chosen, tmp_path):
    kernels = tmp_path / "home" / ".cache" / "prosper_ng" / "kernels"
    for name in ("old", "recent"):
        (kernels / name).mkdir(parents=True)
    os.utime(kernels / "old", (time.time() - 40 * 86400,) * 2)
    chosen()
    assert not (kernels / "old").exists()
    assert (kernels / "recent").exists()


def test_sources_that_changed_since_the_program_began_name_no_folder(package, monkeypatch):
    """Those in memory may be older, and what they make must not be taken for what the new ones say."""
    assert kernel_cache._key() is not None
    monkeypatch.setattr(prosper_ng, "IMPORTED_AT", time.time() - 1)
    os.utime(package / "cli.py", (1e9, 1e9))  # as where files are copied with their times
    assert kernel_cache._key() is None


def test_a_module_from_outside_has_its_own_folder_that_all_it_may_use_names(tmp_path, monkeypatch):
    monkeypatch.setattr(prosper_ng, "IMPORTED_AT", time.time() + 3600)
    found = []
    for name in ("mine", "helper", "mine"):
        module, path = types.ModuleType(name), tmp_path / f"{name}.py"
        path.write_text(f"# {len(found)}", encoding="utf-8")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, name, module)
        found.append(places_of("mine", str(tmp_path / "mine.py")).write)
    assert len(set(found)) == 3
    assert {folder.parent for folder in found} == {places().write}
    monkeypatch.setattr(prosper_ng, "IMPORTED_AT", time.time() - 1)
    (tmp_path / "helper.py").write_text("# newer than what is in memory", encoding="utf-8")
    assert places_of("mine", str(tmp_path / "mine.py")) == Places()


@pytest.mark.parametrize("file", ["<stdin>", "/tmp/ipykernel_1/2.py"])
def test_code_that_was_typed_in_is_kept_nowhere(file):
    assert places_of("__main__", file) == Places()


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
    monkeypatch.setattr(kernel_cache, "PACKAGE", root)
    monkeypatch.setattr(prosper_ng, "IMPORTED_AT", time.time() + 3600)
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
    before = kernel_cache._key()
    assert kernel_cache._key() == before
    text = FILES[name].replace(old, new)
    assert text != FILES[name]
    (package / f"{name}.py").write_text(text, encoding="utf-8")
    assert (kernel_cache._key() != before) == changes_it


def test_the_key_is_found_fast():
    seconds = []
    for _ in range(5):
        start = time.process_time()  # not of the clock, for others may be at work here
        kernel_cache._key()
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1


@pytest.fixture
def noted(package, tmp_path, monkeypatch):
    """A function () -> whether the key was found without reading the sources, of files that are no longer new."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(kernel_cache, "_SETTLED", 0.0)
    texts, n_read = kernel_cache.module_texts, []
    monkeypatch.setattr(kernel_cache, "module_texts", lambda *given: n_read.append(1) or texts(*given))

    def ask(**given):
        n_before = len(n_read)
        key = kernel_cache._key(**given)
        return key, len(n_read) == n_before

    return ask


def test_what_the_sources_come_to_is_noted(noted, package):
    """Until one of them is another one, by whatever is seen without reading it."""
    first, _ = noted()
    assert noted() == (first, True)
    time.sleep(0.02)  # the clock of a file system goes in steps
    path = package / "kernels.py"
    times = path.stat().st_mtime_ns
    path.write_text(FILES["kernels"].replace("FACTOR * x", "FACTOR + x"), encoding="utf-8")  # of the same size
    os.utime(path, ns=(times, times))
    second, was_noted = noted()
    assert (second != first, was_noted) == (True, False)
    (package / "cli.py").unlink()
    assert noted() == (second, False)
    assert noted() == (second, True)


def test_nothing_is_noted_of_files_that_were_just_changed_or_of_images_or_by_other_ranks(noted, monkeypatch):
    key, _ = noted(is_root=False)
    assert noted() == (key, False)
    monkeypatch.setattr(kernel_cache, "_SETTLED", 60.0)
    assert noted() == noted() == (key, False)
    monkeypatch.setattr(kernel_cache, "_SETTLED", 0.0)
    assert noted() == (key, True)
    monkeypatch.setattr(os, "statvfs", lambda path: types.SimpleNamespace(f_flag=os.ST_RDONLY))
    assert noted() == (key, False)


@pytest.mark.parametrize("content", ["", "one", "a b c", "\u00e9", "0 prosper_ng-0"])
def test_a_damaged_note_is_passed_over(noted, tmp_path, content):
    key, _ = noted()
    (note,) = (tmp_path / "cache" / "prosper_ng" / "kernels").glob(".sources-*")
    note.write_text(content, encoding="utf-8")
    assert noted() == (key, False)
    assert noted() == (key, True)


def test_where_another_rank_was_imported_before_a_change_nothing_is_kept(package):
    assert kernel_cache.find(since=time.time() + 3600).write is not None
    assert kernel_cache.find(since=time.time() - 3600) == Places()
