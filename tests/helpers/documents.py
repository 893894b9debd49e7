"""What the documents show: their blocks of code, YAML and shell."""

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
"""All pages that people read."""
LANGUAGES = {"sh": "bash", "shell": "bash", "console": "bash", "py": "python", "{code-cell}": "python", "yml": "yaml"}
"""Other names of languages."""
_BLOCK = re.compile(r"^( *)(`{3,})(\S+) *([^\n]*)\n(.*?)^ *\2 *$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block of a page."""

    language: str
    text: str
    line: int
    """The line of the page on which it begins."""


def blocks_of(page: Path, *languages: str) -> Iterator[Block]:
    """The blocks of a page in some languages, also those in lists and tabs."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        name = found[4] if found[3] in ("{code-block}", "{code}") else found[3]
        language = LANGUAGES.get(name, name)
        if language in languages:
            shown = re.sub(r"\A(:\S+:.*\n)+", "", dedent(found[5])) if found[3].startswith("{") else dedent(found[5])
            yield Block(language, shown, text.count("\n", 0, found.start()) + 1)


def texts(page: Path, language: str) -> list[str]:
    """The texts of the blocks of a page in one language."""
    return [block.text for block in blocks_of(page, language)]
