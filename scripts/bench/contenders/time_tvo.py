"""Times EM iterations of TVO, its extension built: `python -m contenders.time_tvo START_FOLDER EVERY CHECKOUT`.

Single precision and 32 rows a batch, as its own examples have it; peers.py starts this.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from contenders.turns import Start, Sweep, take_turns

sys.path.insert(0, sys.argv[3])

from tvo.models import BSC, SSSC, NoisyOR
from tvo.utils.data import TVODataLoader
from tvo.variational import EVOVariationalStates

PRECISION = torch.float32
BATCH = 32


def model_of(given: Start) -> Any:
    """The model at the parameters of the start."""
    tensors = {name: torch.tensor(values, dtype=PRECISION) for name, values in given.params.items()}
    n_observed, n_latents = given.sizes
    common = {"H": n_latents, "D": n_observed, "precision": PRECISION, "W_init": tensors["W"]}
    if given.workload["model"]["kind"] == "noisy_or":
        return NoisyOR(**common, pi_init=tensors["pi"])
    common |= {"pies_init": tensors["pi"], "sigma2_init": tensors["sigma"].reshape(1) ** 2}
    if given.workload["model"]["kind"] == "bsc":
        return BSC(**common)
    return SSSC(**common, mus_init=tensors["mu"], Psi_init=torch.diag(tensors["psi"]))


def main() -> None:
    given = Start.read(Path(sys.argv[1]), int(sys.argv[2]))
    torch.set_num_threads(1)
    torch.manual_seed(1)
    estep, n_rows = given.workload["estep"], len(given.rows)
    n_states, how = estep["n_states"], estep["variations"][0]
    of_rows = torch.uint8 if given.workload["model"]["kind"] == "noisy_or" else PRECISION
    loader = TVODataLoader(torch.tensor(given.rows, dtype=of_rows), batch_size=BATCH)
    given_states = torch.from_numpy(given.states).to(torch.uint8)

    def begin() -> Sweep:
        model = model_of(given)
        states = EVOVariationalStates(
            N=n_rows, H=given.sizes[1], S=n_states, precision=PRECISION, parent_selection="batch_fitparents",
            mutation="randflip", n_parents=how["n_parents"], n_generations=how["n_generations"],
            n_children=how["n_children"],
        )  # fmt: skip
        states.K[:] = given_states
        model.init_storage(n_states, states.config["S_new"], BATCH)

        def sweep() -> torch.Tensor:
            with torch.no_grad():
                model.init_epoch()
                for index, batch in loader:
                    model.init_batch()
                    states.update(index, batch, model)
                    model.update_param_batch(index, batch, states)
                model.update_param_epoch()
                return model.theta["W"]

        return sweep

    n_evaluated = n_states + how["n_parents"] * how["n_children"] * how["n_generations"]
    take_turns(n_rows, n_evaluated, f"PyTorch {torch.__version__}", begin)


if __name__ == "__main__":
    main()
