"""Pages of three fonts, three seeds each, cleaned from themselves alone, as a table: dirt removed, characters kept.

python scripts/bench/documents.py
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import prosper_ng
from prosper_ng.storage.run_record import read_run

FONTS = ("DejaVuSans", "DejaVuSerif", "cmr10")
SEEDS = (1, 2, 3)


def cleaned(font: str, seed: int, n_components: int, n_sweeps: int, folder: Path) -> dict[str, Any]:
    """What a run says of a page."""
    data = {"kind": "page", "font": font, "patch_size": 20, "stride": 10, "page_seed": seed}
    prosper_ng.run(
        {
            "name": f"{font}-{seed}",
            "seed": seed,
            "data": data,
            "model": {"kind": "glyphs", "n_components": n_components, "positions": 19},
            "estep": "exhaustive",
            "training": {"n_sweeps": n_sweeps},
            "task": "clean",
        },
        folder,
        progress=False,
    )
    return dict(read_run(folder).results)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--components", type=int, default=24)
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--fonts", nargs="+", default=FONTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    given = parser.parse_args()
    print("| font | page | dirt removed | characters kept | glyphs taken for characters, of 8 | processor s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for font in given.fonts:
        for seed in given.seeds:
            begin = time.process_time()
            with TemporaryDirectory() as folder:
                found = cleaned(font, seed, given.components, given.sweeps, Path(folder))
            kinds = int(np.count_nonzero(found["glyphs"]["is_character"]))
            dirt, seconds = found["dirt"], time.process_time() - begin
            print(
                f"| {font} | {seed} | {dirt['removed']:.1%} | {dirt['kept']:.1%} | {kinds} | {seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
