"""`prosper-ng run ...` that fails in one phase of one rank: PHASE HOW RANK SWEEP ARGUMENTS...

HOW is defect (an exception) or kill. SWEEP is the number of times that the phase goes well before. The time of the
failure goes to the file named by FAILED_AT.
"""

import os
import signal
import sys
import time
from pathlib import Path

from prosper_ng import cli
from prosper_ng.environment import prepare_environment

prepare_environment()

from prosper_ng.data.sources._generated import GeneratedDataset  # noqa: E402
from prosper_ng.estep.search import Search  # noqa: E402
from prosper_ng.models.bsc import BSC  # noqa: E402
from prosper_ng.parallel.exact_sum import ExactSum  # noqa: E402
from prosper_ng.parallel.mpi import MpiCommunicator  # noqa: E402
from prosper_ng.storage import atomic, checkpoint, manifest  # noqa: E402
from prosper_ng.storage.checkpoint_folder import CheckpointFolder  # noqa: E402

PHASES = {
    "reading": (GeneratedDataset, "raw"),
    "E-step": (Search, "find"),
    "reduction": (ExactSum, "reduce"),
    "M-step": (BSC, "maximize"),
    "broadcast": (MpiCommunicator, "broadcast_in_place"),
    "gather": (MpiCommunicator, "gather_rows"),
    "write": (checkpoint.Writer, "close"),
    "rename": (atomic, "sync_folder"),
    "manifest": (manifest.Manifest, "write"),
    "prune": (CheckpointFolder, "prune"),
}
phase, how, rank, left = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
place, name = PHASES[phase]
original = getattr(place, name)


def failing(*arguments, **options):
    global left
    own = rank == (os.environ.get("PMI_RANK") or os.environ["OMPI_COMM_WORLD_RANK"])
    # Other files are renamed as well, and when depends on the clock.
    if own and (phase != "rename" or Path(arguments[0]).name == "checkpoints"):
        left -= 1
        if left < 0:
            Path(os.environ["FAILED_AT"]).write_text(str(time.time()), encoding="utf-8")
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError("injected by the test")
    return original(*arguments, **options)


setattr(place, name, failing)
sys.exit(cli.main(sys.argv[5:]))
