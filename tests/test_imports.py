"""What a command does not use, it does not import: a short run should not wait for libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "configs" / "runs" / "bars-bsc.yaml"
REST_OF_SCIPY = ("scipy.ndimage", "scipy.optimize", "scipy.stats", "scipy.io", "scipy.sparse.linalg")
OF_PAGES_AND_SCHEMAS = ("matplotlib", "jinja2", "jsonschema", "narwhals", "skimage", "sklearn")


def imported(code):
    """The modules that some code has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('modules', *sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.rpartition("modules ")[2].split())


def command(*arguments):
    return f"from prosper_ng.cli import main\nassert main({list(map(str, arguments))}) == 0"


def test_the_package_with_its_names_for_python_imports_nothing_else():
    before = imported("pass")
    found = imported("import prosper_ng\nassert {'run', 'learn', 'load', 'Learned'} <= set(dir(prosper_ng))")
    assert {name for name in found if name.startswith("prosper_ng")} == {"prosper_ng"}
    assert found.isdisjoint({"numpy", "numba", "scipy", "pydantic", "h5py", "yaml"})
    assert len(found - before) < 10


def test_a_configuration_is_checked_without_data_by_what_reads_configurations():
    found = imported(command("validate", "--no-data", FILE))
    assert found.isdisjoint(REST_OF_SCIPY + OF_PAGES_AND_SCHEMAS)
    assert found.isdisjoint({"scipy.linalg", "scipy.special", "h5py", "rich", "PIL", "numba.np.linalg"})
    other_kinds = {
        f"prosper_ng.{kind}" for kind in ("models.gsc", "models.sbn", "data.sources.csv", "observables.gamma")
    }
    assert found.isdisjoint(other_kinds), "kinds that are not named are not looked at"


def test_a_rank_that_is_sent_its_configuration_reads_none_draws_nothing_and_answers_nothing():
    found = imported("import prosper_ng.running.run")
    assert found.isdisjoint({"pydantic", "matplotlib", "scipy.linalg", "h5py", "prosper_ng.inference.learned"})
    assert not {name for name in found if name.startswith(("prosper_ng.drawing.f", "prosper_ng.restoration"))}


@pytest.mark.heavy
def test_a_run_without_pictures_imports_neither_what_compiles_nor_what_draws(tmp_path):
    few = ("--set", "training.n_sweeps=3", "--set", "training.annealing={}", "--set", "output.figures=false")
    imported(command("run", FILE, *few, "--output", tmp_path / "compiles its kernels"))
    found = imported(command("run", FILE, *few, "--output", tmp_path / "run"))
    assert found.isdisjoint(OF_PAGES_AND_SCHEMAS)
    assert found.isdisjoint(
        {"scipy.linalg", "scipy.special", "scipy.ndimage", "scipy.stats", "scipy.io", "rich.progress"}
    )
    compiling = {"numba.misc.gdb_hook", "numba.np.polynomial.polynomial_core", "numba.typed.typeddict"}
    assert found.isdisjoint(compiling), "kernels that are kept are loaded without what compiles others"
