"""Memory: what a run needs, what there is, what it really takes, and the same bits wherever rows and states lie."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import SEARCH, Runner

from prosper_ng.config import from_mapping
from prosper_ng.data.memory_settings import Memory, bytes_of, text_of
from prosper_ng.data.patches import PatchDataset, PatchGrid
from prosper_ng.errors import UserError
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.assembly import assemble
from prosper_ng.learning.memory import PROGRAM, needs_of, sizes_of
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.memory import available_memory, peak_memory
from prosper_ng.parallel.rows import RowBlocks

GiB = 2**30


def config(n_rows=90, H=6, S=20, **sections) -> RunConfig:
    whole = {
        "name": "test",
        "data": {"kind": "bars", "n_bars": 6, "n_rows": n_rows},
        "model": {"kind": "bsc", "n_latents": H},
        "estep": {"kind": "search", "n_states": S},
    }
    return from_mapping({**whole, **sections}, RunConfig).value


@pytest.mark.parametrize(
    ("size", "n_bytes"),
    [(17, 17), ("17", 17), ("3B", 3), ("2kB", 2000), ("2KiB", 2048), ("1.5GiB", 1.5 * GiB), ("4 TiB", 4096 * GiB)],
)
def test_sizes(size, n_bytes):
    assert bytes_of(size) == n_bytes


@pytest.mark.parametrize("size", ["", "GiB", "4 gb", "-1", "4GiB more", "0", "0.1B", "1e3"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match=r"data_budget .* (is not a size; legal is|is not greater than 0)"):
        Memory(data_budget=size)


def test_sizes_in_words():
    shown = [text_of(n_bytes) for n_bytes in (0, 999, 1010, 1536, 5.5 * GiB, 2000 * GiB, 5e16)]
    assert shown == ["0 B", "999 B", "1010 B", "1.5 KiB", "5.5 GiB", "1.95 TiB", "45,475 TiB"]


def test_the_formula():
    """By hand: N = 1000, D = 9, H = 70 (2 words), S = 20, on 2 ranks of 512 and 488 rows, one update."""
    sizes = sizes_of(config(H=70, memory={"precision": "single"}).learning, 9)
    P = 4 + 70 + 9 * 70 + 70 * 71 // 2 + 1
    U = P + 70 * 69 // 2
    assert (sizes.n_statistics, sizes.n_unpacked) == (P, U)
    assert (sizes.n_parameters, sizes.row_bytes) == (9 * 70 + 1 + 70, 20 * 24)
    blocks = RowBlocks(1000, 64)
    first, second = (needs_of(sizes, Memory(precision="single"), blocks, rank, 2) for rank in (0, 1))
    assert (first.data, second.data) == (4 * 512 * 9, 4 * 488 * 9)
    assert (first.states, second.states) == (512 * 480, 488 * 480)
    assert first.block == second.block == 64 * (32 * 9 + 8 * 70 * 5 + (20 + 2 * 10) * 24 + 24 * 20)
    assert (first.statistics, second.statistics) == (8 * (P * 16 + U * 5), 8 * P * 15)
    assert first.total == sum(first) == first.data + first.states + first.block + first.statistics + 32 * 701 + PROGRAM
    in_files = needs_of(sizes, Memory(data_budget="1kB", states_budget="1kB"), blocks, 0, 2)
    assert (in_files.data, in_files.states) == (0, 0)


def test_state_sets_are_counted_only_where_they_are_stored():
    estep = {"kind": "preselection", "n_candidates": 4, "max_active": 2}
    assert sizes_of(config(estep=estep).learning, 9).row_bytes == 0
    gsc = sizes_of(config(estep=estep, model={"kind": "gsc", "n_latents": 6}).learning, 9)
    tables, of_state = 8 * (3 * 6 + 2 * 6), 16 + 24
    assert (gsc.row_bytes, gsc.working_bytes) == (0, tables + (1 + 6 + 6) * of_state)
    assert sizes_of(config(estep={"kind": "exhaustive"}).learning, 9).working_bytes == tables + 64 * of_state
    assert sizes_of(config(estep=estep).learning, 9).working_bytes == tables


def machine(root: Path, **files: str) -> Path:
    """The files in which a machine tells of its memory; `__` stands for a folder."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_free_memory_of_the_machine(tmp_path):
    root = machine(tmp_path, proc__meminfo="MemTotal: 900 kB\nMemAvailable: 700 kB\nHugePages_Total: 0\n")
    assert available_memory(root) == 700 * 1024


