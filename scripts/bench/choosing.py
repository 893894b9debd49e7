"""How many states, latents and sweeps: what each comes to on rows held out, and the time that it takes.

    python scripts/bench/choosing.py

Gaussian Sparse Coding of 8 x 8 patches of the photograph `camera` under noise of 10, with the E-step of `auto`;
one patch in five is held out. Prints the table of docs/howto/choosing.md; time is that of the processor.
"""

import time

from prosper_ng.environment import prepare_environment

prepare_environment()

from workloads import patches

import prosper_ng
from prosper_ng.data.sources.image import Image

N_ROWS, N_LATENTS, N_STATES, N_SWEEPS, N_UPDATES = 10_000, 128, 20, 10, 4


def main() -> None:
    data = patches(Image(image="camera", noise=10.0, patch_size=8), N_ROWS)
    usual = {"H": N_LATENTS, "S": N_STATES, "sweeps": N_SWEEPS, "updates": N_UPDATES}
    cases = [
        usual,
        *({**usual, "S": n} for n in (5, 10, 40, 80)),
        *({**usual, "H": n} for n in (32, 64, 256)),
        *({**usual, "sweeps": n} for n in (3, 30)),
        *({**usual, "updates": n} for n in (1, 20)),
    ]
    fit(data, {**usual, "sweeps": 1})  # compiles or loads kernels
    print("| H | S | sweeps | updates a sweep | F of a row held out, nats | processor s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in cases:
        found, seconds = fit(data, case)
        print(f"| {' | '.join(str(value) for value in case.values())} | {found:.2f} | {seconds:.0f} |", flush=True)


def fit(data, case: dict[str, int]) -> tuple[float, float]:
    """Free energy of rows held out after the last sweep, and processor seconds."""
    began = time.process_time()
    learned = prosper_ng.learn(
        data,
        {"kind": "gsc", "n_latents": case["H"]},
        estep={"kind": "auto", "n_states": case["S"]},
        training={"n_sweeps": case["sweeps"], "updates_per_sweep": case["updates"]},
        held_out=0.2,
        seed=1,
        progress=False,
    )
    return float(learned.history["held_out_free_energy"][-1]), time.process_time() - began


if __name__ == "__main__":
    main()
