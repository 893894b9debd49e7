import sys
from pathlib import Path

from tests.conftest import on_libraries

PROGRAM = Path(__file__).parent / "programs" / "checkpoints.py"


@on_libraries("n_ranks", [1, 2, 3], 2)
def test_any_number_of_ranks_reads_what_another_number_wrote(mpiexec, tmp_path, n_ranks):
    saved = mpiexec(n_ranks, sys.executable, PROGRAM, "save", tmp_path)
    assert (saved.returncode, saved.stdout, saved.stderr) == (0, f"loaded 2 with 0 notes on {n_ranks} ranks\n", "")
    n_others = n_ranks % 3 + 1
    loaded = mpiexec(n_others, sys.executable, PROGRAM, "load", tmp_path)
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, f"loaded 2 with 0 notes on {n_others} ranks\n", "")
