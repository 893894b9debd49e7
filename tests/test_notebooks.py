"""The notebooks, executed by real kernels at small sizes."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
SMALL = {
    "bars": "N_ROWS = 200\nN_SWEEPS = 10\nSEED = 1",
    "digits": "N_ROWS = 120\nN_SWEEPS = 3\nN_COMPONENTS = [4, 12]",
}
"""What stands in the cell of parameters of each instead."""


def test_all_notebooks_are_tried():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_notebooks_are_kept_without_results(name):
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    assert [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.heavy
@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_can_be_executed(name, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    parameters = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    names = [line.split(" = ")[0] for line in parameters.source.splitlines()]
    assert names == [line.split(" = ")[0] for line in SMALL[name].splitlines()]
    parameters.source = SMALL[name]
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 4
    warned = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not [text for text in warned if "kernels" not in text]  # which may be compiled for the first time
