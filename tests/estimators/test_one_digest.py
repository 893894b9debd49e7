"""Estimators, functions and the command come to the same bits, however they are run."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

import prosper_ng
from prosper_ng.estimators import BSC, GSC, MCA

COMMON = """
import json, sys
import numpy as np
import prosper_ng
from prosper_ng.estimators import GSC

rows = np.load("rows.npy")

def fitted(n_jobs=None, seed=7):
    coder = GSC(9, n_states=8, max_iter=4, n_updates=3, tol=0, random_state=seed, n_jobs=n_jobs)
    return coder.fit(rows).learned_.digest
"""
WITH_MORE_THREADS = """
model, training = {"kind": "gsc", "n_latents": 9}, {"n_sweeps": 4, "updates_per_sweep": 3}
learned = prosper_ng.learn(rows, model, estep={"kind": "auto", "n_states": 8}, training=training, seed=7, missing=True)
print(json.dumps([learned.digest, fitted(), fitted(2)]))
"""
IN_WORKERS = """
from joblib import Parallel, delayed

print(json.dumps(Parallel(n_jobs=2)(delayed(fitted)(None, seed) for seed in (7, 8, 9))))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with rows (160, 6), of which some values are missing."""
    found = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(4)
    rows = (rng.random((160, 5)) < 0.3) @ rng.normal(0.0, 3.0, (5, 6)) + rng.standard_normal((160, 6))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    np.save(found / "rows.npy", rows)
    return found


def coder(**changes):
    return GSC(9, n_states=8, max_iter=4, n_updates=3, tol=0, **{"random_state": 7} | changes)


def script(folder, *lines, **environment):
    """What a program of its own prints, in JSON; where kernels are kept, it has to find out for itself."""
    inherited = {name: value for name, value in os.environ.items() if "NUMBA" not in name}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([COMMON, *lines])],
        cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.heavy
def test_one_digest_of_all_faces_any_number_of_threads_and_any_host(folder):
    rows = np.load(folder / "rows.npy")
    model, training = {"kind": "gsc", "n_latents": 9}, {"n_sweeps": 4, "updates_per_sweep": 3}
    learning = {"model": model, "estep": {"kind": "auto", "n_states": 8}, "training": training, "seed": 7}
    source = {"kind": "npy", "path": "rows.npy", "missing": True}
    config = {"name": "run", "data": source, **learning, "output": {"figures": False}}
    (folder / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    more = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "prosper_ng", "run", "run.yaml", "--quiet"]
    subprocess.run(command, cwd=folder, env={**os.environ, **more}, check=True)
    found = {prosper_ng.load(folder / "runs" / "run").digest, *script(folder, WITH_MORE_THREADS, **more)}
    for n_jobs in (1, 2, 3, 4):
        found |= {prosper_ng.learn(rows, missing=True, n_jobs=n_jobs, **learning).digest}
        found |= {coder(n_jobs=n_jobs).fit(rows).learned_.digest}
    assert len(found) == 1


def test_different_fits_at_once_do_not_disturb_each_other(folder):
    rows = np.load(folder / "rows.npy")
    coders = [coder(), BSC(4, max_iter=5), MCA(4, max_iter=3), coder(n_jobs=2, random_state=8), BSC(9, max_iter=4)]
    coders = [each.set_params(random_state=each.random_state or 0) for each in coders]

    def fitted(each):
        return each.fit(np.abs(rows)).learned_.digest, each.transform(np.abs(rows)).tobytes()

    alone = [fitted(each) for each in coders]
    with ThreadPoolExecutor(len(coders)) as pool:
        assert list(pool.map(fitted, coders)) == alone


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_workers_of_joblib_fit_with_an_empty_cache_of_kernels(folder, tmp_path):
    # A copy of the package, so that no kernel of it was ever compiled, wherever they are kept.
    package = Path(prosper_ng.__file__).parent
    shutil.copytree(package, tmp_path / "site" / "prosper_ng", ignore=shutil.ignore_patterns("__pycache__"))
    found = script(folder, IN_WORKERS, XDG_CACHE_HOME=str(tmp_path), PYTHONPATH=str(tmp_path / "site"))
    rows = np.load(folder / "rows.npy")
    assert found == [coder(random_state=seed).fit(rows).learned_.digest for seed in (7, 8, 9)]
    assert any(tmp_path.rglob("*.nbc"))


@pytest.mark.slow
def test_a_search_over_processes_finds_the_same_where_states_are_searched_for():
    X = load_digits().data[:400]
    searches = [
        GridSearchCV(GSC(n_states=20, max_iter=4, random_state=0), {"n_components": [12, 20]}, cv=2, n_jobs=n_jobs).fit(
            X
        )
        for n_jobs in (None, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_array_equal(*scores)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(*(search.best_estimator_.transform(X) for search in searches))
