"""What noisy-OR and TVO's noisy-OR come to in equal processor time, from the same first parameters on the same rows.

    python scripts/bench/equal_time.py --tvo CHECKOUT --tvo-python PYTHON [--seeds N] [--seconds 1 4 16]

Binary bars: eight in 4 x 4 pixels, 500 rows, H = 12, and sixteen in 8 x 8, 2,000 rows, H = 24. Both search by
evolution with S = 20, 5 parents, 3 children, 2 generations, TVO in batches of 32 rows. Prints the log likelihood a row
of what each has learned, by all states for H = 12 and by the 200 best that are found for H = 24, less that of the
parameters that made the rows. Loading of programs and compiling of kernels do not count.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray

import prosper_ng
from prosper_ng.data.sources.bars import Bars
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.neighborhood import NeighborSearch
from prosper_ng.estep.variations.preselection import PreselectedStates
from prosper_ng.inference.learned import Learned
from prosper_ng.models.interface import Moments
from prosper_ng.models.noisy_or import NoisyOR
from prosper_ng.numerics.named_arrays import NamedArrays

Floats = NDArray[np.float64]
Params = dict[str, Floats]

CASES = {"8 bars": (8, 500, 12, 0.25), "16 bars": (16, 2000, 24, 0.125)}
"""Bars, rows, latents, activity."""
N_STATES, N_PARENTS, N_CHILDREN, N_GENERATIONS, BATCH = 20, 5, 3, 2, 32

TVO = """
import sys, time
import numpy as np, torch
sys.path.insert(0, sys.argv[1])
from tvo.models import NoisyOR
from tvo.utils.data import TVODataLoader
from tvo.variational import EVOVariationalStates
torch.set_num_threads(1)
torch.manual_seed(int(sys.argv[3]))
given = np.load(sys.argv[2])
budgets = [float(word) for word in sys.argv[4].split(",")]
rows, (D, H), f32 = given["rows"], given["W"].shape, torch.float32
model = NoisyOR(H=H, D=D, precision=f32, W_init=torch.tensor(given["W"], dtype=f32),
                pi_init=torch.tensor(given["pi"], dtype=f32))
states = EVOVariationalStates(N=len(rows), H=H, S={S}, precision=f32, parent_selection="batch_fitparents",
                              mutation="randflip", n_parents={P}, n_generations={G}, n_children={C})
loader = TVODataLoader(torch.tensor(rows, dtype=torch.uint8), batch_size={B})
model.init_storage({S}, states.config["S_new"], {B})
began, found = time.process_time(), {}
with torch.no_grad():
    while budgets:
        model.init_epoch()
        for index, batch in loader:
            model.init_batch()
            states.update(index, batch, model)
            model.update_param_batch(index, batch, states)
        model.update_param_epoch()
        while budgets and time.process_time() - began >= budgets[0]:
            budget = budgets.pop(0)
            for name, own in (("W", "W"), ("pi", "pies")):
                found[f"{name}{budget:g}"] = model.theta[own].numpy().copy()
np.savez(sys.argv[5], **found)
"""


def by_tvo(rows: Floats, start: Params, seed: int, budgets: list[float], options: argparse.Namespace) -> list[Params]:
    """What TVO has learned after each budget of processor seconds."""
    program = TVO.replace("{S}", str(N_STATES)).replace("{P}", str(N_PARENTS)).replace("{C}", str(N_CHILDREN))
    program = program.replace("{G}", str(N_GENERATIONS)).replace("{B}", str(BATCH))
    with TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, rows=rows, W=start["W"], pi=start["pi"])
        arguments = [options.tvo, given, str(seed), ",".join(map(str, budgets)), found]
        subprocess.run([options.tvo_python, "-c", program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
        learned = np.load(found)
        return [{name: learned[f"{name}{budget:g}"] for name in ("W", "pi")} for budget in budgets]


def by_own(rows: Floats, start: Params, seed: int, budgets: list[float]) -> list[Params]:
    """The same by this program, which ends at the first sweep beyond."""
    found, left = [], list(budgets)
    clock = {"began": time.process_time()}

    def watch(report: object, params: object) -> bool:
        while left and time.process_time() - clock["began"] >= left[0]:
            left.pop(0)
            found.append({name: np.clip(params[name], 1e-9, 1 - 1e-9) for name in ("W", "pi")})  # type: ignore[index]
        return not left

    model = {"kind": "noisy_or", "n_latents": start["W"].shape[1]}
    evolution = {"kind": "evolution", "n_parents": N_PARENTS, "n_children": N_CHILDREN, "n_generations": N_GENERATIONS}
    estep = {"kind": "search", "n_states": N_STATES, "variations": [evolution]}
    for n_sweeps in (2, 10**6):  # the first compiles
        clock["began"] = time.process_time()
        on_sweep = watch if n_sweeps > 2 else None
        training = {"n_sweeps": n_sweeps}
        prosper_ng.learn(
            rows, model, estep=estep, training=training, seed=seed, start=start, on_sweep=on_sweep, progress=False
        )
    return found


def log_likelihood(rows: Floats, params: Params, seed: int) -> float:
    """A row, by all states or by the 200 best that are found."""
    H = params["W"].shape[1]
    inside = {name: np.clip(params[name], 1e-9, 1 - 1e-9) for name in ("W", "pi")}
    estep = Exhaustive() if H <= 12 else Search(n_states=200, variations=(PreselectedStates(), NeighborSearch()))
    known = Learned(
        model=NoisyOR(n_latents=H), params=NamedArrays.of(**inside), n_observed=rows.shape[1], estep=estep, seed=seed
    )
    return float(np.mean(known.free_energy(rows)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tvo", type=Path, required=True)
    parser.add_argument("--tvo-python", default=sys.executable)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 4.0, 16.0])
    options = parser.parse_args()
    head = [f"{name}, {of} {seconds:g} s" for name in CASES for seconds in options.seconds for of in ("TVO", "own")]
    print("| seed | " + " | ".join(head) + " |\n| --- |" + " --- |" * len(head))
    for seed in range(options.seeds):
        cells = []
        for n_bars, n_rows, n_latents, activity in CASES.values():
            source = Bars(
                n_bars=n_bars, n_rows=n_rows, activity=activity, observable="bernoulli", amplitude=0.9, noise=0.0
            )
            dataset = source.open(seed)
            rows = dataset.read(0, n_rows)
            moments = Moments(n_rows, rows.mean(axis=0), rows.var(axis=0))
            start = dict(NoisyOR(n_latents=n_latents).initial(moments, np.random.default_rng(seed)).items())
            truth = dict(dataset.truth.items()) | {"pi": np.full(n_bars, activity)}
            highest = log_likelihood(rows, truth, seed)
            both = by_tvo(rows, start, seed, options.seconds, options), by_own(rows, start, seed, options.seconds)
            for pair in zip(*both, strict=True):
                cells += [f"{log_likelihood(rows, params, seed) - highest:.3f}" for params in pair]
        print(f"| {seed} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
