"""The picture at the top of the README, from the run of quickstart: a noisy photograph, the same restored, and some of
the dictionary elements that were learned on the way.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from prosper_ng.drawing.pixels import eight_bit, mosaic, tiles, with_channels
from prosper_ng.report.pictures import dictionary_of, images_of, use_of
from prosper_ng.storage.run_record import read_run

N_SHOWN = 81


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", type=Path, default=Path("runs/quickstart"), help="the run folder (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("docs/images/quickstart.png"), help="default: %(default)s")
    arguments = parser.parse_args()

    record = read_run(arguments.run)
    images = dict(images_of(record))
    W, patch_shape = dictionary_of(record)
    use = None if W is None else use_of(record, W.shape[1])
    if W is None or use is None:
        raise SystemExit(f"{arguments.run} has no dictionary of patches to show")
    most_used = np.argsort(-use, kind="stable")[:N_SHOWN]
    panels = [
        ("noisy", eight_bit(with_channels(images["noisy"]))),
        ("restored", eight_bit(with_channels(images["restored"]))),
        ("dictionary elements used most", mosaic(tiles(W[:, most_used], patch_shape), n_columns=9)),
    ]
    figure = Figure(figsize=(12, 4.3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, pixels) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(pixels, interpolation="nearest" if "dictionary" in title else "antialiased")
        axes.set_title(title)
        axes.axis("off")
    figure.savefig(arguments.output, dpi=100)


if __name__ == "__main__":
    main()
