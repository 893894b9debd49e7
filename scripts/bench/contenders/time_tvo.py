"""Times sweeps of TVO (a checkout of it is given, its extension built) over rows; see estep.py, which starts this."""

import contextlib
import io
import json
import sys
import time

import numpy as np
import torch


def prepare(workload, rows):
    """Model, state sets and loader over rows (n, D)."""
    from tvo.models import BSC
    from tvo.utils.data import TVODataLoader
    from tvo.utils.param_init import init_sigma2_default, init_W_data_mean
    from tvo.variational import EVOVariationalStates

    (n_rows, n_observed), n_latents, precision = rows.shape, workload["n_latents"], rows.dtype
    model = BSC(
        H=n_latents, D=n_observed, precision=precision,
        W_init=init_W_data_mean(data=rows, H=n_latents, dtype=precision).contiguous(),
        sigma2_init=init_sigma2_default(rows, precision),
        pies_init=torch.full((n_latents,), 2.0 / n_latents, dtype=precision),
    )  # fmt: skip
    states = EVOVariationalStates(
        N=n_rows, H=n_latents, S=workload["n_states"], precision=precision, parent_selection="batch_fitparents",
        mutation="randflip", n_parents=workload["n_parents"], n_generations=workload["n_generations"],
        n_children=workload["n_children"],
    )  # fmt: skip
    loader = TVODataLoader(rows, batch_size=workload["tvo_batch"])
    model.init_storage(workload["n_states"], states.config["S_new"], loader.batch_size)
    return model, states, loader


def main():
    workload, n_sweeps = json.loads(sys.argv[1]), int(sys.argv[3])
    sys.path.insert(0, sys.argv[4])
    torch.set_num_threads(1)
    torch.manual_seed(1)
    rows = torch.from_numpy(np.load(sys.argv[2])).to(getattr(torch, workload["tvo_precision"]))
    model, states, loader = prepare(workload, rows)
    e_step, m_step, clock = [], [], time.process_time
    with torch.no_grad():
        for _ in range(n_sweeps):
            e_step.append(0.0)
            m_step.append(0.0)
            model.init_epoch()
            free_energy = 0.0
            for index, batch in loader:
                model.init_batch()
                began = clock()
                states.update(index, batch, model)
                e_step[-1] += clock() - began
                free_energy += float(model.free_energy(index, batch, states))
                began = clock()
                model.update_param_batch(index, batch, states)
                m_step[-1] += clock() - began
            began = clock()
            model.update_param_epoch()
            m_step[-1] += clock() - began
    active = float(states.K.sum(dim=2, dtype=torch.float64).mean())
    return {"e_step": e_step, "m_step": m_step, "free_energy": free_energy / len(rows), "active": [active]}


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        result = main()
    print(json.dumps(result))
