"""h5py, imported when something of it is first asked for: ranks that open no HDF5 file do without its modules."""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["h5py"]

if TYPE_CHECKING:
    import h5py
else:

    class _Late:
        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("h5py"), name)

    h5py = _Late()
