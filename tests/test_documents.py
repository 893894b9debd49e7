"""What pages show is done in the order in which they show it: their configurations, commands and blocks of Python."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.documents import DOCUMENTS, ROOT, Block, blocks_of, texts

RESULT_OF_PROSPER = """
import h5py
import numpy as np

rng = np.random.default_rng(1)
with h5py.File("result.h5", "w") as file:
    file["W"], file["pi"], file["sigma"] = rng.random((3, 25, 10)), np.full(3, 0.2), np.full(3, 2.0)
"""
"""A file as ProSper leaves it, with one entry for each step."""
MICROPHONES = """
import numpy as np
from scipy.io import wavfile

wavfile.write("microphones.wav", 8000, np.zeros((800, 2), np.int16))
"""
ROWS = "import numpy as np\ndata = np.random.default_rng(1).normal(size=(60, 40))\nnew_rows = data[:3]"
WHOLE = {
    "docs/python.md": "",
    "docs/from-prosper.md": RESULT_OF_PROSPER,
    "docs/from-scikit-learn.md": "",
    "docs/howto/own-source.md": "",
    **{
        page.relative_to(ROOT).as_posix(): ""
        for page in DOCUMENTS
        if page.parent.name == "tutorials" and texts(page, "python")
    },
}
"""Pages of which everything is done, and what makes the files that their readers have."""
PYTHON = {
    "README.md": ROWS,
    "docs/coming-from/evo-tvo.md": "",
    "docs/decoders.md": "",
    "docs/streams.md": "",
    "docs/experiments/covered-digits.md": "",
    "docs/experiments/discrete-signals.md": "import numpy as np\nnp.save('trace.npy', np.zeros(480))\nonsets = [3, 90]",
    "docs/experiments/sources.md": MICROPHONES,
}
"""Pages of which only the Python is, since their commands name files of others or take hours."""
MARKS = {"docs/from-prosper.md": pytest.mark.slow, "docs/tutorials/cluster.md": pytest.mark.mpi}


def as_python(block: Block) -> str:
    """Python that does what a reader of a block does; scripts of the checkout are left out."""
    if block.language == "python":
        file = re.match(r"# (\w+\.py)\n", block.text)
        return f"{written(file[1], block.text)}\nfrom {file[1][:-3]} import *" if file else block.text
    if block.language == "bash":
        shown = "" if "scripts/" in block.text else block.text
        return f"import subprocess\nsubprocess.run(['bash', '-euc', {shown!r}], check=True)"
    name = block.text.partition("name: ")[2].split(maxsplit=1)[0] if block.text.startswith("name: ") else "part"
    return written(f"{name}.yaml", block.text)


def written(name: str, text: str) -> str:
    """Python that writes a file."""
    return f"import pathlib\npathlib.Path({name!r}).write_text({text!r}, encoding='utf-8')"


@pytest.mark.heavy
@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in WHOLE | PYTHON])
def test_what_a_page_shows_can_be_done(name, tmp_path):
    languages = ["python", "bash", "yaml"] if name in WHOLE else ["python"]
    blocks = list(blocks_of(ROOT / name, *languages))
    environment = {**os.environ, "MPLBACKEND": "agg", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (tmp_path / "page.py").write_text("\n".join([(WHOLE | PYTHON)[name], *map(as_python, blocks)]), encoding="utf-8")
    command = [sys.executable, "-W", "error::DeprecationWarning", "page.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
