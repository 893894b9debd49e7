"""Times EM iterations of prosper_ng: `python -m contenders.time_own START_FOLDER`; peers.py starts this."""

import sys
from pathlib import Path

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from contenders.turns import Start, Sweep, take_turns
from workloads import assembly_of

from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training


def main() -> None:
    folder = Path(sys.argv[1])
    given = Start.read(folder, 1)
    model, estep = given.workload["model"], given.workload["estep"]
    parts = assembly_of(folder / "rows.npy", model, estep, folder / "start.npz")
    codes = np.load(folder / "codes.npy") if given.states is not None else None
    em = TruncatedEM(parts.problem, Training(n_sweeps=1_000_000))
    n_states = 0

    def begin() -> Sweep:
        state = start(parts.problem, parts.initial.copy())
        if "codes" in state.rows:
            state.rows["codes"][...] = codes
        sweeps = em.sweeps(state)

        def sweep() -> np.ndarray:
            nonlocal n_states
            n_states = round(next(sweeps).n_evaluated)
            return state.params["W"]

        return sweep

    begin()()  # compiles or loads kernels
    take_turns(len(given.rows), n_states, f"NumPy {np.__version__}", begin)


if __name__ == "__main__":
    main()
