"""Outputs of the predecessors on small problems, where they lie beside the checkout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "reference"


@pytest.fixture
def reference() -> Callable[[str], dict[str, np.ndarray]]:
    def load(name: str) -> dict[str, np.ndarray]:
        path = FOLDER / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"the predecessors' output {path.name} is not beside the checkout")
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)

    return load
