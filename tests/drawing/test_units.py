"""Units of measures and settings, by their names."""

import pytest

from prosper_ng.drawing.units import measure_in_full, setting_in_full


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("psnr_after", "dB"), ("psnr", "dB"), ("free_energy", "nats per row"), ("free_energy_mean", "nats per row"),
        ("elapsed", "seconds"), ("seconds_e_step", "seconds"), ("n_evaluated", "states per row"), ("ssim_after", ""),
        ("sigma", ""), ("pi_mean", ""), ("learned_sigma", "8-bit scale"),
    ],
)  # fmt: skip
def test_measures(name, unit):
    assert measure_in_full(name) == (f"{name} ({unit})" if unit else name)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("data.patch_size", "pixels"),
        ("training.n_sweeps", "sweeps"),
        ("model.kind", ""),
        ("data.noise", ""),
        ("set", ""),
    ],
)
def test_settings(path, unit):
    assert setting_in_full(path) == (f"{path} ({unit})" if unit else path)
