"""Kinds that live outside this package: in files that are named by `--import`, and in installed packages.

No file is ever found in a configuration or a run: who opens what somebody else has made executes nothing of it.
"""

import contextlib
import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from prosper_ng.errors import UserError
from prosper_ng.kernel_sources import modules_of_files
from prosper_ng.paths import absolute, path_of
from prosper_ng.protocols import lacking

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Group(NamedTuple):
    """What may be added to."""

    package: str
    """Where the kinds of this package are."""
    protocol: tuple[str, str]
    """Module and name of what all of them offer."""


GROUPS = {
    "models": Group("prosper_ng.models", ("prosper_ng.models.interface", "Model")),
    "observables": Group("prosper_ng.observables", ("prosper_ng.observables.interface", "Observable")),
    "sources": Group("prosper_ng.data.sources", ("prosper_ng.data.dataset", "Source")),
    "esteps": Group("prosper_ng.estep", ("prosper_ng.estep.interface", "EStep")),
    "variations": Group("prosper_ng.estep.variations", ("prosper_ng.estep.interface", "Variation")),
    "tasks": Group("prosper_ng.experiments.tasks", ("prosper_ng.experiments.tasks.interface", "Task")),
}
"""By the name of the group of entry points, less `prosper_ng.`."""
MODULE = "prosper_ng_plugin_"
"""What the modules of files are called, before the name of the file: it tells them from installed ones."""


class Origin(NamedTuple):
    """Where kinds come from."""

    name: str
    """That of the file or of the installed package."""
    made_with: str
    """How to get it: `--import my_model.py` or `package x 1.2`."""
    sha256: str
    """Of the file, or of the module in the package."""
    path: Path | None = None
    """The file of `--import`."""
    text: str = ""
    """All of that file."""


_kinds: dict[str, dict[str, type]] = {}
"""By package of the group, and kind."""
_origins: dict[type, Origin] = {}
_files: dict[str, Origin] = {}
"""By name of the module, in the order of import."""
_troubles: dict[str, dict[str, str]] = {}
"""Why kinds of installed packages cannot be used, by package of the group; what is missing was not looked at yet."""
_forgetting: list[Callable[[], None]] = []
_MOST_WARNINGS = 5


def forget_on_change(forget: Callable[[], None]) -> None:
    """Have a cache cleared, by this function, whenever there are other kinds than before."""
    _forgetting.append(forget)


def register(group: str, kind: str, cls: type) -> None:
    """Add a component to a group.

    Raises UserError where the kind exists already, or the class lacks what components of the group have.
    """
    if not kind.isidentifier() or kind.startswith("_"):
        raise UserError(
            f"{_place(cls)}: {kind!r} is no name of a kind, which has letters, digits and _; "
            f'name it, as in @prosper_ng.plugin("{group}", kind="my_kind")'
        )
    package, (module, name) = GROUPS[group]
    for other in _others(group, kind, cls):
        raise UserError(f"{_place(cls)}: kind `{kind}` exists already, in {other}; give one of them another name")
    missing = lacking(cls, getattr(importlib.import_module(module), name))
    if missing:
        raise UserError(
            f"{_place(cls)}: {cls.__name__} lacks {', '.join(missing)}; {module}.{name} says what {group} have"
        )
    _kinds.setdefault(package, {})[kind] = cls
    _origins[cls] = _made_origin(cls)
    _forget()


