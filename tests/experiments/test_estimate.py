"""What a run will take: bytes exactly, memory by the formula, time as a run then takes it."""

import json
import re

import h5py
import numpy as np
import pytest
import yaml
from small_runs import Runner

from prosper_ng import cli
from prosper_ng.config import from_mapping
from prosper_ng.experiments.checkpoint_times import checkpoint_bytes
from prosper_ng.experiments.estimate import BANDWIDTH, Costs, Estimate, Traffic, estimate, traffic_of
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import Output, RunConfig
from prosper_ng.learning.memory import Needs, needs_of, sizes_of
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.em import TruncatedEM

TEXT = """
name: estimated
seed: 3
data: {kind: bars, n_bars: 8, n_rows: 6000}
model: {kind: bsc, n_latents: 70}
estep: {kind: search, n_states: 30}
training: {n_sweeps: 12, updates_per_sweep: 4, block_rows: 256}
output: {figures: false}
"""
MODELS = (
    {"kind": "bsc", "n_latents": 7, "data_mean": True},
    {"kind": "dsc", "n_latents": 7, "values": (0.0, 1.0, 2.0)},
    {"kind": "mca", "n_latents": 7},
    {"kind": "gsc", "n_latents": 7, "noise": "full"},
)


def config(**sections) -> RunConfig:
    whole = {
        "name": "estimated",
        "data": {"kind": "bars", "n_bars": 8, "n_rows": 300},
        "model": MODELS[0],
        "estep": {"kind": "search", "n_states": 9},
        "training": {"n_sweeps": 6, "updates_per_sweep": 2, "block_rows": 32},
    }
    return from_mapping({**whole, **sections}, RunConfig).value


def counting(comm):
    """The communicator, which from now on counts the bytes that go through its sums and broadcasts."""
    comm.n_summed = comm.n_broadcast = 0
    add, broadcast = comm.sum_in_place, comm.broadcast_in_place

    def count_sum(values):
        comm.n_summed += values.nbytes
        add(values)

    def count_broadcast(values):
        comm.n_broadcast += values.nbytes
        broadcast(values)

    comm.sum_in_place, comm.broadcast_in_place = count_sum, count_broadcast
    return comm


def traffic_of_sweeps(config: RunConfig, comm) -> list[Traffic]:
    """The bytes that went through a rank in each sweep."""
    parts, found = assemble_run(config, comm), []
    counting(comm)
    for _ in TruncatedEM(parts.problem, config.training).sweeps(parts.start()):
        found.append(Traffic(comm.n_summed, comm.n_broadcast))
        comm.n_summed = comm.n_broadcast = 0
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["kind"])
def test_bytes_of_a_sweep_are_exact(model):
    """In some sweeps numbers outgrow their bins, and are sent again; all others send what was estimated."""
    found = traffic_of_sweeps(config(model=model), SerialCommunicator())
    assert min(found) == traffic_of(config(model=model), 16, 1)
    assert found.count(min(found)) >= 3


def test_rows_held_out_add_a_number_to_what_is_sent_and_restarts_their_sweeps():
    whole = config(data={"kind": "bars", "n_bars": 8, "n_rows": 300, "held_out": 0.2})
    found = traffic_of_sweeps(whole, SerialCommunicator())
    assert min(found) == traffic_of(whole, 16, 1)
    assert min(found)[0] > traffic_of(config(), 16, 1)[0]
    annealing = {"row_fraction": [[0, 0.25], [2, 1.0]]}
    training = {"n_sweeps": 4, "restarts": 2, "restart_sweeps": 3, "block_rows": 32, "annealing": annealing}
    asked = estimate(config(training=training), 1)
    assert asked.places == (0, 1, 2, 0, 1, 2, 0, 1, 2, 3)
    assert asked.row_fractions == (0.25, 0.625, 1.0, 0.25, 0.625, 1.0, 0.25, 0.625, 1.0, 1.0)


SECTIONS = {
    "name": "estimated",
    "data": {"kind": "bars", "n_bars": 8, "n_rows": 6000},
    "model": {"kind": "bsc", "n_latents": 70},
    "training": {"n_sweeps": 2, "updates_per_sweep": 4, "block_rows": 256},
}


