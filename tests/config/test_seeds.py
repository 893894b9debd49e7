"""Seeds: whatever fits into a word of the generator's key is legal wherever one can be given, all else is refused."""

import csv

import pytest

from prosper_ng import cli
from tests.helpers.small_runs import SEARCH, complaint, undisturbed

LARGEST = 2**64 - 1
LEGAL = f"must be an integer from 0 to {LARGEST}"
CAMPAIGN = "name: many\nbase: run.yaml\n"
SHORT = SEARCH.replace("n_sweeps: 12", "n_sweeps: 2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the configuration of a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(SHORT, encoding="utf-8")
    return tmp_path


def refusal(capsys, *arguments):
    assert cli.main([*map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize("seed", [2**64, 10**30, -1])
def test_what_is_no_seed_is_refused_with_its_place(folder, capsys, seed):
    assert refusal(capsys, "run", "run.yaml", "--set", f"seed={seed}").startswith(f"--set seed={seed}: error: `seed`")
    (folder / "bad.yaml").write_text(SHORT.replace("seed: 3", f"seed: {seed}"), encoding="utf-8")
    said = f"bad.yaml:3:7: error: `seed` {LEGAL}, not the integer `{seed}`"
    assert refusal(capsys, "validate", "bad.yaml") == said
    (folder / "many.yaml").write_text(f"{CAMPAIGN}seed: {seed}\n", encoding="utf-8")
    assert refusal(capsys, "campaign", "plan", "many.yaml").startswith(f"many.yaml:3:7: error: `seed` {LEGAL}")
    (folder / "many.yaml").write_text(f"{CAMPAIGN}grid: {{seed: [1, {seed}]}}\n", encoding="utf-8")
    assert refusal(capsys, "campaign", "plan", "many.yaml").startswith("many.yaml:3:18: error: ")
    undisturbed(folder / "done", SHORT)
    (folder / "data.yaml").write_text(f"seed: {seed}\ndata: {{kind: bars, n_bars: 6, n_rows: 9}}\n", encoding="utf-8")
    assert refusal(capsys, "infer", "done", "data.yaml", "--output", "x.h5").startswith("data.yaml:1:7: error: `seed`")
    said = complaint(capsys, "sample", "done", "--rows", 3, f"--seed={seed}", "--output", "x.h5")
    assert f"argument --seed: '{seed}' is not a whole number from 0 to {LARGEST}" in said
    assert f"argument --seed: '{seed}' is not a" in complaint(capsys, "selftest", f"--seed={seed}")


def test_the_largest_seed_is_like_any_other(folder, capsys):
    undisturbed(folder / "done", SHORT.replace("seed: 3", f"seed: {LARGEST}"))
    assert cli.main(["sample", "done", "--rows", "3", "--seed", str(LARGEST), "--output", "rows.h5"]) == 0
    assert cli.main(["infer", "done", "rows.h5", "--output", "found.h5"]) == 0
    text = f"{CAMPAIGN}seed: {LARGEST}\nrepeats: 1\ngrid: {{seed: [1, {LARGEST}]}}\n"
    (folder / "many.yaml").write_text(text, encoding="utf-8")
    assert cli.main(["campaign", "run", "many.yaml", "--quiet"]) == 0
    assert cli.main(["campaign", "collect", "many.yaml"]) == 0
    with next(folder.rglob("runs.csv")).open(encoding="utf-8") as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["1", str(LARGEST)]
