"""Cost of an order-free sum against a plain `total += x`, per entry."""

import argparse
import time
from collections.abc import Callable

import numpy as np

from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.exact_sum import ExactSum


def best_time(action: Callable[[], object], seconds: float) -> float:
    """Shortest wall time of one call, among as many as fit into `seconds`."""
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="measuring time per number (default: %(default)s)")
    seconds = parser.parse_args().seconds
    rng = np.random.default_rng(0)
    print("   entries   segment   plain ns   exact ns   ratio   clear ns  reduce ns")
    cases = [(1_000, 1), (10_000, 10), (10_000, 100), (80_000, 256), (300_000, 512), (1_000_000, 1_000)]
    for n_entries, length in [*cases, (1_000_000, 1_000_000)]:
        x = rng.normal(size=n_entries)
        total = np.zeros(n_entries)
        exact = ExactSum(np.diff(np.append(np.arange(0, n_entries, length), n_entries)))
        exact.add(x)

        def plain(total: np.ndarray = total, x: np.ndarray = x) -> None:
            np.add(total, x, out=total)

        def add(exact: ExactSum = exact, x: np.ndarray = x) -> None:
            exact._n_summands = 0  # the counter alone: this measures more additions than one sum may hold
            exact.add(x)

        def reduce(exact: ExactSum = exact) -> None:
            exact.reduce(SerialCommunicator(), np.zeros(4))

        times = [best_time(action, seconds) / n_entries * 1e9 for action in (plain, add, exact.clear)]
        exact.clear()
        exact.add(x)
        times.append(best_time(reduce, seconds) / n_entries * 1e9)
        print(
            f"{n_entries:>10}  {length:>8}  {times[0]:>9.3f}  {times[1]:>9.3f}  {times[1] / times[0]:>6.2f}"
            f"  {times[2]:>9.3f}  {times[3]:>9.3f}"
        )


if __name__ == "__main__":
    main()
