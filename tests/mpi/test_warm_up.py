from tests.conftest import both_libraries

KERNEL = """
from prosper_ng.kernels import kernel

@kernel
def double(x):
    return 2 * x
"""

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from prosper_ng.environment import prepare_environment
prepare_environment()
from prosper_ng.errors import UserError
from prosper_ng.parallel.mpi import connect
from prosper_ng.parallel.warm_up import warm_up
from kernel import double

comm = connect()
warm_up(comm, lambda: double(1.0))
compiled = comm.gather(sum(double.stats.cache_misses.values()))
loaded = comm.gather(sum(double.stats.cache_hits.values()))

def fail():
    if comm.rank == 2:
        raise UserError("no compiler")

try:
    warm_up(comm, fail)
except UserError as error:
    raised = comm.gather((str(error), error.__notes__[0].partition(", host")[0]))
if comm.is_root:
    print(compiled, loaded, *raised, sep="\\n")
"""


@both_libraries
def test_one_rank_compiles_and_the_others_load(mpiexec, tmp_path):
    (tmp_path / "kernel.py").write_text(KERNEL, encoding="utf-8")
    done = mpiexec(3, str(tmp_path), code=PROGRAM, env={"XDG_CACHE_HOME": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "[1, 0, 0]",
        "[0, 1, 1]",
        *["('no compiler', 'while compiling kernels on rank 2 of 3')"] * 3,
    ]