class Kinds(UserDict[str, Any]):
    """Component classes by kind: those in the folder of a package in alphabetical order, then others.

    Each is imported when it is asked for, and all where somebody goes through them. Modules that start with an
    underscore, sub-packages, and modules without a component (`interface.py`) are none.
    """

    def __init__(self, package: str, others: Mapping[str, type] | None = None) -> None:
        """Nothing is imported yet."""
        super().__init__(others or {})
        self._package, self._others = package, frozenset(others or ())
        entries = pkgutil.iter_modules(importlib.import_module(package).__path__)
        self._waiting = {entry.name for entry in entries if not entry.name.startswith("_") and not entry.ispkg}

    def __missing__(self, kind: str) -> Any:
        if kind in self._waiting:
            self._waiting.remove(kind)
            module = importlib.import_module(f"{self._package}.{kind}")
            for value in vars(module).values():
                if isinstance(value, type) and "__component__" in vars(value) and value.__module__ == module.__name__:
                    self.data[kind] = value
                    return value
        raise KeyError(kind)

    def __contains__(self, kind: object) -> bool:
        try:
            self[kind]  # type: ignore[index]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._complete())

    def __len__(self) -> int:
        return len(self._complete())

    def __or__(self, others: Mapping[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        return dict(self._complete()) | dict(others)

    def _complete(self) -> dict[str, Any]:
        if self._waiting:
            for kind in sorted(self._waiting):
                self.get(kind)
            self.data = dict(sorted(self.data.items(), key=lambda each: (each[0] in self._others, each[0])))
        return self.data


def added(package: str) -> dict[str, type]:
    """The classes from outside in the group of a package, by kind; installed packages are imported for it."""
    if package not in _troubles:
        _troubles[package] = {}  # for what is imported now may ask, too
        for group in (name for name, each in GROUPS.items() if each.package == package):
            _troubles[package] |= _installed(group)
    return {kind: cls for kind, cls in _kinds.get(package, {}).items() if kind not in _troubles[package]}


def troubles(package: str) -> dict[str, str]:
    """Why kinds that installed packages offer in the group of a package cannot be used, by kind."""
    added(package)
    return _troubles[package]


@contextlib.contextmanager
def imported(files: Sequence[str]) -> Iterator[list[str]]:
    """Know the kinds of these files for as long as this lasts; gives what the user should hear of.

    Raises UserError where one of them is no plug-in.
    """
    before, modules = set(_files), set(sys.modules)
    try:
        for file in files:
            _import_file(file)
        own = modules_of_files(modules) if files else []
        _keep_kernels_apart(own)
        yield [
            f"--import needs {module.__file__}, too, which runs do not keep, and whose changes they do not notice"
            for module in own
            if module.__name__ not in _files
        ][:_MOST_WARNINGS]
    finally:
        _remove(_files.keys() - before)


def arguments() -> list[str]:
    """What makes another command of this program know the same files, wherever it is started."""
    return [word for origin in _files.values() for word in ("--import", str(origin.path))]


def files() -> list[Path]:
    """The imported files."""
    return [origin.path for origin in _files.values() if origin.path is not None]


def digests() -> dict[str, str]:
    """SHA-256 of each imported file, by its name."""
    return {origin.name: origin.sha256 for origin in _files.values()}


def origin_of(cls: type) -> Origin | None:
    """Where a class comes from; None where it is no component from outside."""
    return _origins.get(cls)


def stamp() -> str:
    """What tells one set of plug-ins from another."""
    for group in GROUPS.values():
        added(group.package)
    return repr(sorted({(origin.name, origin.sha256) for origin in _origins.values()}))


def _remove(modules: Set[str]) -> None:
    """Forget what these modules have registered."""
    if not modules:
        return
    for known in _kinds.values():
        for kind in [kind for kind, cls in known.items() if cls.__module__ in modules]:
            del known[kind]
    for cls in [cls for cls in _origins if cls.__module__ in modules]:
        del _origins[cls]
    for name in modules:
        del _files[name]
        sys.modules.pop(name, None)
    _forget()


def _forget() -> None:
    for forget in _forgetting:
        forget()


def _import_file(file: str) -> None:
    path = absolute(path_of(file))
    name = MODULE + path.stem
    if name in _files:
        if _files[name].path == path:
            return
        raise UserError(f"--import {file}: {_files[name].path} has the same name; rename one of them")
    content, text = _content(file, path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # under a name of its own, by which kernels and pickles find it again
    _files[name] = Origin(path.name, f"--import {path.name}", hashlib.sha256(content).hexdigest(), path, text)
    try:
        # What was read is what runs: the file may change meanwhile, and no compiled form is kept beside it.
        exec(compile(content, str(path), "exec", dont_inherit=True), vars(module))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"--import {file}: {_reason(error, path)}") from None
    if not any(cls.__module__ == name for cls in _origins):
        raise UserError(f'--import {file}: it holds no component; @prosper_ng.plugin("models") makes a class one')


def _content(file: str, path: Path) -> tuple[bytes, str]:
    """The bytes of a file, and what they say."""
    if path.suffix != ".py":
        raise UserError(f"--import {file}: a plug-in is a file of Python, whose name ends in .py")
    try:
        content = path.read_bytes()
        return content, content.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"--import {file}: there is no such file") from None
    except OSError as error:
        raise UserError(f"--import {file}: it cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"--import {file}: it is not UTF-8 text") from None


def _reason(error: BaseException, path: Path | None = None) -> str:
    """An exception in one line, with the line of the file that it came from."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    return f"{'' if line is None else f'line {line}: '}{type(error).__name__}{f': {text}' if text else ''}"


def _keep_kernels_apart(modules: Sequence[ModuleType]) -> None:
    """Have compiled kernels of these modules kept under a digest of their sources: an edit of one compiles all anew.

    numba itself sees that a kernel's own file has changed, but not one with a kernel that it calls.
    """
    dispatcher = sys.modules.get("numba.core.dispatcher")
    if dispatcher is None:
        return
    from prosper_ng.kernel_files import keep_apart

    digest = hashlib.sha256("".join(map(_digest, modules)).encode()).hexdigest()
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, dispatcher.Dispatcher) and value.py_func.__module__ == module.__name__:
                keep_apart(value, digest)


def _digest(module: ModuleType) -> str:
    """SHA-256 of what a module was made from."""
    if module.__name__ in _files:
        return _files[module.__name__].sha256
    return hashlib.sha256(Path(module.__file__ or os.devnull).read_bytes()).hexdigest()


_none_installed: list[bool] = []


def any_installed() -> bool:
    """Whether an installed package offers anything."""
    return any(_entries().values())


def assume_none_installed() -> None:
    """Do not look for what installed packages offer, as another process of the same run has: a file of each is read."""
    _none_installed.append(True)


@cache
def _entries() -> dict[str, list["EntryPoint"]]:
    """What installed packages offer, by group; each time it is looked for takes some milliseconds."""
    if _none_installed:
        return {group: [] for group in GROUPS}
    from importlib.metadata import entry_points

    found = entry_points()
    return {group: list(found.select(group=f"prosper_ng.{group}")) for group in GROUPS}


def _installed(group: str) -> dict[str, str]:
    """Import what installed packages offer in a group; why some of it cannot be used, by kind."""
    found: dict[str, str] = {}
    for entry in _entries()[group]:
        place = _package(entry)
        try:
            loaded = entry.load()
            top = entry.module.partition(".")[0]
            _keep_kernels_apart([sys.modules[name] for name in sorted(sys.modules) if name.partition(".")[0] == top])
            cls = _kinds.get(GROUPS[group].package, {}).get(entry.name)
            if cls is None or cls is not loaded:
                raise UserError(f'{entry.value} does not say @prosper_ng.plugin("{group}", kind="{entry.name}")')
            _origins[cls] = Origin(place.split()[1], place, _digest(sys.modules[cls.__module__]))
        except UserError as error:
            found[entry.name] = f"the kind `{entry.name}` of {place} cannot be used: {error}"
        except (Exception, SystemExit) as error:
            found[entry.name] = f"the kind `{entry.name}` of {place} cannot be imported: {_reason(error)}"
    return found


def _package(entry: "EntryPoint") -> str:
    return f"package {entry.dist.name} {entry.dist.version}" if entry.dist is not None else f"package {entry.module}"


def _made_origin(cls: type) -> Origin:
    """That of a class whose file was not named to this program, but imported by a program in Python."""
    if cls.__module__ in _files:
        return _files[cls.__module__]
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None or not file.endswith(".py"):
        return Origin(cls.__module__, f"the class {cls.__qualname__} of {cls.__module__}", "")
    content, text = _content(file, Path(file))
    return Origin(Path(file).name, f"--import {Path(file).name}", hashlib.sha256(content).hexdigest(), None, text)


def _place(cls: type) -> str:
    """Where a class is written, for people."""
    origin = _origins.get(cls) or _files.get(cls.__module__)
    if origin is not None:
        return str(origin.path or origin.made_with)
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__


def _others(group: str, kind: str, cls: type) -> Iterator[str]:
    """Where else a kind is defined."""
    package = GROUPS[group].package
    spec = importlib.util.find_spec(f"{package}.{kind}")
    if spec is not None and cls.__module__ != spec.name:
        yield str(spec.origin)
    known = _kinds.get(package, {}).get(kind, cls)
    if known is not cls:
        yield _place(known)
    for entry in _entries()[group]:
        if entry.name == kind and entry.module.partition(".")[0] != cls.__module__.partition(".")[0]:
            yield _package(entry)
