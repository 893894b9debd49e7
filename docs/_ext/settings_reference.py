"""The directive `settings`: every key of a part of the configuration, in tables made from the classes that read it."""

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from prosper_ng.components import components_of
from prosper_ng.config import hints
from prosper_ng.config.canonical import inline
from prosper_ng.report.papers import ESTEPS, MODELS, PAPERS, VARIATIONS

PAPERS_OF = {"prosper_ng.models": MODELS, "prosper_ng.estep": ESTEPS, "prosper_ng.estep.variations": VARIATIONS}


class Settings(SphinxDirective):
    """`{settings} module.Class` for a section, `{settings} package` for the kinds that a package of components has."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Sections and tables."""
        name = self.arguments[0]
        if name.rpartition(".")[2][0].isupper():
            module, _, member = name.rpartition(".")
            lines = list(_section("", getattr(import_module(module), member)))
        else:
            lines = [line for kind, cls in sorted(components_of(name).items()) for line in _kind(name, kind, cls)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _kind(package: str, kind: str, cls: type) -> Iterator[str]:
    yield from ["", f"## {kind}", "", _summary(cls), ""]
    yield from (f"- {PAPERS[key].text}" for key in PAPERS_OF.get(package, {}).get(kind, ()))
    yield from _section("", cls)


def _section(prefix: str, cls: type) -> Iterator[str]:
    """A table of the fields of a class, and one for each section among these."""
    own = {name: field for name, field in hints.fields_of(cls).items() if name != "kind"}
    if own:
        yield from ["", "| key | what it is | legal | default |", "| --- | --- | --- | --- |"]
        yield from (_row(prefix + name, name, field, cls) for name, field in own.items())
    for name, field in own.items():
        if hints.is_section(field.hint):
            section = hints.bare(field.hint)
            yield from ["", f"**{prefix}{name}.** {_summary(section)}", ""]
            yield from _section(f"{prefix}{name}.", section)


def _row(shown: str, name: str, field: hints.Field, cls: type) -> str:
    legal = "its keys are below" if hints.is_section(field.hint) else hints.describe(field.hint)
    cells = [f"`{shown}`", field.doc, legal, _default(name, field, cls)]
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _default(name: str, field: hints.Field, cls: type) -> str:
    if field.required:
        return "needed"
    default: Any = next(each.default for each in fields(cls) if each.name == name)  # type: ignore[arg-type]
    if default is MISSING or hints.is_section(field.hint):
        return ""
    kinds = [each.kind for each in (default if isinstance(default, tuple) else [default]) if hasattr(each, "kind")]
    return f"`{', '.join(kinds) if kinds else inline(default)}`"


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("settings", Settings)
    return {"parallel_read_safe": True}
