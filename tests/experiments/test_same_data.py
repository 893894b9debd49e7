"""What makes data the same data: the numbers in their rows and columns, not the file they lie in."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from prosper_ng import cli
from prosper_ng.campaigns.plan import freeze, load_plan
from prosper_ng.campaigns.run_state import other_data, run_states
from prosper_ng.config import load
from prosper_ng.data.content import Content
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources.bars import Bars
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.parallel.team import on_team
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.run_record import read_run
from tests.helpers.small_runs import SEARCH, Runner, newest_checkpoint, write_image

N_ROWS, D = 120, 5
OF_FILE = SEARCH.replace("{kind: bars, n_bars: 6, n_rows: 120}", "{kind: npy, path: PATH}")
IN_FILES = ("memory.data_budget=1kB", "memory.states_budget=1kB")


def numbers():
    return np.random.default_rng(6).standard_normal((N_ROWS, D)).astype(np.float32).astype(np.float64)


def digest_of(values, n_pieces=1, missing=False):
    content = Content(dataset_of(values, missing=missing))
    for rows in np.array_split(np.arange(len(values)), n_pieces):
        if len(rows):
            content.raw(int(rows[0]), int(rows[-1]) + 1)
    return content.digest(SerialCommunicator())


def digest_of_run(text, *changes):
    path = Path(text)
    loaded = load(path, RunConfig, changes).value
    return assemble_run(loaded, SerialCommunicator()).data_digest


# The digest


def test_every_number_and_its_place_count():
    values = numbers()
    others = [values[::-1], values[:, ::-1], values[:-1], values[:, :-1], values.reshape(N_ROWS // 2, -1), values.T]
    others += [np.concatenate([values[:1], values[:-1]]), -values, np.vstack([values, values[:1]])]
    swapped, nudged = values.copy(), values.copy()
    swapped[[3, 99]] = swapped[[99, 3]]
    nudged[-1, -1] = np.nextafter(nudged[-1, -1], 9.0)
    digests = [digest_of(each) for each in (values, *others, swapped, nudged)]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 32 for digest in digests)
    with_gap = np.where(np.arange(D) == 2, np.nan, values)
    assert digest_of(with_gap, missing=True) not in digests


def test_rows_that_are_equal_count_each():
    """A sum of hashes without row numbers, or their exclusive or, would lose pairs of equal rows."""
    a, b = np.ones((1, 3)), np.zeros((1, 3))
    tables = [[a, a, b, b], [b, b, a, a], [a, b, a, b], [a, a, a, a], [b, b, b, b], [a, a, b], [a, b, b]]
    assert len({digest_of(np.concatenate(table)) for table in tables}) == len(tables)


def test_pieces_types_and_layout_do_not_count():
    values = numbers()
    values[5:9, 1] = 0.0
    expected = digest_of(values)
    assert {digest_of(values, n_pieces) for n_pieces in (2, 7, N_ROWS)} == {expected}
    alike = (
        values.astype(np.float32),
        values.astype(">f8"),
        np.asfortranarray(values),
        np.where(values == 0, -0.0, values),
    )
    assert {digest_of(each) for each in alike} == {expected}
    whole = np.rint(values)
    assert digest_of(whole.astype(np.int8)) == digest_of(whole)


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 7])
def test_ranks_do_not_count(n_ranks):
    values = numbers()

    def on_rank(comm):
        content = Content(dataset_of(values))
        owned = RowBlocks(N_ROWS, 16).owned_rows(comm.rank, comm.size)
        content.raw(owned.start, owned.stop)
        return content.digest(comm)

    assert set(on_team(n_ranks, on_rank)) == {digest_of(values)}


def test_neither_preprocessing_nor_precision_nor_memory_count(tmp_path):
    np.save(tmp_path / "a.npy", numbers())
    config = tmp_path / "run.yaml"
    config.write_text(OF_FILE.replace("PATH", str(tmp_path / "a.npy")))
    expected = digest_of(numbers())
    scratch = f"memory.scratch={tmp_path}"
    for changes in (
        (), ("data.remove_mean=true",), ("data.whiten=pca",), ("memory.precision=single",), ("training.block_rows=7",),
        (*IN_FILES, scratch), ("memory.precision=single", "memory.data_budget=1kB", scratch), ("data.missing=true",),
        ("seed=9",),
    ):  # fmt: skip
        assert digest_of_run(config, *changes) == expected, changes


# Going on


@pytest.fixture
def runner(tmp_path, capsys):
    """A run of 5 sweeps over the numbers, in `a.npy`, that has 12 sweeps to go; and its file."""
    np.save(tmp_path / "a.npy", numbers())
    run = Runner(tmp_path / "run", OF_FILE.replace("PATH", str(tmp_path / "a.npy")), capsys)
    assert run("training.n_sweeps=5").status == 0
    return run


@pytest.fixture
def whole(tmp_path, capsys):
    """The digest of an undisturbed run."""
    np.save(tmp_path / "whole.npy", numbers())
    run = Runner(tmp_path / "whole", OF_FILE.replace("PATH", str(tmp_path / "whole.npy")), capsys)
    assert run().status == 0
    return run.digest


def replaced(values):
    swapped = values.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    return {"values": values + 1, "one value": values + (np.arange(N_ROWS) == 77)[:, None], "order": swapped,
            "columns": values[:, :4], "wider": np.hstack([values, values])}  # fmt: skip


@pytest.mark.parametrize("name", ["values", "one value", "order", "columns", "wider"])
@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_other_data_in_the_same_file_are_refused(runner, tmp_path, name, has_checkpoint):
    if not has_checkpoint:
        for path in (runner.folder / "checkpoints").iterdir():
            path.unlink()
    np.save(tmp_path / "a.npy", replaced(numbers())[name])
    before = {path: path.read_bytes() for path in runner.folder.rglob("*") if path.is_file()}
    done = runner()
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[0] == (
        f"error: {runner.folder} holds a run on other data: {tmp_path / 'a.npy'} does not hold the rows that it began "
        "with; choose another output folder, or bring these data back"
    )
    assert {path: path.read_bytes() for path in runner.folder.rglob("*") if path.is_file()} == before
    np.save(tmp_path / "a.npy", numbers())
    assert runner().status == 0


@pytest.mark.parametrize("n_rows", [N_ROWS - 16, N_ROWS + 16])
def test_another_number_of_rows_is_refused(runner, tmp_path, n_rows):
    np.save(tmp_path / "a.npy", np.resize(numbers(), (n_rows, D)))
    done = runner()
    assert (done.status, done.out) == (2, "")
    assert f"holds 120 rows and the data {n_rows}" in done.err.splitlines()[0]


@pytest.mark.parametrize("where", ["b.npy", "sub/a.npy", "b.h5", "b.npz", "single.npy"])
def test_the_same_data_elsewhere_go_on(runner, whole, tmp_path, where):
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "a.npy").unlink()
    section = f"{{kind: npy, path: {path}}}"
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["deep/rows"] = numbers()
        section = f"{{kind: hdf5, path: {path}, dataset: deep/rows}}"
    elif path.suffix == ".npz":
        np.savez(path, rows=numbers())
        section = f"{{kind: npz, path: {path}, array: rows}}"
    else:
        np.save(path, numbers().astype(np.float32 if where == "single.npy" else np.float64))
    done = runner(f"data={section}")
    assert done.status == 0, done.err
    assert "the data hold the same rows as before, though data." in done.err
    assert str(path) in done.err
    assert runner.digest == whole
    assert str(path) in str(read_run(runner.folder).config["data"])
    # It stays where it is now, and may be inferred from there.
    assert cli.main(["infer", str(runner.folder), "--quiet"]) == 0
    assert runner(f"data={section}").status == 0


@pytest.mark.parametrize("change", ["data.remove_mean=true", "data.whiten=zca", "model.n_latents=7"])
def test_the_same_data_treated_in_another_way_are_refused(runner, tmp_path, change):
    np.save(tmp_path / "b.npy", numbers())
    done = runner(f"data.path={tmp_path}/b.npy", change)
    assert done.status == 2
    assert "holds a run of another configuration, which differs in\n" in done.err
    name, _, value = change.partition("=")
    assert f"  {name}: " in done.err
    assert f" -> {value}\n" in done.err


def test_other_data_elsewhere_are_refused_with_both_places(runner, tmp_path):
    np.save(tmp_path / "b.npy", numbers() + 1)
    done = runner(f"data.path={tmp_path}/b.npy")
    assert done.status == 2
    assert f"  data.path: {tmp_path}/a.npy -> {tmp_path}/b.npy\n" in done.err


def test_generated_data_written_to_a_file_go_on(tmp_path, capsys):
    undisturbed, run = Runner(tmp_path / "whole", SEARCH, capsys), Runner(tmp_path / "run", SEARCH, capsys)
    assert (undisturbed().status, run("training.n_sweeps=5").status) == (0, 0)
    np.save(tmp_path / "bars.npy", Bars(n_bars=6, n_rows=120).open(3).read(0, 120))
    assert run(f"data={{kind: npy, path: {tmp_path}/bars.npy}}").status == 0
    assert run.digest == undisturbed.digest


IMAGE = """
name: image
seed: 1
data: {kind: image, image: IMAGE, patch_size: 4, stride: 2, remove_mean: true}
model: {kind: bsc, n_latents: 6}
estep: {kind: search, n_states: 8}
training: {n_sweeps: 6, block_rows: 32}
output: {figures: false}
"""


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("change", ["negative", "brighter", "pixel"])
def test_another_image_is_refused(tmp_path, capsys, noise, change):
    """A brighter one has the same patches once their means are removed: it is another image all the same."""
    path = tmp_path / "picture.png"
    write_image(path)
    pixels = np.array(Image.open(path))
    run = Runner(tmp_path / "run", IMAGE.replace("IMAGE", str(path)), capsys)
    assert run("training.n_sweeps=3", f"data.noise={noise}").status == 0
    nudged = pixels.copy()
    nudged[23, 23] += 1
    Image.fromarray({"negative": 255 - pixels, "brighter": pixels + 1, "pixel": nudged}[change]).save(path)
    done = run(f"data.noise={noise}")
    assert done.status == 2
    assert f"holds a run on other data: image {path} does not hold" in done.err
    Image.fromarray(pixels).save(tmp_path / "moved.png")
    assert run(f"data.noise={noise}", f"data.image={tmp_path}/moved.png").status == 0


def forget(run, n_rows=N_ROWS):
    """Make the newest checkpoint one of a version that kept no digest of the data."""
    found = newest_checkpoint(run.folder, n_rows)
    attributes = {name: value for name, value in found.attributes.items() if name != "data_digest"}
    assert attributes != found.attributes
    checkpoints = Checkpoints(run.folder / "checkpoints", SerialCommunicator())
    starts = [0, n_rows]
    kept = checkpoints.save(found.iteration, root=found.root, rows=found.rows, starts=starts, attributes=attributes)
    assert kept is None


def test_an_earlier_run_goes_on_and_says_what_cannot_be_told(runner, whole, tmp_path):
    forget(runner)
    done = runner()
    assert done.status == 0
    assert f"whether {tmp_path / 'a.npy'} still holds the rows that this run began with cannot be told" in done.err
    assert runner.digest == whole
    assert runner().err.count("cannot be told") == 0


def test_an_earlier_run_on_other_columns_is_refused(runner, tmp_path):
    forget(runner)
    np.save(tmp_path / "a.npy", numbers()[:, :3])
    done = runner()
    assert done.status == 2
    assert "its parameters do not fit rows of 3 values, which " in done.err.splitlines()[-2]


# Using what was learned


def test_files_of_results_say_what_data_they_are_of(runner, tmp_path):
    record = read_run(runner.folder)
    assert record.attributes["data_digest"] == runner.status.data_digest == digest_of(numbers())
    np.save(tmp_path / "new.npy", numbers()[:40])
    for name, command, of in (
        ("own.h5", ["infer"], numbers()),
        ("new.h5", ["infer", str(tmp_path / "new.npy")], numbers()[:40]),
        ("filled.h5", ["reconstruct", str(tmp_path / "new.npy")], numbers()[:40]),
    ):
        command, *data = command
        arguments = [command, str(runner.folder), *data, "--output", str(tmp_path / name), "--quiet"]
        assert cli.main(arguments) == 0
        with h5py.File(tmp_path / name) as file:
            assert file.attrs["data_digest"] == digest_of(of)
            assert file.attrs["run_data_digest"] == digest_of(numbers())


def test_inference_does_not_take_other_data_for_those_of_the_run(runner, tmp_path, capsys):
    np.save(tmp_path / "a.npy", numbers()[::-1])
    output = ["--output", str(tmp_path / "out.h5"), "--quiet"]
    assert cli.main(["infer", str(runner.folder), *output]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'a.npy'} does not hold the rows any more that {runner.folder} has learned from" in said
    assert not (tmp_path / "out.h5").exists()
    assert cli.main(["infer", str(runner.folder), str(tmp_path / "a.npy"), *output]) == 0


# Campaigns


CAMPAIGN = """
name: apart
base: base.yaml
repeats: 2
fixed: {training.n_sweeps: 3}
grid: {model.n_latents: [5, 6, 7]}
"""


def campaign_on(tmp_path, section):
    (tmp_path / "base.yaml").write_text(SEARCH.replace("{kind: bars, n_bars: 6, n_rows: 120}", section))
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    return load_plan(tmp_path / "campaign.yaml", folder=tmp_path / "out")


def start(runs):
    for run in runs:
        assert cli.main(["--quiet", "run", str(freeze(run)), "--output", str(run.folder)]) == 0


def test_a_campaign_tells_runs_of_other_data_apart(tmp_path, capsys):
    np.save(tmp_path / "a.npy", numbers())
    plan = campaign_on(tmp_path, f"{{kind: npy, path: {tmp_path}/a.npy}}")
    start(plan.runs[:4])
    assert other_data(run_states(plan, {})) is None
    np.save(tmp_path / "a.npy", numbers() + 1)
    start(plan.runs[4:])
    found = run_states(plan, {})
    assert [each.on_other_data for each in found] == [False] * 4 + [True] * 2
    assert other_data(found).startswith("2 runs have learned from other data than other runs with the same data source")
    file, folder = str(tmp_path / "campaign.yaml"), str(tmp_path / "out")
    capsys.readouterr()
    assert cli.main(["campaign", "status", file, "--output", folder]) == 0
    said = capsys.readouterr().out
    for run in plan.runs[4:]:
        line = next(line for line in said.splitlines() if run.id in line)
        assert "learned from other data than 4 runs with the same data source" in line
    assert plan.runs[0].id not in said
    assert "begin these anew with `campaign rerun ID`" in said
    assert cli.main(["campaign", "status", file, "--output", folder, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["data_digest"] for run in runs] == [digest_of(numbers())] * 4 + [digest_of(numbers() + 1)] * 2
    assert cli.main(["campaign", "collect", file, "--output", folder, "--no-figures"]) == 0
    assert capsys.readouterr().err.startswith("warning: 2 runs have learned from other data")
    header, *rows = (tmp_path / "out" / "runs.csv").read_text().splitlines()
    place = header.split(",").index("data_digest")
    assert len({row.split(",")[place] for row in rows}) == 2


def test_runs_that_should_have_other_data_are_not_marked(tmp_path):
    """Data that are drawn differ from seed to seed."""
    plan = campaign_on(tmp_path, "{kind: bars, n_bars: 6, n_rows: 120}")
    start(plan.runs[:3])
    found = run_states(plan, {})
    assert len({each.status.data_digest for each in found[:3]}) == 3
    assert other_data(found) is None


def test_where_there_is_no_majority_all_are_marked(tmp_path):
    np.save(tmp_path / "a.npy", numbers())
    plan = campaign_on(tmp_path, f"{{kind: npy, path: {tmp_path}/a.npy}}")
    start(plan.runs[:1])
    np.save(tmp_path / "a.npy", -numbers())
    start(plan.runs[1:2])
    found = run_states(plan, {})
    assert [each.on_other_data for each in found] == [True, True, False, False, False, False]
    assert "than 1 run with the same data source" in found[0].reason
