"""`prosper-ng estimate FILE --ranks N`: what a run will take, without running it."""

import argparse
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import add_config_arguments, load_run_config
from prosper_ng.commands._learned import positive

if TYPE_CHECKING:
    from prosper_ng.experiments.estimate import Estimate

HELP = "say what a run will take on some ranks: memory, time, bytes on the wire and on disk, core hours"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument("--ranks", type=positive, default=1, metavar="N", help="how many ranks it will run on (1)")
    parser.add_argument(
        "--network", default="1.25GB", metavar="SIZE", help="bytes a second between ranks (1.25GB, which is 10 Gbit/s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def run(arguments: argparse.Namespace) -> int:
    """0 once it is printed. Raises UserError where the run could not be run at all."""
    from prosper_ng.data.memory_settings import bytes_of
    from prosper_ng.errors import UserError
    from prosper_ng.experiments.completion import completed
    from prosper_ng.experiments.estimate import estimate

    loaded = load_run_config(arguments)
    config = completed(loaded, loaded.value.folder).value
    try:
        bandwidth = bytes_of(arguments.network, "--network")
    except ValueError as error:
        raise UserError(str(error)) from None
    found = estimate(config, arguments.ranks, bandwidth)
    if arguments.json:
        _print_json(found)
    else:
        _print_lines(found)
    return 0


def _print_lines(found: "Estimate") -> None:
    from prosper_ng.data.memory_settings import text_of

    blocks, traffic, costs = found.blocks, found.traffic, found.costs
    n_idle = sum(len(blocks.owned(rank, found.n_ranks)) == 0 for rank in range(found.n_ranks))
    idle = f", of which {n_idle} have nothing to do" if n_idle else ""
    lines = {
        "rows": f"{blocks.n_rows:,} of {found.n_observed} values, in {blocks.n_blocks:,} blocks of "
        f"{blocks.block_rows:,}; up to {found.most_blocks:,} blocks on each of {found.n_ranks:,} ranks{idle}",
        "memory": f"up to {found.needs} on a rank",
        "network": f"{text_of(traffic.reduced)} reduced and {text_of(traffic.broadcast)} broadcast by each rank in a "
        f"sweep of {blocks.n_parts} updates",
        "checkpoint": text_of(found.checkpoint_bytes),
    }
    if isinstance(costs, str):
        lines["time"] = costs
    else:
        n_updates = blocks.n_parts
        lines["time"] = (
            f"{_seconds(found.sweep_seconds)} for a sweep: each update {_seconds(costs.prepare)} to begin, "
            f"{_seconds(costs.block)} for each block, {_seconds(costs.m_step + costs.local)} for the M-step, "
            f"{_seconds(found.network_seconds / n_updates)} on the network"
        )
        lines["pilot"] = f"{costs.n_sweeps} sweeps over {costs.n_blocks} blocks on this machine, without annealing"
        lines["efficiency"] = f"{found.efficiency:.2f} of what one rank gets out of a core"
        lines["core hours"] = f"{found.core_hours:.3g} for {found.n_sweeps:,} sweeps"
        lines["whole run"] = _whole(found)
    for name, text in lines.items():
        print(f"{name:<12}{text}")


def _whole(found: "Estimate") -> str:
    """The time that the run takes, and what of."""
    from prosper_ng.progress import duration

    assert found.seconds is not None
    assert found.start_seconds is not None
    assert found.sweeps_seconds is not None
    ranks = "1 rank" if found.n_ranks == 1 else f"{found.n_ranks:,} ranks"
    n_checkpoints = found.n_checkpoints
    checkpoints = "1 checkpoint" if n_checkpoints == 1 else f"{n_checkpoints:,} checkpoints"
    task, rest = "", "the task's own results and pictures"
    if found.task_seconds:
        task, rest = f", {duration(found.task_seconds)} for the task after them", "pictures"
    return (
        f"{duration(found.seconds)} on {ranks}: {duration(found.start_seconds)} to start, "
        f"{duration(found.sweeps_seconds)} for {found.n_sweeps:,} sweeps, {duration(found.checkpoints_seconds)} for "
        f"{checkpoints}{task}; {rest} come on top"
    )


def _print_json(found: "Estimate") -> None:
    import json

    costs = found.costs
    values = {
        "n_ranks": found.n_ranks,
        "n_rows": found.blocks.n_rows,
        "n_blocks": found.blocks.n_blocks,
        "n_updates": found.blocks.n_parts,
        "memory_bytes": found.needs._asdict() | {"total": found.needs.total},
        "traffic_bytes": found.traffic._asdict(),
        "checkpoint_bytes": found.checkpoint_bytes,
        "pilot": {"failed": costs} if isinstance(costs, str) else costs._asdict(),
        "network_seconds": found.network_seconds,
        "sweep_seconds": found.sweep_seconds,
        "efficiency": found.efficiency,
        "core_hours": found.core_hours,
        "sweeps_seconds": found.sweeps_seconds,
        "start_seconds": found.start_seconds,
        "checkpoints_seconds": found.checkpoints_seconds,
        "task_seconds": found.task_seconds,
        "seconds": found.seconds,
    }
    print(json.dumps(values, indent=2))


def _seconds(seconds: float | None) -> str:
    """A duration as people say it."""
    assert seconds is not None
    if seconds == 0 or seconds >= 1:
        return f"{seconds:,.3g} s"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"
