"""Times EM iterations of ProSper: `python -m contenders.time_prosper START_FOLDER EVERY CHECKOUT`; see peers.py."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from contenders.turns import Start, Sweep, take_turns

sys.path.insert(0, sys.argv[3])

from prosper.em.annealing import LinearAnnealing
from prosper.em.camodels import bsc_et, dsc_et, gsc_et, mca_et, mmca_et, tsc_et


def model_of(given: Start) -> Any:
    """The model; ternary coding needs a name in its module that its source forgot."""
    fields, estep = given.workload["model"], given.workload["estep"]
    sizes = (*given.sizes, estep["n_candidates"], estep["max_active"])
    tsc_et.states = np.array([-1.0, 0.0, 1.0])
    if fields["kind"] == "dsc":
        return dsc_et.DSC_ET(*sizes, states=np.array(fields["values"]))
    if fields["kind"] == "gsc":
        return gsc_et.GSC(*sizes, sigma_sq_type="scalar")
    classes = {"bsc": bsc_et.BSC_ET, "tsc": tsc_et.TSC_ET, "mca": mca_et.MCA_ET, "mmca": mmca_et.MMCA_ET}
    return classes[fields["kind"]](*sizes)


def params_of(given: Start) -> dict[str, Any]:
    """The parameters as ProSper names them."""
    found: dict[str, Any] = {name: values.copy() for name, values in given.params.items()}
    found = {name: values if values.ndim else float(values) for name, values in found.items()}
    if given.workload["model"]["kind"] == "gsc":
        found["sigma_sq"] = found.pop("sigma") ** 2
        found["psi_sq"] = np.diag(found.pop("psi"))
    return found


def main() -> None:
    given = Start.read(Path(sys.argv[1]), int(sys.argv[2]))
    model = model_of(given)
    kind, (_, n_latents) = given.workload["model"]["kind"], given.sizes
    n_values = len(given.workload["model"].get("values", (0, 1)))
    n_states = len(model.state_matrix) + (0 if kind == "tsc" else 1 + n_latents * (n_values - 1))
    annealing = LinearAnnealing(10)
    annealing["T"] = 1.0

    def begin() -> Sweep:
        params, data = params_of(given), {"y": given.rows.copy()}

        def sweep() -> np.ndarray:
            nonlocal params
            params = model.step(annealing, params, data)
            return np.asarray(params["W"])

        return sweep

    np.seterr(all="ignore")
    take_turns(len(given.rows), n_states, f"NumPy {np.__version__}", begin)


if __name__ == "__main__":
    main()