@pytest.mark.parametrize("estep", ["{kind: search, n_states: 9}", "{kind: preselection}"])
def test_bytes_of_a_checkpoint_are_exact(tmp_path, capsys, estep):
    run = Runner(tmp_path / "run", TEXT, capsys)
    assert run("training.n_sweeps=2", f"estep={estep}").status == 0
    written = 0

    def count(name: str, item: object) -> None:
        nonlocal written
        if isinstance(item, h5py.Dataset) and name.startswith(("rows/", "root/")) and "history" not in name:
            written += item.size * item.dtype.itemsize

    (file,) = (run.folder / "checkpoints").glob("*.h5")
    with h5py.File(file) as content:
        content.visititems(count)
    loaded = from_mapping({**SECTIONS, "estep": yaml.safe_load(estep)}, RunConfig).value
    found = estimate(loaded, 1)
    assert found.checkpoint_bytes == written
    assert found.checkpoint_bytes == checkpoint_bytes(sizes_of(loaded.learning, 16), found.blocks)


def estimated(tmp_path, capsys, *arguments: str) -> dict:
    (tmp_path / "run.yaml").write_text(TEXT)
    capsys.readouterr()
    assert cli.main(["estimate", str(tmp_path / "run.yaml"), "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_time_on_one_rank_is_right_within_a_factor_of_two(tmp_path, capsys):
    """Whatever else the machine does, which changes from one moment to the next: one of several attempts is enough."""
    ratios = []
    for attempt in range(5):
        predicted = estimated(tmp_path, capsys)["sweep_seconds"]
        run = Runner(tmp_path / f"run-{attempt}", TEXT, capsys)
        assert run().status == 0
        ratios.append(predicted / np.median(np.diff(run.history["elapsed"])))
        if 0.5 < ratios[-1] < 2:
            return
    pytest.fail(f"the estimate was {ratios} times what a sweep took")


def test_what_more_ranks_change(tmp_path, capsys):
    one, many = (estimated(tmp_path, capsys, "--ranks", str(n_ranks)) for n_ranks in (1, 8))
    assert one["memory_bytes"]["data"] == 8 * 6000 * 16
    assert many["memory_bytes"]["data"] == 8 * 16 * 3 * 256  # 24 blocks, 3 on each rank
    assert (one["efficiency"], one["network_seconds"]) == (pytest.approx(1.0), 0.0)
    assert 0 < many["network_seconds"] < many["sweep_seconds"] < one["sweep_seconds"]
    assert many["efficiency"] == pytest.approx(many["core_hours"] and one_over(many), rel=1e-9)
    faster = estimated(tmp_path, capsys, "--ranks", "8", "--network", "100TB")
    assert faster["network_seconds"] < many["network_seconds"]


def one_over(found: dict) -> float:
    """The efficiency by hand: one rank has all 24 blocks, 6 in each of 4 parts; of 8 ranks each has at most one."""
    costs, n_updates = Costs(**found["pilot"]), 4
    alone = n_updates * (costs.prepare + 6 * costs.block + costs.local + costs.m_step)
    together = n_updates * (costs.prepare + costs.block + costs.local + costs.m_step) + found["network_seconds"]
    return alone / (8 * together)


def test_the_network(tmp_path):
    assert Traffic(10**9, 10**8).seconds(1, 5) == 0
    assert Traffic(10**9, 10**8).seconds(1000, 1) == pytest.approx(2.1e9 / BANDWIDTH, rel=1e-2)
    assert Traffic(8, 8).seconds(1024, 3) == pytest.approx(3 * 3 * 10 * 5e-6, rel=1e-2)


def test_lines(tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(TEXT)
    assert cli.main(["estimate", str(tmp_path / "run.yaml"), "--ranks", "30"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == {"rows", "memory", "network", "checkpoint", "time", "pilot", "efficiency", "core", "whole"}
    assert lines["rows"].startswith("6,000 of 16 values, in 24 blocks of 256; up to 1 blocks on each of 30 ranks, of w")
    assert "sweeps over 8 blocks on this machine" in lines["pilot"]
    whole = (
        r"run +\d+ s on 30 ranks: \d+ s to start, \d+ s for 12 sweeps, 0 s for 1 checkpoint; the task's own results .*"
    )
    assert re.fullmatch(whole, lines["whole"])


def test_the_whole_time_follows_the_schedules():
    """By hand: 64 blocks on 2 ranks; sets grow until sweep 2, and the first sweep visits half of the rows."""
    costs = Costs(0.5, 0.3, 0.25, 0.25, 8, 9, ((0, 0.1), (2, 0.3)), 1e-3, 7.0)
    found = Estimate(
        2, 16, RowBlocks(640, 10, 4), 4, Needs(0, 0, 0, 0, 0), Traffic(0, 0), 10**9, costs, 1e9,
        (0.5, 1.0, 1.0, 1.0), Output(checkpoint_sweeps=2, checkpoint_minutes=None),
    )  # fmt: skip
    assert found.sweep_seconds == pytest.approx(4 * (1.0 + 8 * 0.3), abs=1e-3)
    blocks = 32 * (0.5 * 0.1 + 0.2 + 0.3 + 0.3)
    assert found.sweeps_seconds == pytest.approx(4 * 4 * 1.0 + blocks, abs=1e-3)
    assert found.n_checkpoints == 2
    assert found.seconds == pytest.approx(2.0 + 7.0 + 0.32 + found.sweeps_seconds + 2 * 5.05)
    assert found._replace(row_fractions=(), costs=costs._replace(blocks=())).sweeps_seconds == pytest.approx(
        4 * found.sweep_seconds
    )
    by_minutes = found._replace(output=Output(checkpoint_minutes=0.1))
    assert by_minutes.n_checkpoints == 1 + int(found.sweeps_seconds / 6)


def test_the_pilot_looks_at_an_e_step_wherever_its_schedules_turn():
    scheduled = config(
        estep={"kind": "search", "n_states": 40, "share": [[0, 0.1], [3, 1.0], [90, 1.0]]},
        training={"n_sweeps": 6, "block_rows": 32, "annealing": {"row_fraction": [[0, 0.5], [4, 1.0]]}},
    )
    found = estimate(scheduled, 1)
    assert isinstance(found.costs, Costs)
    assert [sweep for sweep, _ in found.costs.blocks] == [0, 3, 5]
    assert found.costs.block == found.costs.blocks[-1][1]
    assert found.row_fractions == (0.5, 0.625, 0.75, 0.875, 1.0, 1.0)


def test_a_run_that_does_not_fit_here_is_estimated_all_the_same(tmp_path, capsys):
    found = estimated(tmp_path, capsys, "--set", "data.n_rows=1000000000000", "--ranks", "1000")
    whole = config(data={"kind": "bars", "n_bars": 8, "n_rows": 10**12}, model=SECTIONS["model"])
    assert found["memory_bytes"]["data"] > 8e9 * 16 * 0.99
    assert found["sweep_seconds"] > 100
    assert sizes_of(whole.learning, 16).row_bytes == 9 * 24
    found = estimated(tmp_path, capsys, "--set", "model.n_latents=200000")
    assert found["pilot"]["failed"].startswith("no pilot could be run: 1 rank on host")
    assert (found["sweep_seconds"], found["core_hours"]) == (None, None)
    assert found["memory_bytes"]["statistics"] > 8 * (12 / 2 + 5) * 200000**2


def test_memory_is_that_of_the_largest_rank():
    found = estimate(config(), 4)
    each = [needs_of(sizes_of(config().learning, 16), config().memory, found.blocks, rank, 4) for rank in range(4)]
    assert found.needs == max(each, key=lambda needs: needs.total)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ranks", "0"], "'0' is not a whole number of 1 or more"),
        (["--ranks", "many"], "'many' is not a whole number of 1 or more"),
        (["--network", "fast"], "--network 'fast' is not a size; legal is a number of bytes, or like 500MB"),
        (["--set", "model.n_latent=3"], "n_latent"),
        (["--set", "data={kind: npy, path: nowhere.npy}"], "nowhere.npy: no such file"),
        (["--set", "training.updates_per_sweep=100"], "legal are 1 to 24 updates"),
        (["--set", "task={kind: denoise}"], "task denoise needs the patches of an image"),
    ],
)
def test_errors_are_sentences(tmp_path, capsys, arguments, said):
    (tmp_path / "run.yaml").write_text(TEXT)
    assert cli.main(["estimate", str(tmp_path / "run.yaml"), *arguments]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
