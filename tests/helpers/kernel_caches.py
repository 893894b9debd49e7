"""Compiled kernels for several processes that run tests.

numba's cache is not made for several writers. So the first process works in the cache that is there, and every other
one, with all that it starts, in a copy of its own, which is kept.
"""

import os
import shutil

from prosper_ng.environment import choose_kernel_cache, own_kernel_cache


def take_own_cache(worker: str) -> None:
    """Have the process with this name of xdist's, such as "gw1", and its children use a cache of their own."""
    filled = own_kernel_cache(os.environ)
    name = f"tests-{worker}"
    if worker == "gw0" or filled is None or name in filled.parts:
        return
    os.environ["XDG_CACHE_HOME"] = str(filled.parent / name)
    choose_kernel_cache(os.environ)
    own = own_kernel_cache(os.environ)
    if own is not None and not any(own.rglob("*.nbi")):
        shutil.copytree(filled, own, dirs_exist_ok=True)
