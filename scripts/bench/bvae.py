"""How reliably binary autoencoders find bars: elements, noise and free energy of many seeds, as a table.

python scripts/bench/bvae.py --seeds 0 20
"""

import argparse
import time

import numpy as np

import prosper_ng
from prosper_ng.data.sources.bars import Bars
from prosper_ng.models.bvae import BVAE
from prosper_ng.numerics.adam import Adam
from prosper_ng.numerics.matching import recovered

N_BARS, N_ROWS, NOISE = 8, 1000, 1.0
ESTEP = {
    "kind": "search",
    "n_states": 24,
    "variations": [{"kind": "evolution", "n_parents": 3, "n_children": 2, "n_generations": 2}],
}
TRAINING = {"n_sweeps": 200, "updates_per_sweep": 16, "block_rows": 32}


def result_of(seed: int) -> tuple[int, float, float]:
    """Bars that are found, sigma (the true one is 1), and F per row, of data and a start by one seed."""
    source = Bars(n_bars=N_BARS, n_rows=N_ROWS, amplitude=5.0, activity=0.2, noise=NOISE).open(seed)
    model = BVAE(n_latents=N_BARS, hidden=(32,), optimizer=Adam(rate=0.02, cycle=50))
    found = prosper_ng.learn(
        source.read(0, N_ROWS), model, estep=ESTEP, training=TRAINING, seed=seed, progress=False
    )  # fmt: skip
    assert source.truth is not None
    n_found = recovered(np.asarray(source.truth["W"]), model.elements(found.params)).found
    return n_found, float(found.params["sigma"]), float(found.history["free_energy"][-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 20), metavar=("FIRST", "END"))
    n_whole = 0
    print("| seed | bars of 8 | sigma | F per row | processor seconds |\n| --- | --- | --- | --- | --- |")
    seeds = range(*parser.parse_args().seeds)
    for seed in seeds:
        begin = time.process_time()
        n_found, sigma, energy = result_of(seed)
        n_whole += n_found == N_BARS and abs(sigma - NOISE) < 0.1 * NOISE
        print(f"| {seed} | {n_found} | {sigma:.3f} | {energy:.2f} | {time.process_time() - begin:.0f} |", flush=True)
    print(f"\nall bars, and sigma within 10 %: {n_whole} of {len(seeds)}")


if __name__ == "__main__":
    main()
