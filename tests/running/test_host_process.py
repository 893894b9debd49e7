"""Functions and estimators leave the process that they are called in as it was, and write only what is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

PROGRAM = """
import logging, os, signal, sys, threading, warnings
from pathlib import Path

# What other packages do when they are imported is theirs.
import h5py
import matplotlib.pyplot
import numba
import numpy as np
import pydantic
import rich.progress
import scipy.optimize
import scipy.special
import sklearn.callback
import threadpoolctl

def snapshot():
    settings = {name: getattr(numba.config, name) for name in dir(numba.config) if name.isupper()}
    loggers = {"": logging.getLogger(), **logging.root.manager.loggerDict}
    return {
        "environment": dict(os.environ),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "numba": settings,
        "numba threads": numba.get_num_threads(),
        "logging": {
            name: (each.level, each.propagate, each.disabled, [*each.handlers])
            for name, each in loggers.items() if isinstance(each, logging.Logger)
        },
        "logging in general": (logging.root.manager.disable, logging.getLoggerClass(), logging.lastResort),
        "warnings": ([*warnings.filters], warnings.showwarning),
        "floating point": np.geterr(),
        "printing": np.get_printoptions(),
        "random": np.random.get_state()[1].tolist(),
        "threads of libraries": threadpoolctl.threadpool_info(),
        "threads": threading.enumerate(),
        "matplotlib": (dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)),
        "folder": os.getcwd(),
        "files": sorted(map(str, Path.cwd().rglob("*"))),
        "home": sorted(map(str, Path.home().rglob("*"))),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "streams": (sys.stdout, sys.stderr, sys.stdin),
        "umask": (mask := os.umask(0o22), os.umask(mask))[0],
    }

rows = np.random.default_rng(0).normal(size=(60, 4))
model, training = {"kind": "bsc", "n_latents": 3}, {"n_sweeps": 2}

def compare(what, call, files=()):
    before = snapshot()
    call()
    after = snapshot()
    after["files"] = [path for path in after["files"] if not path.startswith(files)] if files else after["files"]
    for name, value in before.items():
        if name == "logging":
            after[name] = {key: after[name][key] for key in value}
        if name == "threads of libraries":  # those that came with imports are no change of the others
            after[name] = [each for each in after[name] if each["filepath"] in {one["filepath"] for one in value}]
        if after[name] != value:
            raise SystemExit(f"{what} changes {name}: {value} -> {after[name]}")
    sys.stderr.write(what + "\\n")

import prosper_ng
here = str(Path.cwd())
compare("learn", lambda: prosper_ng.learn(rows, model, training=training))
compare("learn with threads", lambda: prosper_ng.learn(rows, model, training=training, n_jobs=2))
compare("learn in a folder", lambda: prosper_ng.learn(rows, model, training=training, folder="kept"), here + "/kept")

def run():
    config = {"name": "a", "data": {"kind": "bars", "n_bars": 6, "n_rows": 60}, "model": model, "training": training}
    prosper_ng.run(config)

compare("run", run, here + "/runs")
compare("load", lambda: prosper_ng.load("kept").posterior(rows))

def fails():
    try:
        prosper_ng.learn(rows, model, training=training, folder="kept", seed=9, on_sweep=lambda report, params: 1 / 0)
    except ValueError:
        return
    raise SystemExit("it did not fail")

compare("an error", fails)

def fit():
    from prosper_ng.estimators import BSC
    BSC(n_components=3, max_iter=2).fit(rows).transform(rows)

compare("fit", fit)
"""


@pytest.mark.heavy
def test_nothing_is_done_to_the_host_process(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    names = ("PATH", "PYTHONPATH", "NUMBA_CACHE_DIR", "LANG")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    kernels = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))  # where they are, they need not be compiled
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": kernels, "MPLCONFIGDIR": matplotlib.get_cachedir()}
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, check=False, cwd=tmp_path / "work", env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    told = ["learn", "learn with threads", "learn in a folder", "run", "load", "an error", "fit"]
    assert done.stderr.splitlines() == told
