"""What a campaign's file comes to."""

import json
from pathlib import Path

import pytest

from prosper_ng.campaigns.plan import CONFIG_FILE, command_of, freeze, keep, load_plan
from prosper_ng.campaigns.points import Points
from prosper_ng.config import ConfigError, flatten, identity, load
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig, not_science
from prosper_ng.paths import require_name
from tests.helpers.campaigns import BASE, planned, write_campaign

GRID = "repeats: 2\ngrid:\n  model.n_latents: [4, 6]\n  estep.n_states: [8, 12]\n"
CONFIGS = Path(__file__).parents[2] / "configs" / "campaigns"


def said(folder, text, base=BASE):
    with pytest.raises(UserError) as caught:
        planned(folder, text, base)
    return str(caught.value)


def facts(plan):
    """What must not depend on the order in which a campaign is written."""
    return {(run.id, run.seed, run.repeat, json.dumps(run.point, sort_keys=True)) for run in plan.runs}


def test_every_combination_is_a_run_with_an_id_and_a_seed_of_its_own(tmp_path):
    plan = planned(tmp_path, GRID)
    assert (plan.name, plan.axes, len(plan.runs)) == ("trial", ("model.n_latents", "estep.n_states"), 8)
    assert len({run.id for run in plan.runs}) == len({run.seed for run in plan.runs}) == 8
    for run in plan.runs:
        config = run.loaded.value
        assert (config.model.n_latents, config.estep.n_states) == tuple(run.point.values())
        assert (config.seed, config.training.n_sweeps) == (run.seed, run.n_sweeps) == (run.seed, 6)
        assert run.folder == tmp_path / "out" / "runs" / run.id
        assert run.id == identity(run.loaded.lasting, not_science(config))[:12]


def test_ids_and_seeds_do_not_depend_on_order_or_on_what_else_is_planned(tmp_path):
    plan = planned(tmp_path, GRID)
    turned = planned(tmp_path, "repeats: 2\ngrid:\n  estep.n_states: [12, 8]\n  model.n_latents: [6, 4]\n")
    assert facts(turned) == facts(plan)
    more = planned(tmp_path, "repeats: 3\ngrid:\n  model.n_latents: [5, 4, 6]\n  estep.n_states: [8, 10, 12]\n")
    assert facts(plan) < facts(more)


def test_another_campaign_seed_gives_other_runs(tmp_path):
    ids = [{run.id for run in planned(tmp_path, f"seed: {seed}\n{GRID}").runs} for seed in (0, 1)]
    assert not ids[0] & ids[1]


def test_shared_seeds_are_those_of_the_repeat(tmp_path):
    plan = planned(tmp_path, f"seeds: shared\n{GRID}")
    assert {run.repeat: run.seed for run in plan.runs} == {run.repeat: run.seed for run in plan.runs[:2]}
    assert len({run.seed for run in plan.runs}) == 2
    assert len({run.id for run in plan.runs}) == 8


def test_names_stopping_and_length_change_no_id(tmp_path):
    before = {run.id for run in planned(tmp_path, GRID).runs}
    longer = "fixed: {training.n_sweeps: 60, training.stopping.relative_change: 1e-4, output.figures: true}\n"
    assert {run.id for run in planned(tmp_path, longer + GRID).runs} == before


def test_origins_name_file_line_and_axis(tmp_path):
    text = (
        "fixed: {data.n_rows: 40}\nsets:\n  wide: {model.n_latents: 9}\ngrid:\n  set: [wide]\n  estep.n_states: [8]\n"
    )
    origins = planned(tmp_path, text).runs[0].loaded.origins
    file = tmp_path / "campaign.yaml"
    assert origins["estep.n_states"] == f"{file}:8:20, axis estep.n_states"
    assert origins["model.n_latents"] == f"{file}:5:27, set wide"
    assert origins["data.n_rows"] == f"{file}:3:22, all runs"
    assert origins["model.kind"] == f"{tmp_path / 'base.yaml'}:5:15"
    assert origins["seed"] == f"derived from seed 0 of {file}, point and repeat"


def test_sets_may_bring_their_own_base(tmp_path):
    (tmp_path / "other.yaml").write_text(BASE.replace("kind: bsc", "kind: tsc"), encoding="utf-8")
    text = "sets:\n  a: {}\n  b: {base: other.yaml, model.n_latents: 7}\ngrid: {set: [a, b]}\n"
    runs = planned(tmp_path, text).runs
    assert [(run.point["set"], run.loaded.value.model.kind, run.loaded.value.model.n_latents) for run in runs] == [
        ("a", "bsc", 6), ("b", "tsc", 7),
    ]  # fmt: skip


def test_bases_are_called_by_the_names_of_their_files(tmp_path):
    (tmp_path / "other.yaml").write_text(BASE.replace("kind: bsc", "kind: tsc"), encoding="utf-8")
    plan = planned(tmp_path, "grid: {base: [./base.yaml, ./other.yaml]}\n")
    assert [run.point for run in plan.runs] == [{"base": "base"}, {"base": "other"}]


