"""`prosper-ng doctor`: whether this machine, this launcher and this folder are fit for a run."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prosper_ng.diagnostics.finding import Finding
    from prosper_ng.parallel.communicator import Communicator
    from prosper_ng.parallel.mpi import LaunchError
    from prosper_ng.parallel.shared_memory import SharedMemory

HELP = "check the machine, the MPI launcher and the current folder; start it like a run: mpiexec -n 4 prosper-ng doctor"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")


def run(arguments: argparse.Namespace) -> int:
    """0 where no problem was found, else 1; warnings do not count."""
    import os

    from prosper_ng.parallel.communicator import SerialCommunicator
    from prosper_ng.parallel.failure import ending_all_ranks_together
    from prosper_ng.parallel.launcher import speaks_for_host
    from prosper_ng.parallel.mpi import LaunchError, connect
    from prosper_ng.parallel.shared_memory import look

    failure: LaunchError | None = None
    comm: Communicator
    shared = look()  # before MPI takes of it
    try:
        comm = connect()
    except LaunchError as error:
        failure, comm = error, SerialCommunicator()
    with ending_all_ranks_together(comm):
        findings = _examine(comm, failure, shared)
        n_problems = int(comm.broadcast(sum(finding.verdict == "problem" for finding in findings)))
    if comm.is_root and (failure is None or speaks_for_host(os.environ)):
        _print(findings, n_problems, arguments)
    return 1 if n_problems else 0


def _examine(comm: "Communicator", failure: "LaunchError | None", shared: "SharedMemory | None") -> "list[Finding]":
    """All findings on root; the other ranks take part where it takes all of them."""
    import os
    from pathlib import Path

    from prosper_ng.diagnostics import group_checks as group
    from prosper_ng.diagnostics import machine_checks as machine
    from prosper_ng.parallel.launcher import launch, local_size
    from prosper_ng.parallel.threads import available_cores
    from prosper_ng.paths import absolute

    findings = [
        *group.check_launch(comm, failure),
        *group.check_cores(comm),
        *group.check_sameness(comm),
        *group.check_speed(comm),
    ]
    if comm.is_root:
        findings += [
            *group.check_mpi(),
            *machine.check_shared_memory(
                shared, local_size(os.environ) if launch(os.environ) else 0, len(available_cores())
            ),
            *machine.check_kernel_cache(),
            *machine.check_files(absolute(Path())),
            *machine.check_leftovers(),
            *machine.check_slurm(),
        ]
    return findings


def _print(findings: "list[Finding]", n_problems: int, arguments: argparse.Namespace) -> None:
    import json

    if arguments.json:
        print(json.dumps({"problems": n_problems, "findings": [finding.as_dict() for finding in findings]}, indent=2))
        return
    for finding in findings:
        if finding.verdict != "OK" or not arguments.quiet:
            print(finding.lines())
    if not arguments.quiet:
        print(f"\n{n_problems} problem{'' if n_problems == 1 else 's'}")
