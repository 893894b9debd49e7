"""Times EM iterations of EVO: `python -m contenders.time_evo START_FOLDER EVERY CHECKOUT`; peers.py starts this."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from contenders.turns import Start, Sweep, take_turns

sys.path.insert(0, sys.argv[3])

from evo.models import BSC, SSSC
from evo.variational.utils import init_states


def params_of(given: Start) -> dict[str, Any]:
    """The parameters as EVO names them; its binary coding has one activity for all latents."""
    sigma, pi = float(given.params["sigma"]), given.params["pi"]
    if given.workload["model"]["kind"] == "bsc":
        return {"W": given.params["W"].copy(), "pi": float(pi.mean()), "sigma": sigma}
    slabs = {"mus": given.params["mu"].copy(), "Psi": np.diag(given.params["psi"])}
    return {"W": given.params["W"].copy(), "pies": pi.copy(), "sigma2": np.float64(sigma**2), **slabs}


def main() -> None:
    given = Start.read(Path(sys.argv[1]), int(sys.argv[2]))
    (n_rows, n_observed), n_latents = given.rows.shape, given.sizes[1]
    estep = given.workload["estep"]
    n_states, how = estep["n_states"], estep["variations"][0]
    sizes = (how["n_parents"], how["n_children"], how["n_generations"])
    model = {"bsc": BSC, "gsc": SSSC}[given.workload["model"]["kind"]](n_observed, n_latents, n_states)
    data = {"y": given.rows, "x": np.zeros(given.rows.shape, bool), "x_infr": np.ones(given.rows.shape, bool)}

    def begin() -> Sweep:
        params = params_of(given)
        sets = init_states(1, n_states, n_latents, "fit", "randflip", *sizes)
        sets["ss"], sets["lpj"] = given.states.copy(), np.empty((n_rows, n_states))

        def sweep() -> np.ndarray:
            nonlocal params
            params = model.step(params, sets, data)[-1]
            return np.asarray(params["W"])

        return sweep

    n_evaluated = n_states + how["n_parents"] * how["n_children"] * how["n_generations"]
    take_turns(n_rows, n_evaluated, f"NumPy {np.__version__}", begin)


if __name__ == "__main__":
    main()
