"""Which sources compiled kernels can depend on: what names the folder of the kernel cache.

Files that make kernels count with all their text. Of other files only those top-level statements count, without
docstrings and comments, that compiled code can use: constants, tuples, functions that give kernels. What the program
does with kernels changes no key. Statements are told apart by their indentation and followed by the words in them, for
a parser would take longer than a command may take to start; what looks like a use counts as one.
"""

import re
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from functools import cached_property
from keyword import kwlist
from pathlib import Path
from types import ModuleType

_FROM = re.compile(r"^[ \t]*from (\.*)([\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*import ([\w.]+)(?: as (\w+))?", re.MULTILINE)
_IMPORTED = re.compile(r"(\w+|\*)(?: as (\w+))?")
_STRING_OR_COMMENT = re.compile(
    r"""\#.* | "{3}(?:[^"\\]|\\[\s\S]|"(?!""))*"{3} | '{3}(?:[^'\\]|\\[\s\S]|'(?!''))*'{3}
    | "(?:[^"\\\n]|\\[\s\S])*" | '(?:[^'\\\n]|\\[\s\S])*' """,
    re.VERBOSE,
)
_NEXT_STATEMENT = re.compile(r"\n(?=[^\s#)\]}])")
_DEFINED = re.compile(r"^(?:async )?(?:def|class) (\w+)", re.MULTILINE)
_DECORATOR = "prosper_ng.kernels"
_FILES = "prosper_ng.kernel_files"
"""It uses numba to keep what was compiled; what kernels compute does not depend on it."""
_WORD = re.compile(r"\w+")

Place = tuple[str, int]
"""The name of a module, and the number of a top-level statement in it."""


def module_texts(folder: Path, package: str) -> dict[str, str]:
    """The texts of all modules of the package in a folder, by their dotted names."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = (package, *path.relative_to(folder).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def modules_of_files(before: Set[str] = frozenset()) -> list[ModuleType]:
    """The modules imported since that belong neither to this program nor to Python nor to an installed package."""
    known = [Path(__file__).parent, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))]
    found = []
    for name in sorted(sys.modules.keys() - before):
        path = _file_of(sys.modules[name])
        if path.suffix == ".py" and not _is_installed(path) and not any(path.is_relative_to(each) for each in known):
            found.append(sys.modules[name])
    return found


def package_of(module: ModuleType) -> str | None:
    """The name of the installed package that a module belongs to; None where it is a file of its own."""
    return module.__name__.partition(".")[0] if _is_installed(_file_of(module)) else None


def _file_of(module: ModuleType) -> Path:
    return Path(getattr(module, "__file__", None) or "")


def _is_installed(path: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def kernel_sources(texts: Mapping[str, str]) -> dict[str, str]:
    """What compiled code can depend on, by module, of the modules with these texts."""
    modules = {name: _Module(name, text) for name, text in texts.items() if name != _FILES}
    makers = {name for name, module in modules.items() if module.makes_kernels}
    todo = [(name, number) for name in makers for number in modules[name].makes_kernels]
    reached, asked = set(todo), set[tuple[str, str]]()
    while todo:
        new = set(_used(modules, todo.pop(), asked)) - reached
        reached |= new
        todo += new
    found = {name: texts[name] for name in makers}
    for name, number in sorted(place for place in reached if place[0] not in makers):
        found[name] = f"{found.get(name, '')}{modules[name].statements[number]}\n"
    return found


class _Module:
    """The top-level statements of one module, and what the words in them can mean."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text

    @cached_property
    def statements(self) -> list[str]:
        """Without documentation; decorators belong to what they decorate."""
        found: list[str] = []
        for statement in _NEXT_STATEMENT.split(_STRING_OR_COMMENT.sub(_undocumented, self.text)):
            if found and found[-1].startswith("@") and not _DEFINED.search(found[-1]):
                found[-1] += f"\n{statement}"
            else:
                found.append(statement)
        return found

    @cached_property
    def words(self) -> list[set[str]]:
        """The words of each statement."""
        return [set(_WORD.findall(statement)).difference(kwlist) for statement in self.statements]

    @cached_property
    def imports(self) -> dict[str, list[tuple[str, str]]]:
        """What names stand for, as module and name there, which is empty for the module itself; "*" may be any name."""
        found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for dots, module, names in _FROM.findall(self.text):
            for name, other in _IMPORTED.findall(names):
                found[other or name] += [(source, name) for source in self._sources(len(dots), module)]
        for module, other in _IMPORT.findall(self.text):
            found[other or module.partition(".")[0]].append((module, ""))
        return dict(found)

    def _sources(self, n_dots: int, module: str) -> list[str]:
        """The modules that an import may mean; a relative one depends on whether this module is a package."""
        parts = [*self.name.split("."), ""]
        return [".".join([*parts[: -n_dots - i], module]).strip(".") for i in (0, 1)] if n_dots else [module]

    @cached_property
    def definitions(self) -> dict[str, list[int]]:
        """The statements that can define a name: what is neither a function nor a class may define any word in it."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for number, (statement, words) in enumerate(zip(self.statements, self.words, strict=True)):
            defined = _DEFINED.search(statement)
            for name in {defined[1]} if defined else words if not _imports(statement) else ():
                found[name].append(number)
        return dict(found)

    @cached_property
    def makes_kernels(self) -> list[int]:
        """The statements in which something of numba is used."""
        if "numba" not in self.text and _DECORATOR not in self.text:
            return []
        makers = ("numba", _DECORATOR)
        theirs = {name for name, found in self.imports.items() if any(m.startswith(makers) for m, _ in found)}
        return [i for i, words in enumerate(self.words) if words & theirs and not _imports(self.statements[i])]


def _imports(statement: str) -> bool:
    return statement.startswith(("from ", "import "))


def _undocumented(found: re.Match[str]) -> str:
    """Nothing in the place of a comment or docstring; other strings on one line."""
    text, start = found[0], found.start()
    begins_line = not found.string[found.string.rfind("\n", 0, start) + 1 : start].strip()
    is_documentation = text[0] == "#" or (begins_line and text.startswith(('"""', "'''")))
    return "" if is_documentation else text.replace("\n", " ")


def _used(modules: Mapping[str, _Module], place: Place, asked: set[tuple[str, str]]) -> Iterator[Place]:
    """Where the words of a statement may be defined that nobody asked for before."""
    name, number = place
    for word in modules[name].words[number]:
        yield from _defining(modules, name, word, asked)


def _defining(modules: Mapping[str, _Module], name: str, word: str, asked: set[tuple[str, str]]) -> Iterator[Place]:
    """Where a word may be defined that stands in a module or is imported from there, "*" for all that is in it."""
    if (name, word) in asked:
        return
    asked.add((name, word))
    if name in modules:
        module = modules[name]
        everything = range(len(module.statements)) if word in ("", "*") else module.definitions.get(word, [])
        yield from ((name, number) for number in everything)
        for source, imported in [*module.imports.get(word, []), *module.imports.get("*", [])]:
            yield from _defining(modules, source, imported, asked)
    if f"{name}.{word}" in modules:
        yield from _defining(modules, f"{name}.{word}", "*", asked)
