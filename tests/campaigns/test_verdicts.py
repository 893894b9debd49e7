"""Which setting the data speak for, and whether other starts may change that."""

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.campaigns.results import ResultTable
from prosper_ng.campaigns.verdicts import verdicts
from prosper_ng.errors import UserError

NAN = float("nan")


def table(held_out, best=None, second=None, state=None, seeds=(1, 1, 1), axes=("observable",)):
    n = len(held_out)
    columns = {
        "id": [f"r{row}" for row in range(n)],
        "observable": ["poisson", "normal", "gamma"][:n],
        "size": [4] * n,
        "seed": np.array(seeds[:n], np.uint64),
        "state": state or ["finished"] * n,
        "free_energy": np.array(held_out) + 1,
        "held_out_free_energy": np.array(held_out),
    }
    if best is not None:
        columns |= {"restarts_best": np.array(best), "restarts_second": np.array(second)}
    return ResultTable(columns, axes, ("free_energy", "held_out_free_energy"))


def test_the_largest_free_energy_of_rows_held_out_tells():
    measure, (found,) = verdicts(table([-31.0, -30.0, -35.0], [-29, -29, -29], [-29.1, -29.2, -30]), "observable")
    assert measure == "held_out_free_energy"
    assert (found.best, found.next) == ("normal", "poisson")
    assert found.lead == pytest.approx(1.0)
    assert found.point == {"seed": 1}
    assert found.doubt == ""


def test_starts_that_differ_by_more_than_is_lacking_leave_it_open():
    _, (found,) = verdicts(table([-31.0, -30.0, -35.0], [-29, -29, -29], [-30.5, -29.2, -30]), "observable")
    assert found.doubt == "the two best starts of poisson differ by 1.5; try more restarts"
    _, (found,) = verdicts(table([-31.0, -30.0, -35.0], [-29, -29, -29], [-29.5, -39.2, -30]), "observable")
    assert found.doubt == ""  # that of the best itself could only rise


def test_one_start_and_unfinished_runs_leave_it_open():
    _, (found,) = verdicts(table([-31.0, -30.0]), "observable")
    assert found.doubt == "one start each; set training.restarts"
    state = ["finished", "failed", "finished"]
    _, (found,) = verdicts(table([-31.0, NAN, -35.0], [-29] * 3, [-29] * 3, state), "observable")
    assert (found.best, found.doubt) == ("poisson", "1 not finished")


def test_only_runs_on_the_same_data_are_compared():
    with pytest.raises(UserError, match="no two runs differ in observable alone"):
        verdicts(table([-31.0, -30.0, -35.0], seeds=(1, 2, 3)), "observable")
    with pytest.raises(UserError, match="there is no axis size; the campaign has observable"):
        verdicts(table([-31.0, -30.0, -35.0]), "size")


CAMPAIGN = """
name: kinds
base: run.yaml
seed: 3
seeds: shared
repeats: 2
fixed: {training.restarts: 2, output.figures: false}
grid:
  model.observable: [poisson, exponential]
"""
RUN = """
name: run
data: {kind: bars, n_bars: 4, n_rows: 80, observable: poisson, superposition: max, background: 3, held_out: 0.2}
model: {kind: ef_mca, observable: poisson, n_latents: 4}
estep: {kind: exhaustive}
training: {n_sweeps: 12, restart_sweeps: 8}
"""


def test_collect_says_which(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(RUN, encoding="utf-8")
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN, encoding="utf-8")
    where = [str(tmp_path / "campaign.yaml"), "--set", f"folder={tmp_path / 'kinds'}"]
    assert cli.main(["campaign", "run", *where, "--quiet"]) == 0
    capsys.readouterr()
    assert cli.main(["campaign", "collect", *where, "--which", "model.observable", "--no-figures"]) == 0
    said = capsys.readouterr().out.split("model.observable by held_out_free_energy:")[1]
    lines = [line.split() for line in said.strip().splitlines()[1:]]
    assert [line[1:3] for line in lines] == [["poisson", "exponential"]] * 2
    assert all(float(line[3]) > 0.5 for line in lines)
    assert cli.main(["campaign", "collect", *where, "--which", "model.sort", "--no-figures", "--quiet"]) == 2
    assert "there is no axis model.sort; the campaign has model.observable" in capsys.readouterr().err
