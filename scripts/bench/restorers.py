"""What a person would use to restore a picture, beside `task: restore`: PSNR and processor seconds in one table.

    python scripts/bench/restorers.py --output FOLDER [--only METHOD ...] [--figure FILE]

Two gray crops of 256 x 256 pixels of scikit-image, with noise of 25 and 50 from `default_rng(seed)`, unclipped, or with
50 and 80 % of the pixels missing. All methods but prosper_ng are told the noise level, as far as they take it, and used
as their own documents advise. What is done is kept in the folder and not done again; what is not installed says so.
"""

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PICTURES = {"camera": (40, 100, 256, 256), "astronaut": (20, 110, 256, 256)}
NOISES, GAPS, SEEDS = (25.0, 50.0), (0.5, 0.8), (0, 1, 2)
SHOWN = ("camera", 50.0)
_WHITE = 255.0


class Case(NamedTuple):
    """A picture, what was done to it, and by which seed."""

    picture: str
    noise: float
    missing: float
    seed: int

    @property
    def name(self) -> str:
        damage = f"noise-{self.noise:g}" if self.noise else f"missing-{self.missing:g}"
        return f"{self.picture}-{damage}-{self.seed}"

    def images(self) -> tuple[Floats, Floats]:
        """The clean image (256, 256), and the damaged one with NaN where it is missing."""
        from prosper_ng.data.images import load

        clean = load(self.picture, "gray", PICTURES[self.picture])[:, :, 0]
        rng = np.random.default_rng(self.seed)
        if self.missing:
            return clean, np.where(rng.random(clean.shape) < self.missing, np.nan, clean)
        return clean, clean + self.noise * rng.standard_normal(clean.shape)


def by_prosper(damaged: Floats, case: Case, folder: Path) -> Floats:
    """The task as it is, with nothing set and not told the noise level."""
    import tifffile

    import prosper_ng

    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / "damaged.tif", damaged.astype(np.float32))
    data: dict[str, Any] = {"kind": "image", "image": str(folder / "damaged.tif"), "low": 0, "peak": _WHITE}
    data |= {"mask": "nan"} if case.missing else {}
    config = {"name": case.name, "data": data, "task": "restore", "output": {"figures": False}}
    outcome = prosper_ng.run(config, folder / "run", progress=False)
    return np.asarray(outcome.results["images"]["restored"][:, :, 0])


def by_bm3d(damaged: Floats, case: Case, folder: Path) -> Floats:
    """With its standard profile."""
    import bm3d

    return np.asarray(bm3d.bm3d(damaged, sigma_psd=case.noise))


def by_non_local_means(damaged: Floats, case: Case, folder: Path) -> Floats:
    """The fast variant in the gallery of scikit-image, which is the better one here."""
    from skimage.restoration import denoise_nl_means

    sigma = case.noise / _WHITE
    found = denoise_nl_means(damaged / _WHITE, 5, 6, h=0.8 * sigma, sigma=sigma, fast_mode=True)
    return np.asarray(_WHITE * found)


def by_wavelets(damaged: Floats, case: Case, folder: Path) -> Floats:
    """BayesShrink, averaged over shifts."""
    from skimage.restoration import cycle_spin, denoise_wavelet

    how = {"method": "BayesShrink", "mode": "soft", "sigma": case.noise / _WHITE, "rescale_sigma": True}
    return np.asarray(_WHITE * cycle_spin(damaged / _WHITE, denoise_wavelet, 5, func_kw=how, workers=1))


def by_total_variation(damaged: Floats, case: Case, folder: Path) -> Floats:
    """Chambolle's, with the weight that scikit-image calibrates on the noisy image."""
    from skimage.restoration import calibrate_denoiser, denoise_tv_chambolle

    weights = {"weight": np.linspace(0.04, 0.4, 19)}
    denoise = calibrate_denoiser(damaged / _WHITE, denoise_tv_chambolle, denoise_parameters=weights)
    return np.asarray(_WHITE * denoise(damaged / _WHITE))