def test_points_that_meet_are_run_once(tmp_path):
    text = "sum:\n  - grid: {model.n_latents: [4, 6]}\n  - grid: {estep.n_states: [8, 12]}\n"
    plan = planned(tmp_path, text)
    assert [tuple(run.point.values()) for run in plan.runs] == [(4, 12), (6, 12), (6, 8)]
    assert plan.n_merged == 1


def test_runs_that_differ_in_nothing_that_is_computed_are_refused(tmp_path):
    message = said(tmp_path, "grid: {training.n_sweeps: [6, 8]}\n")
    assert "`training.n_sweeps=6, repeat 0` and `training.n_sweeps=8, repeat 0`" in message
    assert "they differ only in training.n_sweeps: 6 -> 8" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {model.n_latent: [4]}", "campaign.yaml:3:8: error: unknown field `n_latent` in `model` (bsc)"),
        ("grid: {model.n_latents: [4, x]}", "campaign.yaml:3:29: error: `model.n_latents` must be an integer"),
        ("grid: {model.n_latents: [4, x]}", "in the run of model.n_latents=x"),
        ("grid: {model.n_latents.x: [4]}", "campaign.yaml:3:8: error: `model.n_latents` is a single value"),
        ("grid: {model..x: [4]}", "campaign.yaml:3:8: error: `model..x` is no key"),
        ("sets: {big: {}}\ngrid: {set: [bigg]}", "campaign.yaml:4:14: error: there is no set `bigg`; did you mean `bi"),
        ("sets: {big: {modl.x: 1}}\ngrid: {set: [big]}", "campaign.yaml:3:14: error: unknown field `modl`; did you"),
        ("fixed: {seed: 2}\nrepeats: 2", "with `seed` given, 2 repeats would be one and the same run"),
        ("grid: {seed: [2, 3]}\nrepeats: 2", "campaign.yaml:3:15: error: with `seed` given, 2 repeats"),
        ("gird: {seed: [2, 3]}", "campaign.yaml:3:1: error: unknown field `gird`; did you mean `grid`?"),
        ("grid: {base: [bas.yaml]}", "bas.yaml: error: there is no such file; did you mean"),
        ("grid: {base: [bas.yaml]}", "this is the base that is named at"),
        ("repeats: 100000\ngrid: {model.n_latents: [4, 5]}", "campaign.yaml:3:10: error: this makes more than 100,000"),
        ("exclude: [{model.n_latents: 5}]", "campaign.yaml:3:11: error: `model.n_latents` is no axis"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_place(tmp_path, text, message):
    assert message in said(tmp_path, text + "\n")


def test_a_mistake_is_told_once_however_many_runs_it_spoils(tmp_path):
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, "grid: {model.n_latents: [x], estep.n_states: [1, 2, 3, 4]}\n")
    assert len(caught.value.mistakes) == 1


