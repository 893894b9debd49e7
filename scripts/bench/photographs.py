"""Six photographs with white Gaussian noise, restored with no setting at all, beside BM3D that is told the level.

    pip install bm3d
    python scripts/bench/photographs.py [--color] [--pictures camera coffee] [--seeds 0 1 2] [--house house.png]

The pictures come with scikit-image and scikit-learn; the middle of each is taken, of at most --size pixels a side.
Noise is numpy.random.default_rng(seed).standard_normal times the level, neither clipped nor rounded, and peak 255.
Seconds are processor time of one rank, from the reading of the picture to the result, kernels compiled before. Every
result leaves a JSON and a PNG in the output folder, and is not made again.

    python scripts/bench/photographs.py --models gsc mfa --size 256 --pictures camera astronaut --seeds 0 1

holds models against each other instead, each by itself and with groups of similar patches after it.
"""

import argparse
import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray

import prosper_ng
from prosper_ng.data.images import load, psnr_of, quality, save_png, save_values
from prosper_ng.storage.run_record import read_run

Floats = NDArray[np.float64]

PICTURES = ("camera", "astronaut", "chelsea", "coffee", "china", "flower")
NAMES = {"chelsea": "cat"}
"""Pictures that scikit-image has under another name."""
OF_SCIKIT_LEARN = ("china", "flower")


class Key(NamedTuple):
    """One restoration."""

    picture: str
    noise: float
    seed: int
    color: bool
    size: int

    @property
    def name(self) -> str:
        return f"{self.picture}-{'color' if self.color else 'gray'}-{self.size}-{self.noise:g}-{self.seed}"


