"""Times sweeps of EVO (a checkout of it is given) over rows; see estep.py, which starts this."""

import contextlib
import io
import json
import sys
import time

import numpy as np


def main():
    workload, n_sweeps = json.loads(sys.argv[1]), int(sys.argv[3])
    rows = np.load(sys.argv[2])
    sys.path.insert(0, sys.argv[4])
    from evo.models import BSC
    from evo.variational.utils import init_states

    n_rows, n_observed = rows.shape
    model = BSC(n_observed, workload["n_latents"], workload["n_states"])
    data = {"y": rows, "x": np.zeros(rows.shape, bool), "x_infr": np.ones(rows.shape, bool)}
    parameters = model.check_params(model.standard_init(data))
    states = init_states(
        n_rows, workload["n_states"], workload["n_latents"], "fit", "randflip",
        workload["n_parents"], workload["n_children"], workload["n_generations"],
    )  # fmt: skip
    e_step, m_step = [], []
    for _ in range(n_sweeps):
        parameters = model.check_params(parameters)
        began = time.process_time()
        free_energy = model.E_step(parameters, states, data)[0]
        between = time.process_time()
        parameters = model.M_step(parameters, states, data)
        e_step.append(between - began)
        m_step.append(time.process_time() - between)
    active = float(states["ss"].sum(axis=2).mean())
    return {"e_step": e_step, "m_step": m_step, "free_energy": float(free_energy), "active": [active]}


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        result = main()
    print(json.dumps(result))
