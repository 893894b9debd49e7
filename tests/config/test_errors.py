"""Wrong configurations, each with the whole message that a person gets to see."""

import re
from pathlib import Path

import pytest
from config_example.drawing import Drawing

from prosper_ng.config import ConfigError, load

FOLDER = Path(__file__).parent / "errors"
CASES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def message_of(case: str) -> str:
    """What loading the file, with the overrides that its first comments ask for, says is wrong."""
    path = Path(f"{case}.yaml")
    overrides = re.findall(r"^# --set (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    with pytest.raises(ConfigError) as caught:
        load(path, Drawing, overrides)
    return f"{caught.value}\n"


@pytest.mark.parametrize("case", CASES)
def test_wrong_configuration_is_explained(case, monkeypatch):
    monkeypatch.chdir(FOLDER)
    assert message_of(case) == Path(f"{case}.txt").read_text(encoding="utf-8")


def test_every_message_belongs_to_a_case():
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == CASES
