"""What a thousand ranks ask of a shared file system when they start: counted by Python's own audit events."""

import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from prosper_ng import cli
from tests.helpers.small_runs import SEARCH

AUDITED = """
import os, sys
read, written = [], []

def note(event, details):
    if event == "open" and isinstance(details[0], str):
        path, mode, flags = details
        if flags & (os.O_WRONLY | os.O_RDWR) and not path.startswith(("/dev/", "/proc/")):
            written.append(path)
        else:
            read.append(path)
    elif event in {f"os.{name}" for name in "mkdir rename remove rmdir utime truncate link symlink".split()}:
        written.append(f"{event} {details[0]}")

sys.addaudithook(note)
"""
RUN = (
    AUDITED
    + """
import json
from prosper_ng import cli, compiling

with compiling.told(False) as tally:
    status = cli.main(["run", sys.argv[1], "--quiet", "--output", sys.argv[2]])
from mpi4py import MPI
modules = {getattr(module, "__file__", None) for module in sys.modules.values()}
looked_into = [path for path in read if path.endswith((".py", "entry_points.txt")) and path not in modules]
written = [each for each in written if "__pycache__" not in each]
local = ("/proc/", "/sys/", "/dev/", "/etc/")
shared = {path for path in read if not path.startswith(local) and ".dist-info" not in path}
sources = {path.replace("__pycache__/", "").partition(".cpython-")[0].removesuffix(".py") for path in shared}
found = MPI.COMM_WORLD.gather((status, tally.n_kernels, looked_into, written, len(sources), "h5py" in sys.modules))
if found:
    print(json.dumps(found))
"""
)


@pytest.mark.heavy
def test_a_warm_rank_reads_no_sources_and_writes_nothing_where_all_ranks_look(mpiexec, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(SEARCH, encoding="utf-8")
    assert cli.main(["run", str(config), "--output", str(tmp_path / "alone"), "--quiet"]) == 0
    done = mpiexec(2, config, tmp_path / "run", code=RUN)
    assert done.returncode == 0, done.stderr
    root, other = json.loads(done.stdout)
    assert (root[:2], other[:2]) == ([0, 0], [0, 0])
    # numba looks once for what extends it.
    assert {n for path, n in Counter(other[2]).items() if path.endswith(".txt")} <= {1}
    assert [path for path in other[2] if path.endswith(".py")] == []
    assert other[3] == []
    # Those that Python opens itself; libraries of numba, NumPy and MPI that the system looks for come on top.
    assert other[4] < 1200
    assert (root[5], other[5]) == (True, False)
    assert any(path.startswith(str(tmp_path / "run")) for path in root[3])  # what is counted is there


LOOKING = (
    AUDITED
    + """
from prosper_ng.environment import prepare_environment
prepare_environment()
from prosper_ng import kernel_cache
from prosper_ng.parallel.mpi import connect

found, find, identity = [], kernel_cache.find, kernel_cache.identity
kernel_cache.find = lambda *given, **named: found.append(1) or find(*given, **named)
kernel_cache.identity = lambda: identity() + str(int(os.environ.get("PMI_RANK", os.environ.get("PMIX_RANK"))) // 2)
comm = connect()
places = kernel_cache.places()
told = comm.gather((len(found), str(places.write), list(map(str, places.read)), written))
if comm.is_root:
    import json

    print(json.dumps(told))
"""
)


def test_one_rank_of_each_host_looks_for_kernels_and_copies_them_to_a_disk_of_its_own(mpiexec, tmp_path):
    """Ranks 0 and 1 run from the same files, rank 2 from others, as in another container."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        environment = {"XDG_CACHE_HOME": str(tmp_path), "TMPDIR": scratch}
        first, again = (json.loads(mpiexec(3, code=LOOKING, env=environment).stdout) for _ in range(2))
        (kernels,) = {Path(each[1]) for each in (*first, *again)}
        assert kernels.parent == tmp_path / "prosper_ng" / "kernels"
        copy = Path(scratch, f"prosper_ng-{os.getuid()}", "copies", kernels.name)
        for told in (first, again):
            assert [each[0] for each in told] == [1, 0, 1]
            assert [each[2] for each in told] == [[str(copy), str(kernels)], [str(copy), str(kernels)], [str(kernels)]]
            assert [each[3] for each in told][1:] == [[], []]
