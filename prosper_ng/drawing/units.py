"""In what units measures and settings are told, by their names in tables of campaigns and in configurations."""

_STEPS = ("_before", "_after", "_mean", "_std", "_min", "_max")
_OF_MEASURES = {
    "free_energy": "nats per row",
    "entropy_gap": "nats per row",
    "psnr": "dB",
    "elapsed": "seconds",
    "n_evaluated": "states per row",
    "n_accepted": "states per row",
    "recovered_all": "share of the runs",
    "recovered_found": "dictionary elements",
    "learned_sigma": "8-bit scale",
}
_OF_SETTINGS = {
    "patch_size": "pixels",
    "stride": "pixels",
    "n_sweeps": "sweeps",
    "checkpoint_sweeps": "sweeps",
    "parameter_sweeps": "sweeps",
    "checkpoint_minutes": "minutes",
    "every": "sweeps",
}


def measure_in_full(name: str) -> str:
    """A measure with its unit, `psnr_after (dB)`; the name alone where it has none, or its data give it one."""
    unit = unit_of(name)
    return f"{name} ({unit})" if unit else name


def unit_of(name: str) -> str:
    """The unit of a measure; nothing where it has none, or its data give it one."""
    names = [name, *(name.removesuffix(step) for step in _STEPS)]
    return next((unit for each in names if (unit := _unit(_OF_MEASURES, each))), "")


def setting_in_full(path: str) -> str:
    """A setting by its path in a configuration, with its unit: `data.patch_size (pixels)`."""
    unit = _unit(_OF_SETTINGS, path.rpartition(".")[2])
    return f"{path} ({unit})" if unit else path


def _unit(units: dict[str, str], name: str) -> str | None:
    return "seconds" if name.startswith("seconds_") else units.get(name)