@pytest.mark.parametrize("version", [1, 2])
def test_control_groups_count_also_those_above(tmp_path, version):
    machine(tmp_path, proc__meminfo="MemAvailable: 7000 kB\n")
    limit, usage, cached = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[version]
    group, line = {1: ("memory/job", "4:cpu,memory:/job/s"), 2: ("job", "0::/job/s")}[version]
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/cgroup").write_text(f"9:pids:/x\n{line}\n")
    above = tmp_path / "sys/fs/cgroup" / group
    inside = above / "s"
    inside.mkdir(parents=True)
    assert available_memory(tmp_path) == 7000 * 1024
    for folder, most in ((inside, "max" if version == 2 else str(2**63 - 4096)), (above, "500000")):
        (folder / limit).write_text(f"{most}\n")
        (folder / usage).write_text("300000\n")
        (folder / "memory.stat").write_text(f"cache 5\n{cached} 100000\n")
    assert available_memory(tmp_path) == 500000 - 300000 + 100000
    (inside / limit).write_text("350000\n")
    assert available_memory(tmp_path) == 350000 - 300000 + 100000
    (inside / usage).write_text("900000\n")
    assert available_memory(tmp_path) == 0


def test_free_memory_of_this_machine():
    found = available_memory()
    assert found is not None
    assert 0 < found < 2**50
    assert 2**20 < peak_memory() < 2**40


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"n_rows": 10**12}, "or keep rows and state sets in files with memory.data_budget and memory.states_budget"),
        ({"n_rows": 10**12, "estep": {"kind": "exhaustive"}}, "start the ranks on "),
        ({"n_rows": 10**12, "memory": {"states_budget": "1GiB"}}, "keep the rows in a file with memory.data_budget"),
        ({"n_rows": 10**8, "S": 5000, "H": 60}, "choose estep.n_states of "),
        ({"H": 10**6}, "choose a smaller model.n_latents or training.block_rows, or a larger machine"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_allocated(sections, said):
    before = peak_memory()
    with pytest.raises(UserError) as caught:
        assemble_run(config(**sections), SerialCommunicator())
    sentence = str(caught.value)
    assert sentence.startswith("1 rank on host ")
    assert " of memory, and " in sentence
    assert said in sentence
    assert "\n" not in sentence
    assert peak_memory() < before + 200 * 2**20


def test_a_picture_too_large_may_be_cut_into_fewer_patches():
    """Of 1801 x 1801 patches with 5000 states each; the stride that is named leaves so many that they fit."""
    image = np.zeros((2000, 2000, 1))
    dataset = PatchDataset(image, image, PatchGrid(image.shape, (200, 200), 1))
    with pytest.raises(UserError) as caught:
        assemble(config(S=5000, H=60).learning, dataset, SerialCommunicator())
    found = re.search(r": cut fewer patches, with (\d+) times the data.stride or a data.crop, or ", str(caught.value))
    assert found is not None
    stride, free = int(found[1]), available_memory() or 0
    for times, fits in ((stride + 1, True), (max(1, int(0.7 * stride)), False)):  # others take and give back memory
        n_rows = PatchGrid(image.shape, (200, 200), times).n_patches
        sizes = sizes_of(config(S=5000, H=60).learning, 40_000, dataset)
        needs = needs_of(sizes, Memory(), RowBlocks(n_rows, 64), 0, 1)
        assert (needs.total - min(needs.program, peak_memory()) < free) == fits


def test_what_is_proposed_fits():
    """The number of states that the message names is one that fits, and one more is not."""
    with pytest.raises(UserError) as caught:
        assemble_run(config(n_rows=10**8, S=5000, H=60), SerialCommunicator())
    n_states = int(str(caught.value).split("estep.n_states of ")[1].split()[0])
    free = available_memory() or 0
    blocks = RowBlocks(10**8, 1024)
    # Other programs may take or give back memory in between.
    for S, fits in ((int(0.7 * n_states), True), (int(1.4 * n_states) + 1, False)):
        needs = needs_of(sizes_of(config(S=S, H=60).learning, 9), Memory(), blocks, 0, 1)
        assert (needs.total - min(PROGRAM, peak_memory()) < free) == fits


IN_FILES = ("memory.data_budget=1kB", "memory.states_budget=1kB")


@pytest.mark.parametrize("precision", ["double", "single"])
def test_bits_do_not_depend_on_where_rows_and_states_lie(tmp_path, capsys, precision):
    runs = {}
    for name, changes in {"memory": (), "data": IN_FILES[:1], "states": IN_FILES[1:], "both": IN_FILES}.items():
        run = runs[name] = Runner(tmp_path / name, SEARCH, capsys)
        assert run(f"memory.precision={precision}", *changes).status == 0
        left = {path.name for path in run.folder.iterdir()}
        assert left <= {"checkpoints", "log.txt", "run.h5", "status.json"}
    assert len({run.digest for run in runs.values()}) == 1
    assert "memory: a rank takes up to " in runs["both"].log()
    assert "data 0 B, state sets 0 B" in runs["both"].log()


def test_bits_depend_on_the_precision_of_what_single_cannot_hold(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.random.default_rng(1).standard_normal((64, 5)))
    source = f"data={{kind: npy, path: {tmp_path / 'a.npy'}}}"
    digests = []
    for name, changes in {"double": (), "single": ("memory.precision=single",)}.items():
        run = Runner(tmp_path / name, SEARCH, capsys)
        assert run(source, *changes).status == 0
        digests.append(run.digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize("fields", ["", ", remove_mean: true", ", whiten: zca", ", missing: true"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4"])
def test_rows_of_a_file_are_learned_from_in_place(tmp_path, capsys, fields, dtype):
    values = np.random.default_rng(1).standard_normal((64, 5)).astype(dtype)
    if "missing" in fields:
        values[3, 2] = np.nan
    np.save(tmp_path / "a.npy", values)
    source = f"data={{kind: npy, path: {tmp_path / 'a.npy'}{fields}}}"
    memory, file = Runner(tmp_path / "memory", SEARCH, capsys), Runner(tmp_path / "file", SEARCH, capsys)
    assert (memory(source).status, file(source, *IN_FILES).status) == (0, 0)
    assert memory.digest == file.digest


def test_a_run_goes_on_with_rows_and_states_in_files(tmp_path, capsys):
    whole, cut = Runner(tmp_path / "whole", SEARCH, capsys), Runner(tmp_path / "cut", SEARCH, capsys)
    whole()
    assert cut("training.n_sweeps=5", *IN_FILES).status == 0
    assert cut().status == 0
    assert cut.digest == whole.digest


def test_bad_rows_are_found_where_they_would_be_read_in_place(tmp_path, capsys):
    values = np.ones((64, 5))
    values[40, 2] = np.inf
    np.save(tmp_path / "a.npy", values)
    done = Runner(tmp_path / "run", SEARCH, capsys)(f"data={{kind: npy, path: {tmp_path / 'a.npy'}}}", *IN_FILES)
    assert done.status == 2
    assert "row 40, column 2 (counted from 0) is inf" in done.err


PEAK = """
import sys
from prosper_ng.cli import main
from prosper_ng.parallel.memory import peak_memory
assert main(["run", "--quiet", *sys.argv[1:]]) == 0
print(peak_memory())
"""
LARGE = """
name: large
data: {kind: npy, path: PATH}
model: {kind: bsc, n_latents: 32}
estep: {kind: search, n_states: 20}
training: {n_sweeps: 1, block_rows: 256}
output: {figures: false, checkpoint_sweeps: 1}
"""


@pytest.fixture(scope="module")
def peak_of(tmp_path_factory):
    """(N, D, settings) -> the peak memory of a run in a process of its own, and the formula for it."""
    folder = tmp_path_factory.mktemp("peak")

    def measure(n_rows: int, n_observed: int, *changes: str) -> tuple[int, int]:
        np.save(folder / "rows.npy", np.random.default_rng(0).standard_normal((n_rows, n_observed)))
        text = LARGE.replace("PATH", str(folder / "rows.npy"))
        (folder / "run.yaml").write_text(text)
        settings = [argument for change in changes for argument in ("--set", change)]
        output = folder / f"run-{len(list(folder.iterdir()))}"
        command = [sys.executable, "-c", PEAK, str(folder / "run.yaml"), "--output", str(output), *settings]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
        from prosper_ng.config import load

        loaded = load(folder / "run.yaml", RunConfig, list(changes)).value
        blocks = RowBlocks(n_rows, loaded.training.block_rows, loaded.training.updates_per_sweep)
        needs = needs_of(sizes_of(loaded.learning, n_observed), loaded.memory, blocks, 0, 1)
        return int(done.stdout.splitlines()[-1]), needs.total

    measure(64, 4)  # compiles, so that no measurement is one of the compiler
    return measure


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("n_rows", "n_observed", "changes"),
    [
        (60_000, 256, ()),
        (60_000, 256, ("memory.precision=single",)),
        (60_000, 8, ("estep.n_states=40",)),
        (2_000, 300, ("model.n_latents=1000", "training.updates_per_sweep=4")),
        (2_000, 300, ("model={kind: gsc, n_latents: 800}",)),
    ],
)
def test_the_formula_is_what_a_run_takes(peak_of, n_rows, n_observed, changes):
    """Never more than 5 % above the formula, and at least 60 % of it: a compiler may take the rest."""
    peak_of(64, 4, *(change for change in changes if change.startswith("model=")))
    peak, formula = peak_of(n_rows, n_observed, *changes)
    assert 0.6 * formula < peak < 1.05 * formula


@pytest.mark.heavy
def test_beyond_data_and_states_memory_does_not_depend_on_the_number_of_rows(peak_of):
    in_files = ("memory.data_budget=1kB", "estep={kind: preselection, n_candidates: 5, max_active: 3}")
    peak_of(64, 4, *in_files)  # compiles
    fewer, more = (peak_of(n_rows, 128, *in_files)[0] for n_rows in (10_000, 40_000))
    assert abs(more - fewer) < 8 * 2**20  # the rows are 10 and 39 MiB
    fewer, more = (peak_of(n_rows, 128)[0] for n_rows in (10_000, 40_000))
    of_rows = 30_000 * (8 * 128 + 20 * 16)
    assert abs(more - fewer - of_rows) < 8 * 2**20
