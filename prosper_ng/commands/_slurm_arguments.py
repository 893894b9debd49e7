"""The arguments that all commands share which submit jobs."""

import argparse
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import path_argument

if TYPE_CHECKING:
    from prosper_ng.slurm.options import JobOptions

_PASSED_ON = {
    "account": "whom the time is charged to",
    "partition": "where to run",
    "qos": "the quality of service",
    "constraint": "what the nodes must have",
    "mem": "memory of each node, such as 16G",
    "mem-per-cpu": "memory of each CPU",
    "mail-type": "when to send mail, such as END,FAIL",
    "mail-user": "where to send it",
}


def add_slurm_arguments(parser: argparse.ArgumentParser) -> None:
    """Add everything that is said to Slurm, for `job_options` and `site_lines`."""
    group = parser.add_argument_group("Slurm")
    group.add_argument("--nodes", type=int, metavar="N", default=1, help="nodes of a run; 1 where not given")
    group.add_argument("--ntasks-per-node", type=int, metavar="N", help="MPI ranks on each node")
    group.add_argument("--cpus-per-task", type=int, metavar="N", default=1, help="threads of each rank; 1 by default")
    group.add_argument("--time", metavar="TIME", help="the time limit, like 1h30m, or as Slurm writes it")
    group.add_argument(
        "--warning",
        type=int,
        metavar="SECONDS",
        help="stop with a checkpoint this long before the limit; 120 by default",
    )
    group.add_argument(
        "--stopped-ok",
        action="store_true",
        help="end with 0 instead of 75 where a run was stopped with a checkpoint and is not started again, for jobs "
        "that wait for it by afterok",
    )
    for name, meaning in _PASSED_ON.items():
        group.add_argument(f"--{name}", metavar="X", help=f"{meaning}; passed on")
    group.add_argument(
        "--sbatch",
        metavar="NAME[=VALUE]",
        action="append",
        default=[],
        help="any other option of sbatch, such as exclusive or nice=100; may be given several times",
    )
    group.add_argument(
        "--site",
        type=path_argument,
        metavar="FILE",
        help="lines of shell that the job begins with, such as module load openmpi",
    )
    group.add_argument("--dry-run", action="store_true", help="show the script, and do nothing")


def job_options(arguments: argparse.Namespace, n_ranks: int = 1) -> "JobOptions":
    """What is asked of Slurm; `n_ranks` is what a run has where --ntasks-per-node is not given. Raises UserError."""
    from prosper_ng.slurm.options import JobOptions, parse_limit

    given = [(name, getattr(arguments, name.replace("-", "_"))) for name in _PASSED_ON]
    named = tuple((name, value) for name, value in given if value is not None)
    options = JobOptions(
        nodes=arguments.nodes,
        ntasks_per_node=arguments.ntasks_per_node or 1,
        cpus_per_task=arguments.cpus_per_task,
        time=None if arguments.time is None else parse_limit(arguments.time),
        warning=arguments.warning,
        stopped_ok=arguments.stopped_ok,
        others=named + tuple(_split(each) for each in arguments.sbatch),
    )
    return options if arguments.ntasks_per_node is not None else options.with_ranks(max(n_ranks, options.nodes))


def site_lines(arguments: argparse.Namespace) -> str | None:
    """The lines of --site; None without it. Raises UserError where the file cannot be read."""
    from prosper_ng.errors import UserError

    if arguments.site is None:
        return None
    try:
        return str(arguments.site.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--site {arguments.site} cannot be read ({error})") from None


def _split(option: str) -> tuple[str, str | None]:
    name, mark, value = option.removeprefix("--").partition("=")
    return name, value if mark else None
