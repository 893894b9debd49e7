"""Disturbs a run from within, where the environment says so: Python imports this file when it starts.

HOLD names a file: while it is there, every sweep after the third takes a second, so that signals are heeded, and none
comes after the 110th, so that the run does not end however long a busy machine takes for all else. FALL=9 is a signal
that the process sends to itself after the third sweep of each start.
"""

import importlib.util
import os
import sys
import time

_MODULE = "prosper_ng.report.narrator"


class _Disturbance:
    """Changes the class that hears of sweeps, once it is imported; not before, for nothing may be imported early."""

    def find_spec(self, name, path, target=None):
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_change(module):
            load(module)
            _disturb(module.Narrator)

        spec.loader.exec_module = load_and_change
        return spec


def is_held():
    return os.path.exists(os.environ.get("HOLD", ""))


def _disturb(narrator):
    sweep, n_heard = narrator.sweep, 0

    def heard(self, *told):
        nonlocal n_heard
        sweep(self, *told)
        n_heard += 1
        if n_heard == 3 and "FALL" in os.environ:
            os.kill(os.getpid(), int(os.environ["FALL"]))
        if n_heard > 3 and is_held():
            time.sleep(1)
        while n_heard >= 110 and is_held():
            time.sleep(0.1)

    narrator.sweep = heard


sys.meta_path.insert(0, _Disturbance())
