"""What tests ask of the files of compiled kernels."""

from pathlib import Path

from prosper_ng.kernel_cache import places


def kernel_folder() -> Path:
    """Where this process keeps the compiled kernels of this package."""
    folder = places().write
    assert folder is not None
    return folder


def with_kernels() -> dict[str, str]:
    """What has a child process with another home use the kernels that are compiled already."""
    return {"NUMBA_CACHE_DIR": str(kernel_folder().parent)}
