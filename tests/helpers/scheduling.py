"""Which tests run beside each other where several processes share them: all but those that want the machine alone."""

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ALONE = {"mpi", "slurm", "browser"}
"""The folders of these tests, which are also marked by their names."""

_LAST = "alone"


class AloneAtTheEnd(LoadScopeScheduling):
    """Hands out files, the largest first; what is in the folders above comes last, one by one, on the last worker.

    A worker keeps its last test until it is told what comes after it, or that nothing does. So the others are told the
    latter as soon as nothing else is left, and it begins when they are done.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _LAST if ALONE & set(file.split("/")[:-1]) else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        if _LAST in self.workqueue:
            self.workqueue.move_to_end(_LAST)
        if next(iter(self.workqueue)) != _LAST:
            super()._assign_work_unit(node)
            return
        others = [other for other in self.nodes if other is not node]
        if any(not other.shutting_down for other in others):
            node.shutdown()
        elif not any(self._pending_of(self.assigned_work[other]) for other in others):
            super()._assign_work_unit(node)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        for each in self.nodes:
            self._reschedule(each)
