"""Which tests run beside each other where several processes share them: files, then those that start ranks and jobs."""

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

LANES = {"mpi": "ranks", "browser": "ranks", "slurm": "jobs"}
"""What the tests of these folders share with each other, one by one; the folders also name their marks."""


class LanesAtTheEnd(LoadScopeScheduling):
    """Hands out files, the largest first, then the lanes, each to one worker.

    Ranks keep all cores busy, and so come one test at a time. Jobs of Slurm mostly wait, and do so beside them.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((LANES[folder] for folder in file.split("/")[:-1] if folder in LANES), file)

    def _assign_work_unit(self, node: WorkerController) -> None:
        for lane in sorted(set(LANES.values()) & self.workqueue.keys(), reverse=True):
            self.workqueue.move_to_end(lane)
        super()._assign_work_unit(node)
