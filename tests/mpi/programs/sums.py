"""Exact sums and a selection over blocks of rows; root prints their bits. Without a launcher it is the serial twin."""

import json
import sys

import numpy as np

from prosper_ng.environment import prepare_environment

prepare_environment()

from prosper_ng.parallel import exact_sum  # noqa: E402
from prosper_ng.parallel.exact_sum import ExactSum  # noqa: E402
from prosper_ng.parallel.failure import ending_all_ranks_together  # noqa: E402
from prosper_ng.parallel.mpi import connect  # noqa: E402
from prosper_ng.parallel.rows import RowBlocks  # noqa: E402
from prosper_ng.parallel.selection import largest  # noqa: E402

BLOCKS = RowBlocks(n_rows=1003, block_rows=32, n_parts=3)
LENGTHS = [50, 0, 1, 300]


def statistics(block, sweep):
    rng = np.random.default_rng([block, sweep])
    values = rng.normal(size=sum(LENGTHS)) * 10.0 ** rng.uniform(-8, 8, size=sum(LENGTHS))
    values[:50] *= 1e-200
    values[50] *= 1e12**sweep  # its bins move from one sweep to the next
    if sweep == 2 and block == 17:
        values[[60, 61, 62]] = np.nan, np.inf, 1e300
    if sweep == 2 and block == 20:
        values[[61, 63]] = -np.inf, -np.inf
    return values


def main():
    comm = connect()
    with ending_all_ranks_together(comm):
        owned, sums, found = BLOCKS.owned(comm.rank, comm.size), ExactSum(LENGTHS), []
        for sweep in range(4):
            for part in range(BLOCKS.n_parts):
                sums.clear()
                for block in BLOCKS.blocks(part, owned):
                    sums.add(statistics(block, sweep))
                total, extras = sums.reduce(comm, np.array([1.0, len(BLOCKS.blocks(part, owned))]))
                assert extras[0] == comm.size
                exact_sum.LEAST_CUT = 0  # as if it were a large buffer
                cut, extras_again = sums.reduce(comm, extras / comm.size, to_root=True)
                exact_sum.LEAST_CUT = sys.maxsize
                assert not comm.is_root or cut.tobytes() == total.tobytes()
                assert np.allclose(extras_again, extras)
                found.append(total.tobytes().hex())
                found.append(extras[1])
        rows = BLOCKS.owned_rows(comm.rank, comm.size)
        values = np.random.default_rng(5).normal(size=BLOCKS.n_rows).round(2)[rows.start : rows.stop]
        found += [largest(values, k, comm) for k in (1, 10, 502, 1003)]
        if comm.is_root:
            print(json.dumps(found))


main()