def clean_picture(key: Key, house: Path | None) -> Floats:
    """The middle of a photograph (height, width, 1 or 3) on the scale 0 to 255, gray by the program's own weights."""
    source = NAMES.get(key.picture, key.picture)
    if key.picture == "house":
        source = str(house)
    if key.picture in OF_SCIKIT_LEARN:
        import sklearn.datasets

        source = str(Path(sklearn.datasets.__file__).parent / "images" / f"{key.picture}.jpg")
    image = load(source, "color" if key.color else "gray")
    height, width = (min(side, key.size) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def restored(noisy: Floats, overrides: list[str], clean: Floats | None = None) -> tuple[dict[str, Any], float, str]:
    """What the program makes of a picture, its seconds, and what it found.

    With the clean picture `alone` is the PSNR of what the model made before there were groups.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "noisy.tif"
        save_values(file, noisy)
        data = {"kind": "image", "image": str(file), "low": 0, "peak": 255}
        if noisy.shape[2] == 3:
            data["channels"] = "color"
        if clean is not None:
            data["clean"] = str(Path(folder) / "clean.tif")
            save_values(Path(data["clean"]), clean)
        config = {"name": "photograph", "data": data, "task": "restore", "output": {"figures": False}}
        began = time.process_time()
        outcome = prosper_ng.run(config, Path(folder) / "run", overrides=overrides, progress=False)
        seconds = time.process_time() - began
        log = (Path(folder) / "run" / "log.txt").read_text().splitlines()
        course = read_run(Path(folder) / "run").history.get("psnr", [np.nan])
    found = next(line.partition("INFO")[2].strip() for line in log if "noise level" in line)
    return {**outcome.results, "alone": float(course[-1])}, seconds, found


def of_bm3d(noisy: Floats, noise: float) -> tuple[Floats, float]:
    """What BM3D makes of it, told the noise level, and its seconds."""
    import bm3d

    began = time.process_time()
    scaled = noisy / 255
    found = bm3d.bm3d_rgb(scaled, noise / 255) if noisy.shape[2] == 3 else bm3d.bm3d(scaled[:, :, 0], noise / 255)
    return 255 * np.asarray(found).reshape(noisy.shape), time.process_time() - began


def by_model(key: Key, model: str, folder: Path, house: Path | None, overrides: list[str]) -> dict[str, float]:
    """PSNR by the model alone, PSNR and SSIM in the end, and seconds, with one look at what the model makes.

    Of BM3D the same in the place of a model.
    """
    path = folder / f"{key.name}-{model}.json"
    if not path.exists():
        clean = clean_picture(key, house)
        noisy = clean + key.noise * np.random.default_rng(key.seed).standard_normal(clean.shape)
        if model == "BM3D":
            image, seconds = of_bm3d(noisy, key.noise)
            found = quality(clean, image)
            values = {"alone": found.psnr, "psnr": found.psnr, "ssim": found.ssim, "seconds": seconds}
        else:
            results, seconds, _ = restored(noisy, [f"model={model}", "task.every=3", *overrides], clean)
            image, psnr, ssim = results["images"]["restored"], results["psnr"]["after"], results["ssim"]["after"]
            values = {"alone": results["alone"], "psnr": psnr, "ssim": ssim, "seconds": seconds}
        save_png(path.with_suffix(".png"), image)
        path.write_text(json.dumps(values))
    return dict(json.loads(path.read_text()))


def measured(key: Key, folder: Path, house: Path | None, overrides: list[str]) -> dict[str, Any]:
    """PSNR and seconds of both, made or as they were made before."""
    path = folder / f"{key.name}.json"
    if not path.exists():
        clean = clean_picture(key, house)
        noisy = clean + key.noise * np.random.default_rng(key.seed).standard_normal(clean.shape)
        results, seconds, found = restored(noisy, overrides)
        ours = results["images"]["restored"]
        theirs, their_seconds = of_bm3d(noisy, key.noise)
        values = {
            "psnr": psnr_of(clean, ours), "seconds": seconds, "found": found, "shape": clean.shape[:2],
            "bm3d": psnr_of(clean, theirs), "bm3d_seconds": their_seconds, "noisy": psnr_of(clean, noisy),
        }  # fmt: skip
        for name, image in {"clean": clean, "noisy": noisy, "bm3d": theirs, "restored": ours}.items():
            save_png(folder / f"{key.name}-{name}.png", image)
        path.write_text(json.dumps(values))
    return dict(json.loads(path.read_text()))


def row(cells: list[Any]) -> str:
    """A line of a table in Markdown, numbers as people write them."""
    return "| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


def show(results: dict[Key, dict[str, Any]]) -> None:
    """A table of all, and the mean over the pictures at each level."""
    print(row(["picture", "pixels", "noise", "seed", "noisy", "BM3D, told the level", "restored", "gain"]), end="")
    print(row(["s", "s of BM3D"])[1:])
    print("| --- " * 10 + "|")
    for key, found in results.items():
        gain, times = found["psnr"] - found["bm3d"], [f"{found['seconds']:.0f}", f"{found['bm3d_seconds']:.0f}"]
        shape = " x ".join(map(str, found["shape"]))
        values = [found["noisy"], found["bm3d"], found["psnr"], gain]
        print(row([key.picture, shape, f"{key.noise:g}", key.seed, *values, *times]))
    for noise in sorted({key.noise for key in results}):
        each = [(found["bm3d"], found["psnr"]) for key, found in results.items() if key.noise == noise]
        theirs, ours = np.mean(each, axis=0)
        print(f"\nmean of {len(each)} at noise {noise:g}: BM3D {theirs:.2f} dB, restored {ours:.2f} dB", end="")
        print(f" ({ours - theirs:+.2f} dB)")


def show_models(results: dict[tuple[Key, str], dict[str, float]]) -> None:
    """A table of means over the seeds: of each model alone and with groups, SSIM in brackets; seconds of all."""
    models = list(dict.fromkeys(model for _, model in results))
    heads = [head for model in models for head in ([model] if model == "BM3D" else [model, "with groups"])]
    print(row(["picture", "noise", *heads, *(f"s of {model}" for model in models)]))
    print("| --- " * (2 + len(heads) + len(models)) + "|")
    for picture, noise in dict.fromkeys((key.picture, key.noise) for key, _ in results):
        cells, seconds = [], []
        for model in models:
            of_seeds = [found for (key, name), found in results.items() if (*key[:2], name) == (picture, noise, model)]
            alone, psnr, ssim, taken = np.mean([[*found.values()] for found in of_seeds], axis=0)
            cells += ([] if model == "BM3D" else [f"{alone:.2f}"]) + [f"{psnr:.2f} ({ssim:.3f})"]
            seconds.append(f"{taken:.1f}")
        print(row([picture, f"{noise:g}", *cells, *seconds]))


def draw(key: Key, folder: Path, path: Path, side: int = 128) -> None:
    """The middle of a picture: clean, noisy, by BM3D, restored."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.3), layout="constrained")
    FigureCanvasAgg(figure)
    found = json.loads((folder / f"{key.name}.json").read_text())
    psnr = {"noisy": found["noisy"], "bm3d": found["bm3d"], "restored": found["psnr"]}
    titles = {"clean": "clean", "noisy": "noisy", "bm3d": "BM3D, told the level", "restored": "restored, told nothing"}
    for axes, (name, title) in zip(figure.subplots(1, 4), titles.items(), strict=True):
        image = load(str(folder / f"{key.name}-{name}.png"), "color" if key.color else "gray")
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        shown = image[top : top + side, left : left + side].astype(np.uint8)
        axes.imshow(shown if key.color else shown[:, :, 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title + (f", {psnr[name]:.2f} dB" if name in psnr else ""))
        axes.axis("off")
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", nargs="*", default=PICTURES, choices=PICTURES, help="default: all six")
    parser.add_argument("--noise", type=float, nargs="*", default=[15.0, 25.0, 50.0], help="standard deviations")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="of the noise (default: 0)")
    parser.add_argument("--size", type=int, default=512, help="pixels a side at most (default: %(default)s)")
    parser.add_argument("--color", action="store_true", help="in color, beside BM3D's version for it")
    parser.add_argument("--models", nargs="*", help="hold these models against each other, and BM3D")
    parser.add_argument("--house", type=Path, metavar="FILE", help="house.png, in the place of the pictures")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, as of prosper-ng")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-photographs"), help="default: %(default)s")
    parser.add_argument("--figure", type=Path, help="draw the middle of the first picture at the last level to a file")
    arguments = parser.parse_args()

    arguments.output.mkdir(parents=True, exist_ok=True)
    pictures = arguments.pictures if arguments.house is None else ["house"]
    keys = [
        Key(picture, noise, seed, arguments.color, arguments.size)
        for seed in arguments.seeds
        for noise in arguments.noise
        for picture in pictures
    ]
    warm = np.random.default_rng(0).normal(128, 20, (32, 32, 3 if arguments.color else 1))
    restored(warm, [])
    if arguments.models:
        for model in arguments.models:
            restored(warm, [f"model={model}"])
        models = [*arguments.models, "BM3D"]
        show_models(
            {
                (key, model): by_model(key, model, arguments.output, arguments.house, arguments.set)
                for key in keys
                for model in models
            }
        )
    else:
        show({key: measured(key, arguments.output, arguments.house, arguments.set) for key in keys})
    packages = ("prosper_ng", "numpy", "numba", "bm3d", "scikit-image", "scikit-learn")
    print("\n" + ", ".join(f"{package} {version(package)}" for package in packages))
    if arguments.figure is not None:
        draw(keys[-len(pictures)], arguments.output, arguments.figure)


if __name__ == "__main__":
    main()