def by_dictionary(damaged: Floats, case: Case, folder: Path) -> Floats:
    """As in the example of scikit-learn: 50 atoms of 7 x 7 pixels, 2 of them in each patch."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    patches = _patches(damaged, 7)
    means = patches.mean(axis=0)
    learner = MiniBatchDictionaryLearning(n_components=50, batch_size=200, alpha=1.0, max_iter=10, random_state=0)
    atoms = learner.fit((patches - means) / patches.std(axis=0)).components_
    learner.set_params(transform_algorithm="omp", transform_n_nonzero_coefs=2)
    return _from_patches(learner.transform(patches - means) @ atoms + means, damaged)


def _patches(image: Floats, side: int) -> Floats:
    from sklearn.feature_extraction.image import extract_patches_2d

    return np.asarray(extract_patches_2d(image, (side, side)).reshape(-1, side * side))


def _from_patches(rows: Floats, image: Floats) -> Floats:
    from sklearn.feature_extraction.image import reconstruct_from_patches_2d

    side = round(rows.shape[1] ** 0.5)
    return np.asarray(reconstruct_from_patches_2d(rows.reshape(-1, side, side), image.shape))


def by_ica(damaged: Floats, case: Case, folder: Path) -> Floats:
    """Sparse code shrinkage (Hyvarinen, 1999) for Laplacian components, on a basis found by FastICA."""
    from sklearn.decomposition import FastICA

    side, variance = 8, case.noise**2
    patches = _patches(damaged, side)
    means = patches.mean(axis=1, keepdims=True)
    centered = patches - means
    learner = FastICA(n_components=side * side - 1, whiten="unit-variance", max_iter=200, tol=1e-3, random_state=0)
    some = np.random.default_rng(0).choice(len(centered), 20_000, replace=False)
    left, _, right = np.linalg.svd(learner.fit(centered[some]).components_, full_matrices=False)
    basis = left @ right  # the nearest one with orthonormal rows, in which the noise stays white
    codes = centered @ basis.T
    scales = np.sqrt(np.maximum(codes.var(axis=0) - variance, 1e-9))
    shrunk = np.sign(codes) * np.maximum(np.abs(codes) - np.sqrt(2) * variance / scales, 0.0)
    return _from_patches(shrunk @ basis + means, damaged)


def by_biharmonic(damaged: Floats, case: Case, folder: Path) -> Floats:
    """Of scikit-image."""
    from skimage.restoration import inpaint_biharmonic

    hidden = np.isnan(damaged)
    return np.asarray(_WHITE * inpaint_biharmonic(np.where(hidden, 0.0, damaged) / _WHITE, hidden))


Restorer = Callable[[Floats, Case, Path], Floats]
DENOISING: dict[str, Restorer] = {
    "noisy": lambda damaged, case, folder: damaged,
    "total variation, calibrated": by_total_variation,
    "wavelets, BayesShrink": by_wavelets,
    "MiniBatchDictionaryLearning, OMP": by_dictionary,
    "FastICA, shrinkage": by_ica,
    "non-local means": by_non_local_means,
    "BM3D": by_bm3d,
    "prosper_ng, told nothing": by_prosper,
}
INPAINTING: dict[str, Restorer] = {"biharmonic": by_biharmonic, "prosper_ng, told nothing": by_prosper}


def restored(restorer: Restorer, case: Case, folder: Path) -> tuple[float, float, Floats]:
    """PSNR in dB, processor seconds, and the image."""
    clean, damaged = case.images()
    began = time.process_time()
    found = restorer(damaged, case, folder)
    seconds = time.process_time() - began
    return 10 * np.log10(_WHITE**2 / np.mean((found - clean) ** 2)), seconds, found


def measured(output: Path, methods: dict[str, Restorer], cases: list[Case]) -> None:
    """Do what is not done yet; PSNR and seconds are NaN where a package is missing."""
    for case, (method, restorer) in product(cases, methods.items()):
        name = f"{case.name}-{method.replace(' ', '-').replace(',', '')}"
        record = output / f"{name}.json"
        if record.exists():
            continue
        try:
            psnr, seconds, image = restored(restorer, case, output / name)
            np.save(output / f"{name}.npy", image)
            found = {"psnr": psnr, "seconds": seconds}
        except ModuleNotFoundError as error:
            found = {"lacking": error.name}
        record.write_text(json.dumps({"case": case, "method": method, **found}), encoding="utf-8")
        print(case.name, method, found, flush=True)


def show(output: Path) -> None:
    """Tables in Markdown: means over the seeds, or over those that are done."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(output.glob("*.json"))]
    for methods, damages, column in ((DENOISING, NOISES, 1), (INPAINTING, GAPS, 2)):
        columns = list(product(PICTURES, damages))
        unit = "noise {:g}" if column == 1 else "{:.0%} missing"
        heads = [f"{picture}, {unit.format(damage)}" for picture, damage in columns]
        print("\n| | " + " | ".join(heads) + " | processor s |\n| --- |" + " --- |" * (len(heads) + 1))
        for method in methods:
            of_method = [each for each in records if each["method"] == method and each["case"][column]]
            lacking = {each["lacking"] for each in of_method if "lacking" in each}
            if lacking:
                print(f"| {method} | {' and '.join(lacking)} is not installed" + " |" * (len(heads) + 1))
                continue
            cells = []
            for picture, damage in columns:
                of_case = [each for each in of_method if each["case"][0] == picture and each["case"][column] == damage]
                psnrs = [each["psnr"] for each in of_case]
                few = f" ({len(psnrs)} of {len(SEEDS)})" if len(psnrs) < len(SEEDS) else ""
                cells.append(f"{np.mean(psnrs):.2f}{few}" if psnrs else "")
            seconds = [each["seconds"] for each in of_method]
            span = f"{min(seconds):.1f} to {max(seconds):.1f}" if seconds else ""
            print(f"| {method} | " + " | ".join(cells) + f" | {span} |")
    packages = ("prosper_ng", "bm3d", "scikit-image", "scikit-learn", "PyWavelets", "numpy")
    print("\nversions:", ", ".join(f"{name} {_version(name)}" for name in packages))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def draw(output: Path, path: Path) -> None:
    """What each makes of one noisy picture, with its PSNR."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    case = Case(*SHOWN, 0.0, 0)
    shown: list[tuple[str, Floats]] = [("clean", case.images()[0])]
    for method in DENOISING:
        name = f"{case.name}-{method.replace(' ', '-').replace(',', '')}"
        if (output / f"{name}.npy").exists():
            psnr = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))["psnr"]
            shown.append((f"{method}\n{psnr:.2f} dB", np.load(output / f"{name}.npy")))
    figure, grid = plt.subplots(2, 5, figsize=(13, 6.4))
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (title, image) in zip(grid.flat, shown, strict=False):
        axes.imshow(image[20:180, 60:220], cmap="gray", vmin=0, vmax=_WHITE, interpolation="nearest")
        axes.set_title(title, fontsize=9)
    figure.tight_layout(h_pad=2.0)
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/bench-restorers"), help="where the results are kept")
    parser.add_argument("--only", nargs="*", help="these methods; all where not given")
    parser.add_argument("--figure", type=Path, help="a picture of what each makes of one of the noisy ones")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for seed, picture in product(SEEDS, PICTURES):
        for methods, cases in (
            (DENOISING, [Case(picture, noise, 0.0, seed) for noise in NOISES]),
            (INPAINTING, [Case(picture, 0.0, gaps, seed) for gaps in GAPS]),
        ):
            chosen = {name: each for name, each in methods.items() if options.only is None or name in options.only}
            measured(options.output, chosen, cases)
    show(options.output)
    if options.figure is not None:
        draw(options.output, options.figure)


if __name__ == "__main__":
    main()
