"""Pages that are cleaned from themselves alone."""

import numpy as np
import pytest
from PIL import Image

from prosper_ng import cli
from prosper_ng.data.sources.page import Page
from prosper_ng.experiments.tasks.clean import scores
from prosper_ng.storage.run_record import read_run

SMALL = """
name: small
data: {kind: page, characters: ad, height: 110, width: 150, patch_size: 20, stride: 10, page_seed: 1, dirt: [speckles]}
model: {kind: glyphs, n_components: 2, positions: 19}
estep: exhaustive
training: {n_sweeps: 6}
task: clean
output: {figures: false}
"""


def run_of(folder, text=SMALL):
    config = folder / "run.yaml"
    config.write_text(text, encoding="utf-8")
    return "--quiet", "run", str(config), "--output", str(folder / "run")


def complaint(capsys, *arguments):
    assert cli.main([*arguments]) == 2
    return capsys.readouterr().err


def test_a_page_is_cleaned(tmp_path):
    assert cli.main([*run_of(tmp_path)]) == 0
    results = read_run(tmp_path / "run").results
    assert results["dirt"]["removed"] > 0.8
    assert results["dirt"]["kept"] > 0.8
    assert (tmp_path / "run" / "cleaned.png").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "kind: glyphs, n_components: 2, positions: 19",
            "kind: mixture, n_components: 2",
            "task clean needs model glyphs",
        ),
        ("positions: 19", "positions: 19, width: 40", "patches are 20 pixels wide: set model.width: 20"),
        ("characters: ad", "font: nosuch", "there is no font nosuch; name a file .ttf, or a font of matplotlib"),
    ],
)
def test_what_is_no_page_is_refused(tmp_path, capsys, old, new, said):
    assert said in complaint(capsys, *run_of(tmp_path, SMALL.replace(old, new)))


def test_a_blank_page_and_one_whose_means_are_removed_are_refused(tmp_path, capsys):
    Image.new("L", (60, 60), 255).save(tmp_path / "blank.png")
    data = f"data: {{kind: image, image: {tmp_path / 'blank.png'}, patch_size: 20, stride: 10, remove_mean: false}}\n"
    lines = [line for line in SMALL.splitlines(keepends=True) if not line.startswith("data")]
    assert "is blank: all its pixels are 255" in complaint(capsys, *run_of(tmp_path, data + "".join(lines)))
    data = data.replace("remove_mean: false", "remove_mean: true")
    assert "set data.channels: gray and data.remove_mean: false" in complaint(
        capsys, *run_of(tmp_path, data + "".join(lines))
    )


def test_pages_are_the_same_for_the_same_seed():
    one, other, third = (Page(height=80, width=90, page_seed=seed).open(0) for seed in (1, 1, 2))
    assert one.noisy.tobytes() == other.noisy.tobytes()
    assert (one.clean != third.clean).any()


@pytest.mark.parametrize("inverted", [False, True])
def test_scores_count_pixels_nearer_to_ink_than_to_paper(inverted):
    clean, page, cleaned = np.full((3, 4, 4), 250.0)
    clean[0], page[:2], cleaned[0, :3], cleaned[1, 0] = 0, 10, 5, 0
    each = [255 - image if inverted else image for image in (page, clean, cleaned)]
    assert scores(*each) == {"removed": 0.75, "kept": 0.75}
