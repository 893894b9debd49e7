import os
import pwd
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng import paths
from prosper_ng.cli import main
from prosper_ng.errors import UserError
from prosper_ng.paths import LONGEST_NAME, absolute, as_argument, name_from, path_of, require_name, same_file
from tests.helpers.kernel_caches import with_kernels


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("a/b.npy", "a/b.npy"),
        ("~", "HOME"),
        ("~/x", "HOME/x"),
        ("~//x", "HOME/x"),
        ("./~/x", "~/x"),
        ("a~/x", "a~/x"),
        (Path("~") / "x", "HOME/x"),
        ("two words/ü\n.npy", "two words/ü\n.npy"),
        ("no\udcfftext", "no\udcfftext"),
    ],
)
def test_paths_are_those_that_a_person_means(written, path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_of(written) == Path(path.replace("HOME", str(tmp_path)))


def test_the_home_of_another_user():
    user = pwd.getpwuid(os.getuid())
    assert path_of(f"~{user.pw_name}/x") == Path(user.pw_dir) / "x"
    assert path_of(f"~{user.pw_name}") == Path(user.pw_dir)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "a path is empty"),
        ("a\0b", "holds a NUL character"),
        ("~nosuchuser/x", "there is no user 'nosuchuser' here"),
        ("~nosuchuser", r"or \./~nosuchuser for something of that name in the present folder"),
    ],
)
def test_what_is_no_path_is_one_sentence(written, said):
    with pytest.raises(UserError, match=said):
        path_of(written)


@pytest.mark.parametrize("home", [None, ""])
def test_without_a_home_it_is_the_temporary_folder(home, tmp_path, monkeypatch):
    monkeypatch.setattr(paths.tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("HOME")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert path_of("~/x") == Path(pwd.getpwuid(os.getuid()).pw_dir) / "x"

    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert path_of("~/x") == tmp_path / f"prosper_ng-{os.getuid()}" / "x"
    assert (tmp_path / f"prosper_ng-{os.getuid()}").stat().st_mode & 0o777 == 0o700


NOBODY = """
import pwd, sys
def nobody(number):
    raise KeyError(number)
pwd.getpwuid = nobody
from prosper_ng.cli import main
sys.exit(main(["run", "a.yaml", "--quiet", "--output=~/x"]))
"""


@pytest.mark.heavy
def test_a_container_without_home_and_without_a_name_for_the_user_runs_and_draws(tmp_path):
    (tmp_path / "a.yaml").write_text(
        textwrap.dedent("""
            name: a
            data: {kind: bars, n_bars: 4, n_rows: 24}
            model: {kind: bsc, n_latents: 4}
            estep: {kind: exhaustive}
            training: {n_sweeps: 2}
            """),
        encoding="utf-8",
    )
    # Kernels that this process has compiled are not compiled again.
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "MPLCONFIGDIR")}
    done = subprocess.run(
        [sys.executable, "-c", NOBODY],
        check=False,
        cwd=tmp_path,
        env=kept | with_kernels() | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    place = tmp_path / f"prosper_ng-{os.getuid()}"
    assert (place / "x" / "dictionary.png").exists()
    assert (place / "matplotlib").is_dir()


def test_a_present_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert absolute(tmp_path) == tmp_path
    with pytest.raises(UserError, match="x cannot be found: the present folder was removed"):
        absolute(Path("x"))
    for command in (["validate", "--import", "x.py", "a.yaml"], ["doctor"]):
        assert main(command) == 2
        assert "the present folder was removed" in capsys.readouterr().err


def test_a_path_in_a_command_line_is_no_option():
    assert [as_argument(Path(text)) for text in ("-x/y", "x", "/x")] == ["./-x/y", "x", "/x"]


def test_one_file_however_it_is_named(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("a")
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    (tmp_path / "soft").symlink_to("a")
    assert all(same_file(tmp_path / "a", tmp_path / name) for name in ("a", "hard", "soft", "./soft"))
    assert not any(same_file(tmp_path / "a", tmp_path / name) for name in ("b", "none", "a\0"))


LEGAL = ["bars-3", "second try", "Größe_2", "名前", "a:b", "$(x)", "it's", 'q"q', ".hidden", "x..", "a%j", "ü" * 127]
ILLEGAL = {
    "": "is empty",
    ".": "stands for a folder",
    "..": "stands for a folder",
    "../../esc": "holds a slash; output.folder",
    "/abs": "holds a slash",
    "a/b": "holds a slash",
    "-x": "begins with -",
    "~": "begins with ~",
    " x": "begins or ends with a blank",
    "x ": "begins or ends with a blank",
    "a\nb": r"holds the character '\\n'",
    "a\tb": r"holds the character '\\t'",
    "a\0b": r"holds the character '\\x00'",
    "a\x1b[31mb": r"holds the character '\\x1b'",
    "a\u202eb": r"holds the character '\\u202e'",
    "a\udcffb": r"holds the character '\\udcff'",
    "x" * 256: "takes 256 bytes",
    "ü" * 128: "takes 256 bytes",
}


@pytest.mark.parametrize("name", LEGAL)
def test_names_that_are_legal(name, tmp_path):
    require_name(name)
    (tmp_path / name).mkdir()
    assert name_from(name) == name


@pytest.mark.parametrize("name", ILLEGAL)
def test_names_that_are_none(name):
    with pytest.raises(UserError, match=ILLEGAL[name]):
        require_name(name)
    require_name(name_from(name))


@given(st.text(max_size=600))
def test_every_text_makes_a_name(text):
    name = name_from(text)
    require_name(name)
    assert len(name.encode()) <= LONGEST_NAME
    assert name_from(name) == name
