"""Receptive fields of six models: what each makes of the same whitened patches, and how much of it is globular.

    prosper-ng campaign run configs/campaigns/receptive-fields.yaml
    python scripts/bench/receptive_fields.py [--figure docs/images/receptive-fields.png]

Prints a table of the finished runs of the campaign, and draws their dictionaries as they were learned, among whitened
patches. MCA, which takes data that are not negative, learns here from the same patches in two channels, on and off:
max(y, 0) and max(-y, 0); what is shown and fitted is the difference of the two.

    python scripts/bench/receptive_fields.py --filtered

does what the published program does: BSC and MMCA learn from patches of the pictures behind a center-surround filter,
and fitted are receptive fields, the elements behind the same filter.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.ndimage import convolve

import prosper_ng
from prosper_ng.config import load
from prosper_ng.data.images import load as load_picture
from prosper_ng.data.picture_set import PicturePatches, PictureSet
from prosper_ng.drawing.pixels import mosaic, tiles
from prosper_ng.drawing.style import axes_at, drawn
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.inference.learned import Learned
from prosper_ng.models.mca import MCA
from prosper_ng.numerics.receptive_fields import GLOBULAR, NEITHER, ReceptiveFields, receptive_fields
from prosper_ng.paths import path_of
from prosper_ng.report.pictures import elements_of, fields_of
from prosper_ng.storage.run_record import read_run

Floats = NDArray[np.float64]

CONFIG = Path(__file__).parents[2] / "configs" / "runs" / "receptive-fields.yaml"
_SHOWN = 100
_COLUMNS = 20


class Result(NamedTuple):
    """One dictionary."""

    name: str
    W: Floats
    """(D, H) among whitened patches."""
    fields: ReceptiveFields
    n_rows: int
    n_active: float
    """Active latents in a patch, by the learned prior."""
    sigma: float
    seconds: float
    """Of a sweep, by the clock."""


def main() -> None:
    """Print the table and draw the figure."""
    arguments = parse()
    if arguments.filtered:
        results = [filtered(kind, n_active) for n_active in (None, 5.0) for kind in ("bsc", "mmca")]
    else:
        results = [*of_campaign(arguments.campaign), on_and_off(arguments.campaign / "mca")]
    print("| model | N | globular | Gabor-like | neither | active latents | sigma | seconds a sweep |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for result in results:
        globular, neither = result.fields.share(GLOBULAR), result.fields.share(NEITHER)
        print(
            f"| {result.name} | {result.n_rows:,} | {globular:.1%} | {1 - globular - neither:.0%} | {neither:.0%} "
            f"| {result.n_active:.2f} | {result.sigma:.3f} | {result.seconds:.1f} |"
        )
    draw(results, arguments.figure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", type=Path, default=Path("runs/receptive-fields"), help="its folder")
    parser.add_argument("--filtered", action="store_true", help="learn from filtered pictures instead")
    parser.add_argument("--figure", type=Path, default=Path("runs/receptive-fields/dictionaries.png"))
    return parser.parse_args()


def of_campaign(folder: Path) -> Iterator[Result]:
    """The finished runs in the folder of a campaign, by name."""
    for path in sorted(folder.glob("runs/*/run.h5")):
        record = read_run(path.parent)
        W, fields = elements_of(record)[0], fields_of(record)
        if record.attributes.get("digest") is None or W is None or fields is None:
            continue
        yield result_of(str(record.config["model"]["kind"]).upper(), prosper_ng.load(path.parent), W, fields)


def result_of(name: str, learned: Learned, W: Floats, fields: ReceptiveFields) -> Result:
    n_active = float(np.sum(learned.model.activity(learned.params)))
    seconds = float(np.mean(learned.history["seconds_e_step"] + learned.history["seconds_m_step"]))
    return Result(name, W, fields, learned.n_rows or 0, n_active, noise_of(learned), seconds)


def noise_of(learned: Learned) -> float:
    """The noise level, of GSC the square root of the variance."""
    params = learned.params
    return float(params["sigma"]) if "sigma" in params else float(np.sqrt(np.mean(params["sigma_sq"])))


def on_and_off(folder: Path) -> Result:
    """MCA on the patches of the configuration in two channels."""
    config = load(CONFIG, RunConfig, []).value
    dataset = config.data.open(config.seed)
    rows = dataset.read(0, dataset.n_rows)
    rows = np.hstack([np.maximum(rows, 0.0), np.maximum(-rows, 0.0)])
    learned = prosper_ng.learn(
        rows, MCA(n_latents=config.model.n_latents, shared_pi=True), estep=config.estep,
        training=config.training, seed=config.seed, folder=path_of(str(folder)),
    )  # fmt: skip
    on, off = np.split(learned.params["W"], 2)
    fields = receptive_fields(on - off, dataset.row_shape)
    assert fields is not None
    return result_of("MCA, on and off", learned, on - off, fields)


def filtered(kind: str, n_active: float | None) -> Result:
    """A model on filtered pictures; the number of active latents is learned, or held at this one."""
    config = load(CONFIG, RunConfig, []).value
    pictures = [behind_filter(load_picture(name)[:, :, 0]) for name in config.data.image]
    shapes = [(*picture.shape, 1) for picture in pictures]
    dataset = PicturePatches(
        PictureSet(shapes, lambda number: pictures[number][:, :, None]), config.data.size, 1, 20_000, config.seed,
        remove_mean=False,
    )  # fmt: skip
    H = config.model.n_latents
    held = {} if n_active is None else {"initial": {"pi": n_active / H}, "learn": ("W", "sigma")}
    learned = prosper_ng.learn(
        dataset, {"kind": kind, "n_latents": H, "shared_pi": True},
        estep={"kind": "preselection", "n_candidates": 10, "max_active": 6},
        training={"n_sweeps": 6, "updates_per_sweep": 4} | held, seed=config.seed,
    )  # fmt: skip
    W = np.stack(
        [behind_filter(element.reshape(config.data.size)).ravel() for element in learned.params["W"].T], axis=1
    )
    fields = receptive_fields(W, config.data.size)
    assert fields is not None
    return result_of(f"{kind.upper()}, {'learned' if n_active is None else 'held'}", learned, W, fields)


def behind_filter(picture: Floats) -> Floats:
    """A picture (height, width) behind the published filter, a Gaussian of 1 pixel minus one of 3, with a peak of 1."""
    square = np.add.outer(np.arange(-4, 5) ** 2, np.arange(-4, 5) ** 2)
    center, surround = np.exp(-square / 2), np.exp(-square / 18)
    kernel = center / center.sum() - surround / surround.sum()
    return np.asarray(convolve(picture, kernel / kernel.max(), mode="reflect"))


def draw(results: list[Result], path: Path) -> None:
    """The first elements of each dictionary, side by side."""
    side = int(np.sqrt(len(results[0].W)))
    pictures = [mosaic(tiles(result.W[:, :_SHOWN], (side, side, 1)), _COLUMNS) for result in results]
    height, width = pictures[0].shape[:2]
    n_columns, head, gap = 2 if len(results) <= 4 else 3, 60, 30
    n_rows = -(-len(results) // n_columns)
    total = n_rows * (height // 2 + head + gap)
    with drawn(n_columns * (width // 2 + gap) + gap, total) as figure:
        for place, (result, picture) in enumerate(zip(results, pictures, strict=True)):
            row, column = divmod(place, n_columns)
            left = gap + column * (width // 2 + gap)
            bottom = total - (row + 1) * (height // 2 + head + gap) + gap
            axes = axes_at(figure, left, bottom, width // 2, height // 2)
            axes.imshow(picture, interpolation="antialiased", aspect="auto")
            axes.set_axis_off()
            share = result.fields.share(GLOBULAR)
            axes.set_title(f"{result.name}, N = {result.n_rows:,}: {share:.1%} globular", loc="left", fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    with PillowImage.open(path) as picture_of_all:
        small = picture_of_all.convert("L").quantize(16)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
