"""Another program that also knows the models in `tests/helpers/sigmoid_nets`: PROGRAM ARGUMENTS..."""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

import prosper_ng.models  # noqa: E402

prosper_ng.models.__path__.append(str(ROOT / "tests" / "helpers" / "sigmoid_nets"))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
