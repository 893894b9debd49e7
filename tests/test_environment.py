import os

import pytest

from prosper_ng import environment, paths
from prosper_ng.environment import limit_threads
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
