"""Functions of scipy without all that their packages import.

`scipy.linalg`, `special` and `optimize` take a third of a second and the files of 160 modules and more, which a short
run would wait for, on each rank. What most runs need of them lies in four extension modules.
"""

import importlib
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

import scipy

_IN_USE = threading.Lock()


@cache
def lapack(name: str) -> Callable[..., Any]:
    """A function of `scipy.linalg.lapack`, such as `dpotrf`."""
    return _function(name, "scipy.linalg", "_flapack", "scipy.linalg.lapack")


@cache
def blas(name: str) -> Callable[..., Any]:
    """A function of `scipy.linalg.blas`, such as `dsymm`."""
    return _function(name, "scipy.linalg", "_fblas", "scipy.linalg.blas")


@cache
def special(name: str) -> Callable[..., Any]:
    """A function of `scipy.special`."""
    return _function(name, "scipy.special", "_special_ufuncs", "scipy.special")


@cache
def optimize(name: str) -> Callable[..., Any]:
    """A function of `scipy.optimize`, such as `linear_sum_assignment`."""
    return _function(name, "scipy.optimize", "_lsap", "scipy.optimize")


def _function(name: str, package: str, part: str, public: str) -> Callable[..., Any]:
    """That of the extension module where this scipy has it there, else the same one of the public module."""
    with _IN_USE:
        found = None if package in sys.modules else getattr(_alone(package, part), name, None)
    return found or getattr(importlib.import_module(public), name)


def _alone(package: str, part: str) -> ModuleType | None:
    """An extension module, known by its own name, so that its package does not make another one of it later."""
    name = f"{package}.{part}"
    if name not in sys.modules:
        folders = [f"{folder}/{package.rpartition('.')[2]}" for folder in scipy.__path__]
        with suppress(ImportError):
            spec = PathFinder.find_spec(name, folders)
            if spec is not None and spec.loader is not None:
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                sys.modules[name] = module
    return sys.modules.get(name)
