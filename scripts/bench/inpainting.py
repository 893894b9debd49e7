"""Pictures with missing values: restored as configs/runs/restore-gaps.yaml says, and by biharmonic inpainting.

Masks are numpy's `default_rng(0..).random(shape) < share`, each value of a color picture for itself. Every run is a
process of its own; its processor seconds are all that it takes (`prosper-ng warm-up` first, so that nothing is compiled
in them). The other one is scikit-image's, channel by channel. A table of Markdown comes out; what is done is kept in
the output folder.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "runs" / "restore-gaps.yaml"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.8, 0.5], help="of the values that are missing")
    parser.add_argument("--masks", type=int, nargs="*", default=[0, 1, 2], help="their seeds")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="settings of the runs")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-inpainting"), help="where results are kept")
    parser.add_argument("--figure", type=Path, help="where a picture of the first picture, share and mask goes")
    return parser.parse_args()


def picture_of(path: Path) -> np.ndarray:
    """(height, width, 1 or 3) values from 0 to 255."""
    from skimage import io

    values = np.asarray(io.imread(path), np.float64)
    values = values[..., None] if values.ndim == 2 else values[..., :3]
    return values[..., :1] if np.ptp(values, axis=2).max() == 0 else values


def psnr_of(clean: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((clean - found) ** 2)))


def restored(path: Path, mask: np.ndarray, changes: list[str], folder: Path) -> tuple[np.ndarray, float]:
    """The picture as `prosper-ng run` restores it, and its processor seconds."""
    from skimage import io

    from prosper_ng.storage.run_record import read_run

    folder.mkdir(parents=True, exist_ok=True)
    io.imsave(folder / "mask.png", np.squeeze(mask * np.uint8(255)), check_contrast=False)
    overrides = [f"data.image={path}", f"data.clean={path}", f"data.mask={folder / 'mask.png'}", "data.missing=0"]
    overrides += ["data.missing_per=pixel", "data.crop=null", "output.figures=false", *changes]
    if mask.shape[2] == 1:
        overrides[:0] = ["data.channels=gray", "data.patch_size=8", "data.stride=2"]
    command = [sys.executable, "-m", "prosper_ng", "--quiet", "run", str(CONFIG), "--output", str(folder / "run")]
    for override in overrides:
        command += ["--set", override]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    image = read_run(folder / "run").results["images"]["restored"]
    return np.asarray(image).reshape(mask.shape), seconds


def biharmonic(clean: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture as scikit-image closes its gaps, channel by channel, and the processor seconds that this takes."""
    from skimage.restoration import inpaint_biharmonic

    began = time.process_time()
    channels = [
        inpaint_biharmonic(np.where(hidden, 0.0, channel), np.ascontiguousarray(hidden))
        for channel, hidden in zip(np.moveaxis(clean, 2, 0), np.moveaxis(mask, 2, 0), strict=True)
    ]
    return np.clip(np.stack(channels, axis=2), 0, 255), time.process_time() - began


def measured(args: argparse.Namespace, path: Path, share: float, seed: int) -> dict[str, float]:
    """PSNR and processor seconds of both."""
    folder = args.output / f"{path.stem}-{share:g}-{seed}"
    kept = folder / "found.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    clean = picture_of(path)
    mask = np.random.default_rng(seed).random(clean.shape) < share
    if clean.shape[2] == 1:
        mask = np.random.default_rng(seed).random(clean.shape[:2])[..., None] < share
    ours, seconds = restored(path, mask, args.set, folder)
    theirs, their_seconds = biharmonic(clean, mask)
    found = {"restored": psnr_of(clean, ours), "seconds": seconds}
    found |= {"biharmonic": psnr_of(clean, theirs), "biharmonic_seconds": their_seconds}
    np.savez(folder / "images.npz", clean=clean, gaps=np.where(mask, 0.0, clean), biharmonic=theirs, restored=ours)
    kept.write_text(json.dumps(found))
    return found


def draw(folder: Path, found: dict[str, float], into: Path) -> None:
    """The picture with its gaps, by biharmonic inpainting, restored, and as it was, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    images = np.load(folder / "images.npz")
    titles = {"gaps": "observed", "clean": "as it was"}
    titles |= {name: f"{name}, {found[name]:.2f} dB" for name in ("biharmonic", "restored")}
    figure, axes = plt.subplots(1, 4, figsize=(14, 14 * images["clean"].shape[0] / images["clean"].shape[1] / 4 + 0.3))
    for axis, name in zip(axes, ("gaps", "biharmonic", "restored", "clean"), strict=True):
        axis.imshow(np.clip(np.squeeze(images[name]), 0, 255).astype(np.uint8), cmap="gray")
        axis.set_title(titles[name])
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(into, dpi=60)


def main() -> None:
    args = arguments()
    print("| picture, missing | restored | biharmonic | processor s | of biharmonic |\n| --- | --- | --- | --- | --- |")
    for path in args.pictures:
        for share in args.shares:
            all_found = [measured(args, path, share, seed) for seed in args.masks]
            each = {name: [found[name] for found in all_found] for name in all_found[0]}
            ours, theirs = (" / ".join(f"{value:.2f}" for value in each[name]) for name in ("restored", "biharmonic"))
            seconds = [max(each[name]) for name in ("seconds", "biharmonic_seconds")]
            print(
                f"| {path.stem}, {share:.0%} | {ours} (mean {np.mean(each['restored']):.2f}) | {theirs} | "
                f"{seconds[0]:.0f} | {seconds[1]:.0f} |",
                flush=True,
            )
    if args.figure:
        first = args.output / f"{args.pictures[0].stem}-{args.shares[0]:g}-{args.masks[0]}"
        draw(first, json.loads((first / "found.json").read_text()), args.figure)


if __name__ == "__main__":
    main()