def test_no_base_is_a_mistake(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("name: x\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="a run needs a base"):
        load_plan(path)


def test_seeds_may_be_an_axis(tmp_path):
    plan = planned(tmp_path, "grid: {seed: [5, 7]}\n")
    assert [(run.seed, run.loaded.value.seed, run.point) for run in plan.runs] == [(5, 5, {}), (7, 7, {})]


def test_a_kept_plan_is_the_same_and_checks_nothing(tmp_path, monkeypatch):
    plan = planned(tmp_path, GRID)
    keep(plan)
    calls, original = [], Points.loaded
    monkeypatch.setattr(Points, "loaded", lambda self, point: calls.append(point) or original(self, point))
    again = load_plan(plan.path, folder=plan.folder)
    assert (again, calls) == (plan, [])
    assert again.runs[3].loaded == plan.runs[3].loaded


@pytest.mark.parametrize("edited", ["campaign.yaml", "base.yaml"])
def test_a_kept_plan_is_made_anew_when_a_file_has_changed(tmp_path, edited):
    plan = planned(tmp_path, GRID)
    keep(plan)
    file = tmp_path / edited
    old, new = ("[4, 6]", "[4, 5]") if edited == "campaign.yaml" else ("n_rows: 120", "n_rows: 130")
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    changed = load_plan(plan.path, folder=plan.folder)
    kept = {run.id for run in changed.runs} & {run.id for run in plan.runs}
    assert len(kept) == (4 if edited == "campaign.yaml" else 0)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 1}', b'{"format": 2}', b"\xff", b"[]"])
def test_a_damaged_plan_is_made_anew(tmp_path, damage):
    plan = planned(tmp_path, GRID)
    keep(plan)
    (plan.folder / "plan.json").write_bytes(damage)
    assert load_plan(plan.path, folder=plan.folder) == plan
    with pytest.raises(UserError, match=r"holds no plan\.json that can be read"):
        load_plan(plan.folder)


def test_a_folder_is_enough_once_the_plan_is_kept(tmp_path):
    plan = planned(tmp_path, GRID)
    keep(plan)
    for run in plan.runs:
        freeze(run)
    again = load_plan(plan.folder)
    assert again.runs == plan.runs
    assert again.runs[0].loaded.value == plan.runs[0].loaded.value


def test_a_frozen_configuration_gives_the_run_of_its_id(tmp_path):
    run = planned(tmp_path, GRID).runs[-1]
    found = load(freeze(run), RunConfig)
    assert flatten(found.resolved) == flatten(run.loaded.resolved)
    assert identity(found.lasting, not_science(found.value))[:12] == run.id
    assert f"{tmp_path / 'campaign.yaml'}:6:23, axis estep.n_states" in (run.folder / CONFIG_FILE).read_text()


def test_pictures_are_made_only_where_the_base_asks_for_them(tmp_path):
    base = BASE.replace("figures: false, ", "")
    assert not planned(tmp_path, "", base).runs[0].loaded.value.output.figures
    assert planned(tmp_path, "fixed: {output.figures: true}\n", base).runs[0].loaded.value.output.figures


def test_the_command_asks_for_its_ranks(tmp_path, monkeypatch):
    alone, group = (planned(tmp_path, f"ranks: {n}\n").runs[0] for n in (1, 3))
    assert command_of(alone)[1:4] == ["-m", "prosper_ng", "run"]
    monkeypatch.setenv("PROSPER_NG_MPIEXEC", "some launcher")
    command = command_of(group)
    assert command[:4] == ["some", "launcher", "-n", "3"]
    assert command[-5:] == ["--output", str(group.folder), "--ranks", "3", "--quiet"]


def test_overrides_change_the_campaign(tmp_path):
    path = write_campaign(tmp_path, GRID)
    plan = load_plan(path, ["repeats=1", 'grid."model.n_latents"=[3]'])
    assert [(run.point, run.loaded.value.model.n_latents) for run in plan.runs] == [
        ({"estep.n_states": 8}, 3), ({"estep.n_states": 12}, 3),
    ]  # fmt: skip
    assert plan.folder == Path("runs/trial")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_campaigns_that_come_with_the_program_are_right(path):
    plan = load_plan(path)
    assert plan.name == path.stem
    assert len(plan.runs) > 5


def test_a_run_has_a_legal_name_whatever_its_point(tmp_path):
    keys = [f"training.annealing.{key}" for key in ("temperature", "data_pruning", "row_fraction", "data_noise")]
    many = "".join(f"  {key}: [[[0, 0.5], [10, 1.0]], [[0, 0.25], [10, 1.0]]]\n" for key in keys)
    plan = planned(tmp_path, f"grid:\n  data.n_rows: [40, 50]\n  training.initial_file: [/a/b, /c]\n{many}")
    names = sorted(run.loaded.value.name for run in plan.runs)
    assert names[0].startswith("trial: data.n_rows=40, training.initial_file=_a_b, training.annealing")
    assert names[0].endswith(", repeat 0")
    assert max(len(name.encode()) for name in names) <= 255 < len(plan.runs[0].title)
    for run in plan.runs[:4]:
        require_name(run.loaded.value.name)
        assert load(freeze(run), RunConfig).value.name == run.loaded.value.name
    keep(plan)
    # An earlier version froze names that are none any more.
    frozen = plan.runs[0].folder / CONFIG_FILE
    text = frozen.read_text(encoding="utf-8").replace("initial_file=_a_b", "initial_file=/a/b")
    frozen.write_text(text, encoding="utf-8")
    assert load_plan(plan.folder).runs[0].loaded.value.name == plan.runs[0].loaded.value.name


@pytest.mark.parametrize("name", ["..", "../../esc", "/abs", '"a\\nb"', "-x", "' x'"])
def test_a_campaign_is_not_called_whatever(name, tmp_path):
    write_campaign(tmp_path, "grid: {model.n_latents: [4]}\n")
    path = tmp_path / "campaign.yaml"
    text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("name:"))
    path.write_text(f"name: {name}\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"campaign.yaml:1:1: error: `name`: .*a name is one like"):
        load_plan(path)


def test_home_is_meant_in_a_campaign(tmp_path, monkeypatch):
    write_campaign(tmp_path, "grid: {model.n_latents: [4, 6]}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "campaign.yaml"
    (tmp_path / "sub").mkdir()
    moved = tmp_path / "sub" / "campaign.yaml"
    moved.write_text(
        path.read_text(encoding="utf-8").replace("base: ", "base: ~/") + "folder: ~/out\n", encoding="utf-8"
    )
    plan = load_plan(moved)
    assert (plan.folder, len(plan.runs)) == (tmp_path / "out", 2)
    with pytest.raises(ConfigError, match="there is no user 'nosuchuser' here"):
        load_plan(moved, ["base=~nosuchuser/base.yaml"])
    with pytest.raises(ConfigError, match="there is no user 'nosuchuser' here"):
        load_plan(moved, ["grid={base: ['~nosuchuser/base.yaml']}"])


def test_a_folder_that_begins_like_an_option_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_campaign(tmp_path, "grid: {model.n_latents: [4]}\n")
    (run,) = load_plan(Path("campaign.yaml"), (), Path("-out")).runs
    command = command_of(run)
    assert command[command.index("--output") + 1] == f"./-out/runs/{run.id}"
    assert f"./-out/runs/{run.id}/config.yaml" in command
